"""A batch cut into shards that a worker runs: one project per row, one report, whatever becomes of a shard."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling
from starlette.responses import Response

from flows.create_projects import create_projects
from stencil.sandbox import Call, Proceed, Sandbox
from stencil.sheet import read_sheet
from tasks.shard_runs import DEPLOYMENT
from tasks.shards import ShardsUnavailable
from tests.prefect.deployed import ended, message_of, pid_of, run_of, runs_of, started, worker
from tests.prefect.test_create_projects import artifacts
from tests.soak.batches import FLOW, amid_rows, assert_exactly_once, patches, projects, reported, start, write_sheet

ROWS, LONG = 240, 1000
#: Of a run with shards, their starts by the worker included; rows of a killed one wait half a minute for it.
RUN_SECONDS = 200.0


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox on which a batch takes some seconds."""
    with Sandbox(latency_ms=20, log_requests=True) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return write_sheet(tmp_path / "sheet.csv", ROWS)


async def shard_runs(sandbox: Sandbox) -> list[FlowRun]:
    """The runs of shards on this sandbox, the newest first."""
    runs = await runs_of(DEPLOYMENT)
    return [run for run in runs if run.parameters["shard"]["studio"] == sandbox.url]


async def shard_amid_rows(sandbox: Sandbox) -> FlowRun:
    """A shard's run that has finished some of its rows, and not all."""
    await amid_rows(sandbox, ROWS // 4)
    return next(run for run in await shard_runs(sandbox) if run.state and run.state.type is StateType.RUNNING)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("deployed")
async def test_shards_make_one_project_per_row_and_one_report(
    environment: dict[str, str], sandbox: Sandbox, sheet: Path
) -> None:
    report = await asyncio.to_thread(reported, start((*FLOW, "--shards", "3"), sheet, environment), RUN_SECONDS)
    assert report["requests"] == len(sandbox.requests)
    assert_exactly_once(sandbox, report, ROWS)
    assert report["counts"]["created"] == ROWS
    assert sum(request.path.endswith("/create-project") for request in sandbox.requests) == ROWS
    runs = await shard_runs(sandbox)
    assert sorted((run.parameters["shard"]["first_line"], run.parameters["shard"]["last_line"]) for run in runs) == [
        (2, 81),
        (82, 161),
        (162, 241),
    ]
    assert sorted(run.parameters["max_concurrency"] for run in runs) == [2, 3, 3]
    assert {run.work_queue_name for run in runs} == {"shards"}
    assert len({run.parent_task_run_id for run in runs} - {None}) == 3


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("deployed")
async def test_a_shard_whose_process_is_killed_is_run_again_and_each_row_has_one_project(
    environment: dict[str, str], sandbox: Sandbox, sheet: Path
) -> None:
    batch = start((*FLOW, "--shards", "2", "--max-concurrency", "2"), sheet, environment)
    killed = await shard_amid_rows(sandbox)
    os.kill(pid_of(killed), signal.SIGKILL)

    report = await asyncio.to_thread(reported, batch, RUN_SECONDS)
    assert_exactly_once(sandbox, report, ROWS)
    assert [note for note in report["notes"] if "were run again" in note]
    assert message_of(await ended(killed)).startswith("Crashed")
    assert len(await shard_runs(sandbox)) == 3


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("deployed")
async def test_cancelling_the_batch_stops_its_shards_and_a_rerun_finishes_the_rest(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    # Many more than are staked at once.
    sheet = write_sheet(tmp_path / "long.csv", LONG)
    parameters = {"sheet": str(sheet), "shards": "2", "max_concurrency": 8, "requests_per_second": 100}
    run = await started("create-projects/on-demand", credentials="", **parameters)
    await shard_amid_rows(sandbox)
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Cancelling())

    assert message_of(await ended(run)).startswith("Cancelled")
    summary = (await artifacts(run))["stencil-summary"].data
    assert f"{LONG} rows:" in summary
    assert "unprocessed" in summary
    for each in await shard_runs(sandbox):
        await ended(each)
    assert patches(sandbox) < LONG
    assert [project for project in projects(sandbox) if "[stencil " in project["description"]] == []

    report = await create_projects(sheet=str(sheet), max_concurrency=16)
    assert report.well
    assert len(projects(sandbox)) == LONG


class Changes:
    """Stands before the sandbox's handlers, and adds a row to a sheet once the batch has read it."""

    def __init__(self, sheet: Path) -> None:
        self._sheet = sheet

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler."""
        with self._sheet.open("a", encoding="utf-8") as file:
            file.write("\n")
        return await proceed()


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("deployments")
async def test_what_a_shard_refuses_is_said_in_the_report_and_nothing_is_made(
    environment: dict[str, str], sheet: Path
) -> None:
    with Sandbox(interceptors=[Changes(sheet)]) as sandbox:
        known = {"LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": sandbox.token}
        with worker({**environment, **known}):
            batch = start((*FLOW, "--shards", "2"), sheet, {**environment, **known})
            stdout, stderr = await asyncio.to_thread(batch.communicate, timeout=RUN_SECONDS)
        assert batch.returncode == 1, stdout + stderr
        report = json.loads(stdout)
        assert report["counts"]["unprocessed"] == ROWS
        assert len([note for note in report["notes"] if "the sheet was changed after the batch began" in note]) == 2
        assert projects(sandbox) == []


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("deployed")
async def test_a_shard_does_not_work_on_another_studio_than_its_batch(sandbox: Sandbox, sheet: Path) -> None:
    elsewhere = "http://127.0.0.1:1"
    shard = {
        "first_line": 2,
        "last_line": 9,
        "digest": read_sheet(sheet).digest,
        "intent": "",
        "studio": elsewhere,
        "run": "",
    }
    run = await run_of(DEPLOYMENT, credentials="", sheet=str(sheet), shard=shard)
    assert message_of(run).startswith("Failed: the batch works on http://127.0.0.1:1, and")
    assert projects(sandbox) == []


@pytest.mark.usefixtures("prefect_api", "sandbox")
async def test_shards_of_rows_that_no_other_process_can_read_are_refused() -> None:
    with pytest.raises(ShardsUnavailable, match="give it in `sheet`"):
        await create_projects(csv_text="title,template,workspace\nOne row,1,1\n", shards="2")
