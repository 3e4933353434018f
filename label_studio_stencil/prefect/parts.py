"""Parts of a sheet, each carried out by a flow run of its own."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.runtime import flow_run

from label_studio_stencil.prefect.report import SUMMARY_KEY
from label_studio_stencil.report.outcomes import Outcome

#: What carries out a part, and the work queue of these runs. The run that waits for them holds the one slot of `batches`.
DEPLOYMENT, QUEUE = "create-projects/on-demand", "parts"
#: Runs of a part at most: another one follows a run that crashed.
RUNS = 3


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of a sheet, as the parameter `lines` of create-projects takes them (`2-500`), and how many rows are on them."""

    lines: str
    rows: int


@dataclass(frozen=True, slots=True)
class PartResult:
    """What became of a part.

    Attributes:
        part: The part.
        run: Its last flow run.
        counts: Rows by outcome, from the report of this run; empty where it has none.
        sentence: The report in one line, or the state in which the run ended.
    """

    part: Part
    run: FlowRun
    counts: Counter[Outcome]
    sentence: str

    @property
    def complete(self) -> bool:
        """Whether the run has reported on as many rows as the part has."""
        return self.counts.total() == self.part.rows


def parts_of(lines: Sequence[int], number: int) -> list[Part]:
    """These lines of a sheet, cut into parts that differ by one row at most; none is empty."""
    cuts = [len(lines) * index // number for index in range(number + 1)]
    return [
        Part(f"{lines[start]}-{lines[end - 1]}", end - start) for start, end in itertools.pairwise(cuts) if start < end
    ]


@task(
    task_run_name="lines {part.lines}", retries=10, retry_delay_seconds=30, cache_policy=NO_CACHE, persist_result=False
)
async def carry_out_part(part: Part, parameters: Mapping[str, Any]) -> PartResult:
    """Run the deployment over the lines of a part, and wait for its end.

    The retries are for times in which Prefect's server does not answer: by the idempotency key they find the same run again.
    """
    for number in range(RUNS):
        run = await arun_deployment(
            DEPLOYMENT,
            parameters={**parameters, "lines": part.lines},
            work_queue_name=QUEUE,
            idempotency_key=f"{flow_run.id} {flow_run.run_count} {part.lines} {number}",
        )
        if run.state is None or not run.state.is_crashed():
            break
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]), key=ArtifactFilterKey(any_=[SUMMARY_KEY])
    )
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=wanted, limit=1)
    counts = Counter({Outcome(name): int(count) for each in found for name, count in (each.metadata_ or {}).items()})
    state = f"{run.state.name}: {run.state.message}" if run.state else ""
    return PartResult(part, run, counts, (counts and found[0].description) or state)
