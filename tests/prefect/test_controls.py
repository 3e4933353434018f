"""What a person does to a run in Prefect's UI does what it says: Pause, Resume, Cancel and Retry."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, TaskRunFilter, TaskRunFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, Log
from prefect.states import AwaitingRetry, Cancelling, Suspended

from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.tasks import sweep
from label_studio_stencil.report.outcomes import Outcome
from tests.prefect.deployed import SECONDS, ended, message_of, parent_of, pid_of, started
from tests.prefect.test_create_projects import artifacts, latest_run
from tests.soak.batches import amid_rows, placeholders, projects

ON_DEMAND = "create-projects/on-demand"
ROWS = 200
ROW = {"template": "1", "workspace": "1"}
SHEET = "title\n" + "".join(f"Row {number}\n" for number in range(ROWS))
GIVEN: dict[str, Any] = {"csv_text": SHEET, "requests_per_second": 40, **ROW}


def titles(sandbox: Sandbox) -> Counter[str]:
    return Counter(project["title"] for project in projects(sandbox))


async def logs_of(run: FlowRun) -> list[Log]:
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    async with get_client() as client:
        return await client.read_logs(of_run, limit=200)


async def logged(run: FlowRun, text: str) -> None:
    """Return once a run has logged a text."""
    while not any(text in log.message for log in await logs_of(run)):  # noqa: ASYNC110 - a worker of Prefect's sends it
        await asyncio.sleep(0.2)


def lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def press_pause(run: UUID) -> None:
    """As the button of Prefect's UI does."""
    async with get_client() as client:
        await client.set_flow_run_state(run, Suspended(timeout_seconds=300, pause_key="person"), force=True)


async def press_resume(run: UUID) -> None:
    async with get_client() as client:
        await client.resume_flow_run(run)


async def until_no_more_is_created(sandbox: Sandbox) -> int:
    """How many projects there are once all of them are set up, which none under way is."""
    async with asyncio.timeout(SECONDS):
        while placeholders(sandbox) or sum(titles(sandbox).values()) == 0:  # noqa: ASYNC110 - another process does
            await asyncio.sleep(0.2)
    return sum(titles(sandbox).values())


@pytest.mark.usefixtures("prefect_api")
async def test_a_local_run_waits_while_it_is_paused_and_goes_on_where_it_was(sandbox: Sandbox) -> None:
    running = asyncio.ensure_future(create_projects(**GIVEN))
    async with asyncio.timeout(SECONDS):
        await amid_rows(sandbox, 10)
        run = await latest_run()
        await press_pause(run.id)
        await logged(run, "Paused")
        made = await until_no_more_is_created(sandbox)
        assert made < ROWS
        while not (await artifacts(run))["stencil-progress"].description.startswith(f"{made} of {ROWS} rows"):  # noqa: ASYNC110 - the server
            await asyncio.sleep(0.2)
        await press_resume(run.id)
        report = await running
    assert report.counts[Outcome.CREATED] == ROWS
    assert set(titles(sandbox).values()) == {1}
    assert message_of(await ended(run)) == f"Completed: {ROWS} rows: {ROWS} created"


