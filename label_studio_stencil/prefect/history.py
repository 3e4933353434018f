"""What the summary says about the run itself: how to run it again, and what changed since the previous run."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext

from label_studio_stencil.prefect.artifacts import LONGEST_CALL, SUMMARY_KEY, artifacts_of, counts_in
from label_studio_stencil.prefect.parameters import given_to, source_name
from label_studio_stencil.report.escaping import escape
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report

logger = logging.getLogger(__name__)

#: Number of runs among which the previous run of a sheet is searched.
_MOST_RUNS = 10


async def about_run(report: Report) -> str:
    """Return how to run a deployment's run again, and how its counts differ from those of the run before, as Markdown."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return ""
    again = (
        "To run the sheet again, correct it where it is, then press Retry in the Prefect UI or run "
        f"`prefect flow-run retry {run.id}`."
    )
    try:
        async with get_client() as client, asyncio.timeout(LONGEST_CALL):
            difference = await _difference(client, run, report)
    except Exception as error:  # noqa: BLE001 - the summary is worth more than this line of it
        logger.warning(
            "The summary can't be compared with the previous run, because Prefect's server gave no answer: %r", error
        )
        return again
    return f"{again}\n\n{difference}" if difference else again


async def _difference(client: PrefectClient, run: FlowRun, report: Report) -> str:
    """Return how the counts differ from those of the last run of the same deployment and sheet; empty if there is none."""
    ended = FlowRunFilterStateType(any_=[StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED])
    found = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=ended)),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id])),  # type: ignore[list-item]
        sort=FlowRunSort.START_TIME_DESC,
        limit=_MOST_RUNS,
    )
    before = next((each for each in found if each.id != run.id and _alike(each.parameters, run.parameters)), None)
    if before is None:
        return ""
    summary = (await artifacts_of(client, before.id)).get(SUMMARY_KEY)
    counts = counts_in(summary) if summary else Counter[Outcome]()
    if not counts:
        return ""
    now = Counter(report.counts)
    changes = [f"{name} {was} -> {is_}" for name, was, is_ in _pairs(counts, now) if was != is_]
    at = f", {before.start_time:%Y-%m-%d %H:%M} UTC" if before.start_time else ""
    return f"Since the previous run ({escape(before.name)}{at}): {', '.join(changes) or 'the same counts'}."


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    dry, other_dry = (bool(given_to(each).get("dry_run")) for each in (one, other))
    return source_name(one) == source_name(other) and dry == other_dry


def _pairs(before: Counter[Outcome], now: Counter[Outcome]) -> list[tuple[str, int, int]]:
    rows = ("rows", before.total(), now.total())
    return [rows, *((outcome.value, before[outcome], now[outcome]) for outcome in Outcome)]
