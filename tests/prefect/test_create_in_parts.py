"""A sheet carried out in parts by a worker: one project per row, one report, whatever becomes of a part."""

import os
import signal
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling

from label_studio_sandbox import Sandbox
from label_studio_stencil.options import FailWhen
from label_studio_stencil.prefect.parts import (
    DEPLOYMENT,
    Part,
    PartResult,
    create_in_parts,
    final_state,
    parts_of,
)
from label_studio_stencil.report.outcomes import Outcome
from tests.prefect.deployed import command, ended, message_of, pid_of, run_of, runs_of, started
from tests.prefect.test_create_projects import artifacts
from tests.soak.batches import amid_rows, projects, write_sheet

IN_PARTS = "create-in-parts/in-parts"
ROWS = 240


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return write_sheet(tmp_path / "sheet.csv", ROWS)


@pytest.fixture
def one_batch_at_a_time(deployments: None, environment: dict[str, str]) -> None:
    """The queue as bootstrap makes it."""
    command(environment, "prefect", "work-queue", "set-concurrency-limit", "batches", "1", "--pool", "stencil")


async def part_runs(sheet: Path) -> list[FlowRun]:
    """The runs of parts of a sheet, the newest first."""
    return [run for run in await runs_of(DEPLOYMENT) if run.parameters.get("sheet") == str(sheet)]


def assert_one_project_per_row(sandbox: Sandbox) -> None:
    made = projects(sandbox)
    assert len(made) == len({project["title"] for project in made}) == ROWS
    assert not [project for project in made if "[stencil " in project["description"]]


@pytest.mark.slow
@pytest.mark.usefixtures("one_batch_at_a_time", "deployed")
async def test_parts_make_one_project_per_row_though_a_process_is_killed(
    sandbox: Sandbox, sheet: Path, tmp_path: Path
) -> None:
    options = {"requests_per_second": 50, "output": str(tmp_path / "results" / "{time}")}
    run = await started(IN_PARTS, sheet=str(sheet), parts=3, options=options)
    await amid_rows(sandbox, 20)
    killed = next(part for part in await part_runs(sheet) if part.state and part.state.type is StateType.RUNNING)
    os.kill(pid_of(killed), signal.SIGKILL)

    done = await ended(run)
    assert message_of(done).startswith(f"Completed: 3 parts, {ROWS} rows: ")
    assert_one_project_per_row(sandbox)
    parts = await part_runs(sheet)
    assert Counter(part.parameters["lines"] for part in parts) == Counter(
        {"2-81": 1, "82-161": 1, "162-241": 1} | {killed.parameters["lines"]: 2}
    )
    assert {part.work_queue_name for part in parts} == {"parts"}
    summary = (await artifacts(done))["stencil-summary"].data
    assert all(lines in summary for lines in ("| 2-81 | 80 |", "| 82-161 | 80 |", "| 162-241 | 80 |"))
    (results,) = (tmp_path / "results").iterdir()
    assert {path.name for path in results.iterdir()} == {"lines-2-81", "lines-82-161", "lines-162-241"}


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_cancelling_the_run_cancels_its_parts_and_a_rerun_finishes_the_rest(
    sandbox: Sandbox, sheet: Path
) -> None:
    run = await started(IN_PARTS, sheet=str(sheet), parts=2, options={"requests_per_second": 4})
    await amid_rows(sandbox, 5)
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Cancelling())
    assert message_of(await ended(run)).startswith("Cancelled")
    for part in await part_runs(sheet):
        assert message_of(await ended(part)).startswith("Cancelled")
    assert len(projects(sandbox)) < ROWS

    again = await run_of(IN_PARTS, sheet=str(sheet), parts=2)
    assert message_of(again).startswith(f"Completed: 2 parts, {ROWS} rows: ")
    assert_one_project_per_row(sandbox)


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_a_part_that_is_refused_fails_the_run_and_the_others_are_carried_out(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title,template,workspace\nOne,1,1\nTwo,1,1\nBad,no such template,1\n", encoding="utf-8")
    run = await run_of(IN_PARTS, sheet=str(sheet), parts=3)
    assert message_of(run).startswith("Failed: 3 parts, 3 rows: 2 created, 1 unprocessed. Not all parts have reported")
    assert "lines 4-4: Failed: " in message_of(run)
    assert sorted(project["title"] for project in projects(sandbox)) == ["One", "Two"]


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"tempalte": "1"}, "options: tempalte: a part takes .*template", id="unknown"),
        pytest.param({"lines": "2-3"}, "options: lines: a part takes", id="of the flow itself"),
        pytest.param({"max_concurrency": 65}, "max_concurrency", id="too high"),
        pytest.param({"title": "{"}, "title", id="a pattern that is none"),
    ],
)
async def test_options_that_a_part_would_refuse_are_refused_before_any_part_starts(
    sheet: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Exception, match=reason):
        await create_in_parts(sheet=str(sheet), options=options)


@pytest.mark.usefixtures("prefect_api")
async def test_a_sheet_with_a_problem_starts_no_part(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title\nTwice\nTwice\n", encoding="utf-8")
    state = await create_in_parts(sheet=str(sheet), return_state=True)
    assert state.name == "Failed"
    assert "problem" in (state.message or "")


@pytest.mark.parametrize("number", [1, 2, 3, 7, 10, 64])
def test_every_row_is_in_one_part_and_parts_differ_by_one_row_at_most(number: int) -> None:
    lines = [2, 3, 5, 8, 9, 13, 14, 15, 16, 20]
    parts = parts_of(lines, number)
    ranges = [tuple(map(int, part.lines.split("-"))) for part in parts]
    assert [line for first, last in ranges for line in lines if first <= line <= last] == lines
    assert [part.rows for part in parts] == [sum(first <= line <= last for line in lines) for first, last in ranges]
    assert max(part.rows for part in parts) - min(part.rows for part in parts) <= 1


def result(**counts: int) -> PartResult:
    found = Counter({Outcome(name): count for name, count in counts.items()})
    return PartResult(Part("2-11", 10), SimpleNamespace(name="a run"), found, "what it says")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("results", "fail_when", "state"),
    [
        pytest.param([result(created=10), result(exists=10)], "any", "Completed", id="all ok"),
        pytest.param([result(created=10), result(created=9, failed=1)], "any", "Failed", id="a row of one part"),
        pytest.param([result(created=10), result(failed=10)], "all", "CompletedWithFailures", id="one part as a whole"),
        pytest.param([result(failed=10), result(failed=10)], "all", "Failed", id="all rows of all parts"),
        pytest.param([result(failed=10), result(created=10)], "never", "CompletedWithFailures", id="never"),
        pytest.param([result(created=10), result()], "never", "Failed", id="a part without a report"),
        pytest.param([result(created=10), result(created=9)], "any", "Failed", id="fewer rows than the part has"),
        pytest.param([result(created=10), result(created=11)], "any", "Failed", id="more rows than the part has"),
    ],
)
def test_the_final_state_is_computed_from_the_rows_of_all_parts(
    results: list[PartResult], fail_when: FailWhen, state: str
) -> None:
    assert final_state("sentence", results, fail_when).name == state