@pytest.mark.usefixtures("prefect_api")
async def test_a_local_run_that_is_paused_during_the_sweep_does_its_steps_after_resume(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = []

    async def sweep_amid_a_pause(given: Any) -> None:
        batch = given.unquote()
        await sweep(batch)
        swept.append(sum(titles(sandbox).values()))
        if len(swept) == 1:
            await press_pause((await latest_run()).id)
            while not batch.stopping:  # noqa: ASYNC110 - it asks Prefect's server
                await asyncio.sleep(0.1)

    monkeypatch.setattr("label_studio_stencil.prefect.flows.sweep", sweep_amid_a_pause)
    given: dict[str, Any] = {"csv_text": "title,publish\nOne row,yes\nTwo rows,yes\n", **ROW}
    running = asyncio.ensure_future(create_projects(**given))
    async with asyncio.timeout(SECONDS):
        while not swept:  # noqa: ASYNC110 - the run
            await asyncio.sleep(0.1)
        run = await latest_run()
        await logged(run, "Paused")
        await press_resume(run.id)
        report = await running
    assert report.sentence == "2 rows: 2 created"
    assert report.stopped == ""
    assert [project["is_published"] for project in projects(sandbox)] == [True, True]


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_a_workers_run_ends_at_pause_and_another_process_goes_on_after_resume(sandbox: Sandbox) -> None:
    run = await started(ON_DEMAND, **GIVEN)
    async with get_client() as client, asyncio.timeout(SECONDS):
        await amid_rows(sandbox, 10)
        process = pid_of(await client.read_flow_run(run.id))
        await press_pause(run.id)
        while lives(process):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)
        assert (await client.read_flow_run(run.id)).state_name == "Suspended"
    made = sum(titles(sandbox).values())
    assert made < ROWS
    assert placeholders(sandbox) == []

    await press_resume(run.id)
    assert message_of(await ended(run)) == f"Completed: {ROWS} rows: {ROWS - made} created, {made} exists"
    assert set(titles(sandbox).values()) == {1}
    assert sum(titles(sandbox).values()) == ROWS
    assert not [log.message for log in await logs_of(run) if "Crash" in log.message]


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_resume_right_after_pause_leaves_one_project_per_row(sandbox: Sandbox) -> None:
    run = await started(ON_DEMAND, **GIVEN)
    await amid_rows(sandbox, 10)
    await press_pause(run.id)
    await press_resume(run.id)
    assert (await ended(run)).state_name == "Completed"
    assert sorted(titles(sandbox).values()) == [1] * ROWS
    assert placeholders(sandbox) == []


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_cancel_right_after_pause_completes_the_placeholders_and_the_progress_has_the_counts(
    sandbox: Sandbox,
) -> None:
    run = await started(ON_DEMAND, **GIVEN)
    async with get_client() as client, asyncio.timeout(SECONDS):
        await amid_rows(sandbox, 10)
        process = pid_of(await client.read_flow_run(run.id))
        await press_pause(run.id)
        await client.set_flow_run_state(run.id, Cancelling())
        while lives(process):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)
        assert (await client.read_flow_run(run.id)).state_name == "Cancelled"
    made = sum(titles(sandbox).values())
    assert placeholders(sandbox) == []
    found = await artifacts(run)
    assert found["stencil-progress"].description.startswith(f"{made} of {ROWS} rows")
    assert "stencil-summary" not in found


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_a_cancelled_run_has_its_counts_in_the_summary_and_no_crash_in_its_log(sandbox: Sandbox) -> None:
    run = await started(ON_DEMAND, **GIVEN)
    await amid_rows(sandbox, 10)
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Cancelling())
    assert (await ended(run)).state_name == "Cancelled"

    made = sum(titles(sandbox).values())
    assert 0 < made < ROWS
    assert placeholders(sandbox) == []
    summary = (await artifacts(run))["stencil-summary"]
    assert f"{ROWS} rows: {made} created, {ROWS - made} unprocessed" in summary.description
    assert not [log.message for log in await logs_of(run) if "Crash" in log.message]
    mine = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run.id]))
    async with get_client() as client:
        states = Counter(each.state_name for each in await client.read_task_runs(task_run_filter=mine, limit=200))
    assert "Crashed" not in states


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_retry_runs_the_mended_sheet(sandbox: Sandbox, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title\nFirst\nx\n", encoding="utf-8")
    run = await ended(await started(ON_DEMAND, sheet=str(sheet), **ROW))
    assert "title-too-short" in message_of(run)

    sheet.write_text("title\nFirst\nSecond\n", encoding="utf-8")
    async with get_client() as client:
        # As the UI does.
        await client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
    assert message_of(await ended(run)) == "Completed: 2 rows: 2 created"


@pytest.mark.slow
async def test_a_run_goes_on_to_its_end_when_its_worker_alone_is_killed(deployed: None, sandbox: Sandbox) -> None:
    run = await started(ON_DEMAND, **GIVEN)
    await amid_rows(sandbox, 10)
    async with get_client() as client:
        os.kill(parent_of(pid_of(await client.read_flow_run(run.id))), signal.SIGKILL)
    assert message_of(await ended(run)) == f"Completed: {ROWS} rows: {ROWS} created"


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_an_output_that_a_worker_would_delete_is_refused_before_the_first_write(sandbox: Sandbox) -> None:
    run = await ended(await started(ON_DEMAND, csv_text="title\nFirst\n", output="results", **ROW))
    assert message_of(run).startswith(
        "Failed: Results can't be written to results: a worker deletes the working folder"
    )
    assert projects(sandbox) == []
