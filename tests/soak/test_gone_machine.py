"""A machine that goes down with a worker and the batch that it carries out: nobody is left to tell Prefect."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.automations import SILENT, count_silent_as_crashed
from label_studio_sandbox import Sandbox
from tests.prefect.deployed import command, deploy, ended, message_of, name_block, parent_of, pid_of, started, worker
from tests.soak.batches import amid_rows, projects, write_sheet

ROWS = 400
ON_DEMAND = "create-projects/on-demand"
#: Longer than two heartbeats, which come no more often than each half minute.
HEARTBEAT, SILENCE = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}, timedelta(seconds=75)


@pytest.fixture
def environment(prefect_api: str) -> Iterator[dict[str, str]]:
    """The environment of whoever works with a Prefect server on which one batch at a time is carried out."""
    environment = {**os.environ, **HEARTBEAT, "PREFECT_API_URL": prefect_api}
    deploy(environment)
    command(environment, "prefect", "work-queue", "set-concurrency-limit", "batches", "1", "--pool", "stencil")
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        yield environment


@pytest.fixture
async def automation(environment: dict[str, str]) -> AsyncIterator[None]:
    """What bootstrap makes, less patient."""
    assert await count_silent_as_crashed(SILENCE)
    # Once, and whoever has changed it keeps it so.
    assert not await count_silent_as_crashed()
    yield
    made = await Automation.aread(name=SILENT)
    await made.adelete()


@pytest.mark.usefixtures("automation")
async def test_a_batch_whose_machine_is_gone_counts_as_crashed_and_the_next_one_finishes_its_rows(
    environment: dict[str, str], tmp_path: Path
) -> None:
    sheet = write_sheet(tmp_path / "sheet.csv", ROWS)
    with Sandbox(latency_ms=50, log_requests=True) as sandbox:
        await name_block(sandbox)
        known = {**environment, "LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": sandbox.token}
        with worker(known) as process:
            gone = await started(ON_DEMAND, sheet=str(sheet))
            await amid_rows(sandbox, ROWS // 4)
            async with get_client() as client:
                gone = await client.read_flow_run(gone.id)
            assert parent_of(pid_of(gone)) == process.pid
            for each in (process.pid, pid_of(gone)):
                os.kill(each, signal.SIGKILL)
        with worker(known):
            # It waits for the one that is gone.
            again = await ended(await started(ON_DEMAND, sheet=str(sheet)), seconds=300)

        gone = await ended(gone)
        assert message_of(gone).startswith("Crashed: Nothing was heard of it for 75 s")
        assert gone.end_time is not None
        assert again.start_time is not None
        assert again.start_time >= gone.end_time
        assert message_of(again).startswith(f"Completed: {ROWS} rows:")
        made = projects(sandbox)
        assert len(made) == len({project["title"] for project in made}) == ROWS
        assert not [project for project in made if "[stencil " in project["description"]]
