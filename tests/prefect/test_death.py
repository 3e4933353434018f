"""A run that is killed or cancelled says what is known, and a rerun finishes what it left."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run
from prefect.states import AwaitingRetry, Cancelling, Completed, Crashed, Pending, Running

from deployments.automations import SILENT, UNENDED, count_silent_as_crashed, count_unended_as_cancelled
from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.artifacts import show_what_is_known
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.lifecycle import kept_alive
from tests.prefect.deployed import SECONDS, message_of, pid_of
from tests.prefect.deployed import ended as deployed_ended
from tests.prefect.test_create_projects import artifacts, latest_run
from tests.soak.batches import FLOW, Moment, amid_rows, die_and_rerun, projects, start

ROWS = 400
SHEET = "title\n" + "".join(f"Row {number}\n" for number in range(ROWS))


def sent(sandbox: Sandbox, method: str) -> int:
    return sum(request.method == method for request in sandbox.requests)


async def begun(sandbox: Sandbox) -> FlowRun:
    """A run of the deployment, amid its rows."""
    parameters = {"csv_text": SHEET, "template": "1", "workspace": "1", "requests_per_second": 20}
    async with get_client() as client, asyncio.timeout(SECONDS):
        deployment = await client.read_deployment_by_name("create-projects/on-demand")
        run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        await amid_rows(sandbox, 20)
        return await client.read_flow_run(run.id)


async def ended(run: FlowRun) -> tuple[str, str]:
    """The name of a run's final state, and its summary."""
    async with get_client() as client, asyncio.timeout(SECONDS):
        while True:
            state = (await client.read_flow_run(run.id)).state
            summary = (await artifacts(run)).get("stencil-summary")
            if state is not None and state.is_final() and summary is not None:
                return state.name or "", summary.data
            await asyncio.sleep(0.2)


