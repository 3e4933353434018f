"""Nothing waits for nothing: dry runs and polls pass a batch by, and what waits shows which sheet it is for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect import names
from label_studio_stencil.prefect.names import _GENERATED
from tests.prefect.deployed import SECONDS, command, ended, message_of, run_of, runs_of, started, worker
from tests.prefect.test_schedules import INBOX, switched_on
from tests.soak.batches import amid_rows

ON_DEMAND, DRY_RUN = "create-projects/on-demand", "create-projects/dry-run"
ROW = {"template": "1", "workspace": "1", "credentials": ""}
LONG: dict[str, Any] = {
    "csv_text": "title\n" + "".join(f"Row {number}\n" for number in range(400)),
    "requests_per_second": 10,
    **ROW,
}


@pytest.mark.parametrize("name", ["brave-otter", "Gorgeous-Goat", "theta6-aoki", "nu-daled", "lambda4-calakmul-point"])
def test_a_name_that_prefect_made_up_gives_way(name: str) -> None:
    assert _GENERATED.fullmatch(name)


@pytest.mark.parametrize("name", ["Mine", "april_2", "sheet april", "january.csv", "4-eyes", "import for q3"])
def test_a_name_that_a_person_gave_stays(name: str) -> None:
    assert not _GENERATED.fullmatch(name)


@pytest.mark.parametrize(
    "parameters",
    [
        {"sheet": "title\nA\nB" * 1000},
        {"sheet": "s.csv", "lines": "2-\n\x1b[31m5" * 1000},
        {"sheet": "a\u202eb"},
        {"event": {"sheet": "title\nA\nB" * 1000}},
        {"event": ["no object"], "pinned": "no object"},
    ],
)
def test_a_name_of_a_run_is_one_short_line_whatever_was_typed(parameters: dict[str, Any]) -> None:
    name = names.name_of(parameters)
    assert len(name) <= 100
    assert name.isprintable()


def test_a_run_of_an_event_is_named_by_what_the_event_sets_and_the_deployment_pins() -> None:
    given = {"event": {"sheet": "s3://sheets/january.csv"}, "pinned": {"dry_run": True, "lines": "2-5"}}
    assert names.name_of(given) == "january.csv lines 2-5 dry run"


async def name_of(run: FlowRun) -> str:
    async with get_client() as client:
        return (await client.read_flow_run(run.id)).name


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_a_dry_run_passes_a_batch_by_and_runs_that_wait_for_it_show_their_sheet(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    command(environment, "prefect", "work-queue", "set-concurrency-limit", "batches", "1", "--pool", "stencil")
    sheet = tmp_path / "january.csv"
    sheet.write_text("title\nFirst\n", encoding="utf-8")
    batch = await started(ON_DEMAND, **LONG)
    await amid_rows(sandbox, 1)
    waiting = await started(ON_DEMAND, sheet=str(sheet), **ROW)
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(ON_DEMAND)
        given = await client.create_flow_run_from_deployment(
            deployment.id, parameters={"sheet": str(sheet), **ROW}, name="For Anna"
        )
    dry = await run_of(DRY_RUN, sheet=str(sheet), **ROW)
    assert message_of(dry) == "Completed: 1 row: 1 would be created"
    async with asyncio.timeout(SECONDS):
        while await name_of(waiting) != "january.csv":  # noqa: ASYNC110 - the batch names it
            await asyncio.sleep(0.2)
    async with get_client() as client:
        states = [(await client.read_flow_run(each.id)).state for each in (batch, waiting)]
        assert [state and state.type.value for state in states] == ["RUNNING", "SCHEDULED"]
        await client.set_flow_run_state(batch.id, Cancelling())
    assert {message_of(await ended(each)) for each in (waiting, given)} == {
        "Completed: 1 row: 1 created",
        "Completed: 1 row: 1 exists, nothing written",
    }
    assert await name_of(given) == "For Anna"


@pytest.mark.slow
@pytest.mark.usefixtures("deployments")
async def test_polls_that_fell_due_are_dropped_by_the_one_that_looks(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    command(environment, "prefect", "work-queue", "set-concurrency-limit", "polls", "1", "--pool", "stencil")

    async def due(names: tuple[str, ...] = ("Scheduled", "Late")) -> list[FlowRun]:
        runs = await runs_of(INBOX)
        return [run for run in runs if run.state_name in names and run.estimated_start_time_delta.total_seconds() > 0]

    async with switched_on(INBOX, inbox=str(tmp_path), quiet_seconds=0), asyncio.timeout(SECONDS):
        while len(await due()) < 4:  # noqa: ASYNC110 - Prefect's server makes them
            await asyncio.sleep(0.5)
        piled = {run.id for run in await due()}
        with worker(environment):
            while len(await due(("Completed",))) < 1:  # noqa: ASYNC110 - the worker runs it
                await asyncio.sleep(0.2)
    left = {run.id: run.state_name for run in await runs_of(INBOX)}
    # The others are gone, or at most one was fetched before they were dropped.
    assert len(piled & left.keys()) <= 2
