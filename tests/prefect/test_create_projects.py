"""The flow on a real Prefect server: what it makes, what Prefect shows of it, and how it ends."""

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, StateType

from label_studio_sandbox import Sandbox
from label_studio_stencil.batch import BatchFailed
from label_studio_stencil.prefect.artifacts import kind_of
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.parameters import BadParameters, SourceUnclear
from label_studio_stencil.prefect.tasks import RETRIES
from label_studio_stencil.problems import InvalidSheet
from label_studio_stencil.report.outcomes import Outcome
from tests.prefect.deployed import SECONDS

pytestmark = pytest.mark.usefixtures("prefect_api")


def rows(number: int, **cells: Any) -> list[dict[str, Any]]:
    return [{"title": f"Project {each:04}", "template": "1", "workspace": "1"} | cells for each in range(number)]


async def latest_run() -> FlowRun:
    async with get_client() as client:
        runs = await client.read_flow_runs(limit=1, sort="START_TIME_DESC")  # type: ignore[arg-type]
        return runs[0]


async def task_runs(run: FlowRun, *awaited: str) -> list[Any]:
    """The task runs of a run, once all have ended and those that are awaited by name are among them.

    The server takes them in one by one, a moment after they ended; `report`, the last that a batch makes, is always awaited.
    """
    mine = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run.id]))
    async with get_client() as client, asyncio.timeout(SECONDS):
        while True:
            found = await client.read_task_runs(task_run_filter=mine, limit=200)
            ended = [each.name for each in found if each.state is not None and each.state.is_final()]
            if len(ended) == len(found) and {"report", *awaited} <= set(ended):
                return found
            await asyncio.sleep(0.2)


async def artifacts(run: FlowRun) -> dict[str, Any]:
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    async with get_client() as client:
        return {kind_of(each.key or ""): each for each in await client.read_artifacts(artifact_filter=mine)}


def writes(sandbox: Sandbox) -> list[str]:
    return [request.method for request in sandbox.requests if request.method not in ("GET", "HEAD")]


async def test_each_row_becomes_a_project_and_a_task_run_named_by_its_title(sandbox: Sandbox) -> None:
    report = await create_projects(rows=rows(5, maximum_annotations=3))
    assert {row.outcome for row in report.rows} == {Outcome.CREATED}
    assert writes(sandbox).count("POST") == 5

    run = await latest_run()
    assert run.state is not None
    assert (run.state.type, run.state.name, run.state.message) == (StateType.COMPLETED, "Completed", report.sentence)
    titles = {row.title for row in report.rows}
    assert titles <= {each.name for each in await task_runs(run, *titles)}


async def test_the_artifacts_tell_of_every_row_and_link_to_its_project(sandbox: Sandbox) -> None:
    report = await create_projects(rows=rows(3))
    found = await artifacts(await latest_run())
    assert {"stencil-summary", "stencil-rows", "stencil-progress"} <= found.keys()
    assert report.sentence in found["stencil-summary"].data
    assert all(row.project_url in found["stencil-summary"].data for row in report.rows)
    assert found["stencil-progress"].data == 100.0


async def test_a_large_batch_takes_at_most_about_a_hundred_task_runs(sandbox: Sandbox) -> None:
    report = await create_projects(rows=rows(300), max_concurrency=16)
    assert report.counts[Outcome.CREATED] == 300
    groups = [f"lines {first}-{first + 49}" for first in range(2, 302, 50)]
    assert len(await task_runs(await latest_run(), *groups)) <= 105


async def test_a_second_run_of_the_same_rows_writes_nothing(sandbox: Sandbox) -> None:
    await create_projects(rows=rows(4))
    before = len(writes(sandbox))
    report = await create_projects(rows=rows(4))
    assert {row.outcome for row in report.rows} == {Outcome.EXISTS}
    assert len(writes(sandbox)) == before


async def test_a_dry_run_writes_nothing_and_says_what_would_be(sandbox: Sandbox) -> None:
    report = await create_projects(rows=rows(4), dry_run=True)
    assert "would be created" in report.sentence
    assert writes(sandbox) == []