@pytest.mark.slow
def test_after_a_kill_a_rerun_leaves_one_project_per_row(environment: dict[str, str], tmp_path: Path) -> None:
    rerun = die_and_rerun(Moment(request=240, lands=0), FLOW, tmp_path, environment)
    assert rerun.counts["resumed"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_the_summary_of_a_killed_run_has_the_outcomes_so_far(sandbox: Sandbox) -> None:
    run = await begun(sandbox)
    os.kill(pid_of(run), signal.SIGKILL)

    name, summary = await ended(run)
    assert name == "Crashed"
    assert all(words in summary for words in (str(run.id), f"of {ROWS} rows", "Run it again"))


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_a_cancelled_run_reports_the_rest_and_a_rerun_finishes_it(sandbox: Sandbox) -> None:
    run = await begun(sandbox)
    async with get_client() as client:
        # As the Prefect UI does.
        await client.set_flow_run_state(run.id, Cancelling())

    name, summary = await ended(run)
    assert name == "Cancelled"
    assert f"of {ROWS} rows" in summary or f"{ROWS} rows:" in summary
    assert "unprocessed" in summary
    assert sent(sandbox, "POST") < ROWS
    assert [project for project in projects(sandbox) if "[stencil " in project["description"]] == []

    report = await create_projects(csv_text=SHEET, template="1", workspace="1", max_concurrency=16)
    assert report.ok
    assert sent(sandbox, "POST") == len(projects(sandbox)) == ROWS
    assert [project for project in projects(sandbox) if "[stencil " in project["description"]] == []


@pytest.mark.slow
async def test_a_local_run_that_is_cancelled_from_the_ui_stops_between_rows(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    report, code, run = await set_amid_rows(Cancelling(), environment, sandbox, tmp_path)
    assert code == 130
    assert report["stopped"] == "cancelled"
    assert report["counts"]["created"] == sent(sandbox, "PATCH") == len(projects(sandbox)) < ROWS
    assert (await ended(run))[0] == "Cancelled"


@pytest.mark.slow
async def test_a_run_that_lives_is_not_stopped_by_being_counted_as_crashed(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """As after a time in which Prefect's server was away, or the whole laptop slept."""
    report, code, run = await set_amid_rows(Crashed(message="Nothing was heard of it."), environment, sandbox, tmp_path)
    assert code == 0
    assert report["counts"]["created"] == len(projects(sandbox)) == ROWS
    assert (await ended(run))[0] == "Completed"
    async with get_client() as client:
        states = [state.name for state in await client.read_flow_run_states(run.id)]
    assert states[-4:] == ["Running", "Crashed", "Running", "Completed"]


@pytest.mark.usefixtures("prefect_api")
async def test_a_run_of_any_flow_sets_itself_right_while_it_is_kept_alive() -> None:
    @flow
    async def crashes() -> str:
        async with kept_alive(), get_client() as client, asyncio.timeout(SECONDS):
            run = UUID(flow_run.id)
            await client.set_flow_run_state(run, Crashed(), force=True)
            while True:
                state = (await client.read_flow_run(run)).state
                if state is not None and not state.is_crashed():
                    return state.name or ""
                await asyncio.sleep(0.1)

    assert await crashes() == "Running"


@pytest.fixture
async def impatient(prefect_api: str) -> AsyncIterator[None]:
    """What ends runs whose process is gone, less patient."""
    await forget_automations()
    assert await count_silent_as_crashed(timedelta(seconds=30))
    assert await count_unended_as_cancelled(timedelta(seconds=30))
    yield
    await forget_automations()


async def forget_automations() -> None:
    async with get_client() as client:
        for name in (SILENT, UNENDED):
            for automation in await client.read_automations_by_name(name):
                await client.delete_automation(automation.id)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
async def test_a_run_that_never_starts_counts_as_crashed_and_one_that_waits_or_has_ended_does_not() -> None:
    async with get_client() as client:
        # The silent one is last, so that by then the others were judged.
        runs = [await client.create_flow_run(create_projects, parameters={"csv_text": "title\n"}) for _ in range(3)]
        waits, done, silent = runs
        await client.set_flow_run_state(waits.id, AwaitingRetry(), force=True)
        await client.set_flow_run_state(done.id, Completed(), force=True)
        await client.set_flow_run_state(silent.id, Pending(), force=True)
        found = await deployed_ended(silent)
        assert message_of(found).startswith("Crashed: Nothing was heard of it for 30 s")
        states = [(await client.read_flow_run(run.id)).state for run in (waits, done)]
    assert [state.name for state in states if state] == ["AwaitingRetry", "Completed"]


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
async def test_a_run_that_nothing_is_left_to_cancel_counts_as_cancelled() -> None:
    async with get_client() as client:
        # Without the other automation's patience, which can't end it.
        run = await client.create_flow_run(create_projects, parameters={"csv_text": "title\n"}, state=Running())
        await client.set_flow_run_state(run.id, Cancelling())
    found = await deployed_ended(run)
    assert message_of(found).startswith("Cancelled: It was cancelled 30 s ago")


async def set_amid_rows(
    state: State[Any], environment: dict[str, str], sandbox: Sandbox, folder: Path
) -> tuple[dict[str, Any], int, FlowRun]:
    """Report and exit code of a command whose run is set to a state amid its rows; and the run."""
    sheet = folder / "sheet.csv"
    sheet.write_text(SHEET, encoding="utf-8")
    options = ("--template", "1", "--workspace", "1", "--requests-per-second", "20")
    process = start((*FLOW, *options), sheet, environment)
    async with get_client() as client, asyncio.timeout(SECONDS):
        await amid_rows(sandbox, 20)
        run = await latest_run()
        await client.set_flow_run_state(run.id, state, force=True)

    told, errors = await asyncio.to_thread(process.communicate, timeout=SECONDS)
    assert "Traceback" not in errors
    return json.loads(told), process.returncode, run


async def summaries(run: FlowRun, state: Any) -> list[str]:
    await show_what_is_known(flow=create_projects, flow_run=run, state=state)
    found = await artifacts(run)
    return [artifact.data for key, artifact in found.items() if key == "stencil-summary"]


@pytest.mark.usefixtures("prefect_api")
async def test_what_is_known_of_a_run_that_had_told_nothing_is_how_to_go_on_and_no_secret_of_its_sheet() -> None:
    sheet = "https://me:pass@files.example/rows.csv?signature=sealed"
    async with get_client() as client:
        run = await client.create_flow_run(create_projects, parameters={"sheet": sheet}, state=Running())
    (summary,) = await summaries(run, Crashed(message="The process was killed."))
    assert all(
        words in summary for words in ("rows.csv", "The process was killed.", "not reported on any row", "Run it again")
    )
    assert not [secret for secret in ("me:pass", "sealed") if secret in summary]


@pytest.mark.usefixtures("prefect_api")
async def test_a_summary_that_is_there_is_kept() -> None:
    async with get_client() as client:
        run = await client.create_flow_run(create_projects, parameters={"csv_text": "title\nabc\n"}, state=Running())
    first = await summaries(run, Crashed(message="first"))
    assert await summaries(run, Cancelling(message="second")) == first