@pytest.fixture
def broken_row(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Two rows: Label Studio refuses the second one's PATCH."""
    return [*rows(1), {**rows(2)[1], "overrides": {"model_version": "nope"}}]


async def test_a_row_that_fails_fails_the_run_and_the_caller_gets_the_report(
    broken_row: list[dict[str, Any]],
) -> None:
    with pytest.raises(BatchFailed) as failed:
        await create_projects(rows=broken_row)
    report = failed.value.report
    assert [row.outcome for row in report.rows] == [Outcome.CREATED, Outcome.FAILED]
    run = await latest_run()
    assert run.state is not None
    assert (run.state.type, run.state.name, run.state.message) == (StateType.FAILED, "Failed", report.sentence)


async def test_fail_when_decides_between_failed_and_completed_with_failures(
    broken_row: list[dict[str, Any]],
) -> None:
    report = await create_projects(rows=broken_row, fail_when="all")
    assert report.counts[Outcome.FAILED] == 1
    run = await latest_run()
    assert run.state is not None
    assert (run.state.type, run.state.name) == (StateType.COMPLETED, "CompletedWithFailures")


async def test_max_failures_stops_the_batch_and_the_rest_is_unprocessed(sandbox: Sandbox) -> None:
    bad = [{**row, "overrides": {"model_version": "nope"}} for row in rows(300)]
    report = await create_projects(rows=bad, max_failures="3", max_concurrency=1, fail_when="never")
    assert report.counts[Outcome.UNPROCESSED] > 0
    assert report.counts[Outcome.FAILED] >= 4
    assert "max_failures" in report.stopped


async def test_an_invalid_sheet_creates_nothing_and_its_problems_are_an_artifact(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidSheet, match="title-too-short"):
        await create_projects(csv_text="title,template\nok title,1\nx,1\nother title,No such template\n")
    assert writes(sandbox) == []
    run = await latest_run()
    assert run.state is not None
    assert run.state.type is StateType.FAILED
    problems = (await artifacts(run))["stencil-problems"]
    assert "template-unknown" in problems.data


@pytest.mark.parametrize(
    "given", [{}, {"sheet": "a.csv", "csv_text": "title\nabc"}, {"csv_text": "title\nabc", "rows": rows(1)}]
)
async def test_exactly_one_source_must_be_given(given: dict[str, Any]) -> None:
    with pytest.raises(SourceUnclear, match="exactly one of sheet, csv_text and rows"):
        await create_projects(**given, sandbox=True)


@pytest.mark.parametrize("number", [2, 30_000], ids=["small", "too large for a parameter"])
async def test_a_frame_given_to_the_flow_is_an_error_that_names_the_call_that_takes_it(number: int) -> None:
    with pytest.raises(BadParameters, match=r"label_studio_stencil\.create"):
        await create_projects(pd.DataFrame({"title": ["abc"] * number}))  # type: ignore[call-overload]


@pytest.mark.slow
async def test_a_cancelled_run_completes_its_placeholders_and_reports_the_rest(sandbox: Sandbox) -> None:
    running = asyncio.ensure_future(create_projects(rows=rows(400), max_concurrency=2))
    async with asyncio.timeout(SECONDS):
        while not writes(sandbox).count("PATCH"):  # noqa: ASYNC110 - the sandbox runs in a thread of its own
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    summary = (await artifacts(await latest_run()))["stencil-summary"].data
    assert "unprocessed" in summary
    assert writes(sandbox).count("POST") == writes(sandbox).count("PATCH")

    report = await create_projects(rows=rows(400), max_concurrency=16)
    assert report.ok
    assert writes(sandbox).count("POST") == 400


def test_the_delays_of_the_tasks_are_those_of_the_policy() -> None:
    from label_studio_stencil.prefect.tasks import create_group

    assert create_group.retries == len(RETRIES.delays)
    assert create_group.retry_delay_seconds == list(RETRIES.delays)


async def test_result_files_that_can_not_be_written_are_reported(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    report = await create_projects(rows=rows(1), output=str(tmp_path))
    assert "written" in report.output_error
    assert report.notes == (report.output_error,)


async def test_steps_are_done_and_reported_in_a_task_run_of_their_own(sandbox: Sandbox) -> None:
    report = await create_projects(rows=[*rows(1, publish="yes"), *rows(1, title="Plain one")])
    assert [row.steps for row in report.rows] == ["published", ""]
    names = [each.name for each in await task_runs(await latest_run(), "steps")]
    assert names.count("steps") == 1


async def test_rows_that_need_attention_are_an_artifact_to_copy_from(broken_row: list[dict[str, Any]]) -> None:
    broken_row[1]["description"] = "=1+1 ```"
    await create_projects(rows=broken_row, fail_when="never")
    found = await artifacts(await latest_run())
    text = found["stencil-failed"].data
    assert "Project 0001" in text
    assert "'=1+1 ```" in text
    assert "````\n" in text
    assert "Project 0000" not in text
    assert "stencil-failed-127-0-0-1-" in found["stencil-summary"].data


@pytest.mark.parametrize(("cell", "told"), [("\u202etxt.exe", True), ("txt.exe", False), ("lost \ufffd", False)])
async def test_a_sheet_to_copy_from_says_which_characters_it_can_not_show(
    broken_row: list[dict[str, Any]], cell: str, told: bool
) -> None:
    broken_row[1]["description"] = cell
    await create_projects(rows=broken_row, fail_when="never")
    text = (await artifacts(await latest_run()))["stencil-failed"].data
    assert ("a page can't show" in text) is told


async def test_rows_with_passwords_are_no_artifact(broken_row: list[dict[str, Any]]) -> None:
    broken_row[1]["overrides"] = {"model_version": "nope", "task_data_password": "hunter2hunter2"}
    await create_projects(rows=broken_row, fail_when="never")
    found = await artifacts(await latest_run())
    assert "stencil-failed" not in found
    assert "set `output`" in found["stencil-summary"].data
