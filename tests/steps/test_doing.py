"""Steps are done once, and a row is well only when they are: on the sandbox, with answers lost, kills and rivals."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from label_studio_sandbox import Call, Proceed, Sandbox
from label_studio_stencil.access import Instance, open_label_studio
from label_studio_stencil.batch import prepare, provision
from label_studio_stencil.engine import steps
from label_studio_stencil.engine.steps import StepRunner
from label_studio_stencil.files import Asker
from label_studio_stencil.options import Mode, Options
from label_studio_stencil.plans.pending import Sent
from label_studio_stencil.plans.targets import check
from label_studio_stencil.policy import Patience
from label_studio_stencil.problems import InvalidSheet
from label_studio_stencil.report.outcomes import RowReport
from label_studio_stencil.report.report import Report
from label_studio_stencil.rows.task_files import Tasks, open_tasks
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet

OPTIONS = Options(template="1", workspace="1")
#: No wait for whoever else may be at it.
QUICK = Patience(unanswered=(0.01, 0.02), rivals=0.05, late=0.05, lease=0.0)
TASKS = [{"data": {"text": str(n)}} for n in range(5)]
SENTIMENT = "Sentiment of customer reviews"

Spoiler = Callable[[Call, Proceed], Any]


class Spoilt:
    """Stands before the sandbox's handlers; what `spoil` says of a kind of request happens to the first ones of it."""

    def __init__(self) -> None:
        self.spoil: dict[str, list[Spoiler]] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        named = {"/import": "import", "/members/bulk/": "members"}
        kind = next((kind for end, kind in named.items() if call.path.endswith(end)), call.method)
        planned = self.spoil.get(kind, [])
        if planned:
            answer: Response = await planned.pop(0)(call, proceed)
            return answer
        return await proceed()


async def lost_before(call: Call, proceed: Proceed) -> Response:
    return JSONResponse({"detail": "gone"}, 502)


async def pass_on(call: Call, proceed: Proceed) -> Response:
    return await proceed()


async def too_fast(call: Call, proceed: Proceed) -> Response:
    return JSONResponse({"detail": "asked too fast"}, 429, headers={"retry-after": "0"})


async def lost_after(call: Call, proceed: Proceed) -> Response:
    await proceed()
    return JSONResponse({"detail": "gone"}, 502)


async def counted_at_once(call: Call, proceed: Proceed) -> Response:
    """As Community answers an import: it is over, and has no id."""
    await proceed()
    return JSONResponse({"task_count": len(TASKS)}, 201)


def late(questions: int) -> Spoiler:
    """An import that is done after so many questions for its state."""

    async def begun(call: Call, proceed: Proceed) -> Response:
        call.import_questions = questions
        return await proceed()

    return begun


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_COUNTS_AGAIN", (0.01, 0.02))


@pytest.fixture
def spoilt() -> Spoilt:
    return Spoilt()


@pytest.fixture
def sandbox(spoilt: Spoilt) -> Iterator[Sandbox]:
    with Sandbox(log_requests=True, interceptors=[spoilt]) as sandbox:
        yield sandbox


@pytest.fixture
async def label_studio(sandbox: Sandbox) -> AsyncIterator[Instance]:
    async with open_label_studio(LabelStudioSettings(sandbox.url, SecretStr(sandbox.token)), OPTIONS) as label_studio:
        yield label_studio


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    (tmp_path / "tasks.json").write_text(json.dumps(TASKS), encoding="utf-8")
    path = tmp_path / "sheet.csv"
    people = "ann@example.com; rob@example.com: reviewer"
    path.write_text(f"title,members,tasks,publish,pin\nWith all,{people},tasks.json,yes,yes\n", encoding="utf-8")
    return path


async def created(
    label_studio: Instance, sheet: Path, options: Options = OPTIONS, patience: Patience = QUICK
) -> Report:
    return await provision(check(read_sheet(sheet), options), options, label_studio, patience=patience)


async def row_of(label_studio: Instance, sheet: Path, **changed: Any) -> RowReport:
    return (await created(label_studio, sheet, **changed)).rows[0]


def project(sandbox: Sandbox, number: int | None = 1) -> dict[str, Any]:
    with httpx.Client(base_url=sandbox.url, headers={"authorization": f"Token {sandbox.token}"}) as http:
        found: dict[str, Any] = http.get(f"/api/projects/{number}/").json()
    return found


def imports(sandbox: Sandbox) -> int:
    return sum(request.path.endswith("/import") for request in sandbox.requests)


def assert_all_done(sandbox: Sandbox) -> None:
    found = project(sandbox)
    assert (found["task_number"], found["is_published"], found["description"]) == (5, True, SENTIMENT)
    assert found["pinned_at"]
    assert {(each["email"], each["role"]) for each in found["members"]} == {
        ("ann@example.com", "AN"),
        ("rob@example.com", "RE"),
    }


async def test_all_steps_are_done_and_reported_and_a_rerun_takes_one_listing(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.steps) == ("created", "5 tasks imported; 2 members; published; pinned")
    assert_all_done(sandbox)
    before = len(sandbox.requests)
    assert (await row_of(label_studio, sheet)).outcome.value == "exists"
    # Templates, workspaces, people and the list.
    assert [request.method for request in sandbox.requests[before:]] == ["GET"] * 4


@pytest.mark.usefixtures("after_the_sweep")
async def test_while_steps_are_not_done_the_description_says_so(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    checked = check(read_sheet(sheet), OPTIONS)
    batch = await prepare(checked, OPTIONS, label_studio, patience=QUICK)
    await batch.engine.attempt(batch.engine.tickets)
    # Here the process dies.
    assert "a rerun of its sheet goes on" in project(sandbox)["description"]
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.steps) == ("resumed", "5 tasks imported; 2 members; published; pinned")
    assert_all_done(sandbox)


async def test_an_import_whose_answer_was_lost_is_looked_for_and_not_sent_again(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    spoilt.spoil["import"] = [lost_after]
    assert (await row_of(label_studio, sheet)).outcome.value == "created"
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


@pytest.mark.usefixtures("impatient")
async def test_an_import_whose_answer_was_lost_is_never_sent_again_and_the_row_says_what_to_do(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    spoilt.spoil["import"] = [lost_before]
    for _ in range(2):
        row = await row_of(label_studio, sheet)
        assert (row.outcome.value, row.error_code, imports(sandbox)) == ("failed", "step-failed", 1)
        assert "Label Studio counts 0 of 5 tasks" in row.error
        assert "Check project 1" in row.error
        assert not project(sandbox)["is_published"]
    await asyncio.to_thread(as_colleague, sandbox, "POST", "/api/projects/1/import", TASKS)
    assert (await row_of(label_studio, sheet)).outcome.value == "resumed"
    assert_all_done(sandbox)


@pytest.mark.usefixtures("impatient")
async def test_an_import_that_goes_on_is_waited_for(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    spoilt.spoil["import"] = [late(4)]
    assert (await row_of(label_studio, sheet)).outcome.value == "created"
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


@pytest.mark.usefixtures("impatient")
async def test_while_an_import_goes_on_no_other_is_sent(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_LONGEST_IMPORT", 0.0)
    spoilt.spoil["import"] = [late(1_000_000)]
    for _ in range(2):
        row = await row_of(label_studio, sheet)
        assert (row.outcome.value, imports(sandbox)) == ("failed", 1)
        assert "Label Studio is still working on it: run the sheet again later" in row.error
    sandbox.finish_imports()
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.steps) == ("resumed", "5 tasks were there; 2 members; published; pinned")
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


@pytest.mark.usefixtures("impatient")
async def test_a_batch_that_dies_amid_an_import_leaves_tasks_that_nobody_sends_again(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    arrived, died = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def slow(call: Call, proceed: Proceed) -> Response:
        loop.call_soon_threadsafe(arrived.set)
        await asyncio.to_thread(died.wait)
        return await proceed()

    spoilt.spoil["import"] = [slow]
    batch = asyncio.ensure_future(row_of(label_studio, sheet))
    await arrived.wait()
    # The first cancellation would have it complete what it has begun.
    while not batch.done():
        batch.cancel()
        await asyncio.sleep(0)
    assert "Label Studio counts 0 of 5 tasks" in (await row_of(label_studio, sheet)).error
    died.set()
    while (await asyncio.to_thread(project, sandbox))["task_number"] != 5:
        pass
    assert (await row_of(label_studio, sheet)).outcome.value == "resumed"
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


async def test_a_process_that_ends_before_it_sends_tasks_leaves_them_to_a_rerun(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends a run cancels every task of its process, and the placeholders are completed by new ones."""
    about_to = asyncio.Event()

    async def hangs(*_: object, **__: object) -> None:
        about_to.set()
        await asyncio.Event().wait()

    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio, patience=QUICK)
    monkeypatch.setattr(label_studio.client, "import_tasks", hangs)
    before = asyncio.all_tasks()
    run = asyncio.ensure_future(batch.run())
    await about_to.wait()
    assert project(sandbox)["description"].endswith(" sent]")
    batch.stopping.stop("the worker ends it")
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await batch.complete_placeholders()
    monkeypatch.undo()
    (left,) = batch.report().rows
    assert (left.outcome.value, left.error_code) == ("failed", "step-failed")
    assert "run the sheet again to continue" in left.error
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.steps.split(";")[0]) == ("resumed", "5 tasks imported")
    assert_all_done(sandbox)


async def test_an_import_that_was_carried_out_twice_fails_the_row(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    async def twice(call: Call, proceed: Proceed) -> Response:
        await proceed()
        await proceed()
        # SQLite makes Community replay a request by itself.
        return JSONResponse({"task_count": 5}, 201)

    spoilt.spoil["import"] = [twice]
    row = await row_of(label_studio, sheet)
    assert row.outcome.value == "failed"
    assert "holds 10 tasks, and the file has 5" in row.error
    found = project(sandbox)
    assert (found["is_published"], "a rerun of its sheet goes on" in found["description"]) == (False, True)


async def test_an_answer_that_is_an_old_copy_is_read_again(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    async def old_copy(call: Call, proceed: Proceed) -> Response:
        before = call.store.project(call.id)
        assert before is not None
        await proceed()
        return JSONResponse({"id": 1, "title": before.title, "description": before.description, "workspace": 1})

    spoilt.spoil["PATCH"] = [pass_on, old_copy, old_copy]
    assert (await row_of(label_studio, sheet)).outcome.value == "created"
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


def mend(sheet: Path) -> None:
    (sheet.parent / "tasks.json").write_text(json.dumps(TASKS), encoding="utf-8")


def spoil_tasks(sheet: Path, spoilt: Spoilt) -> None:
    """A file that only Label Studio has something against, which shows as it carries the import out."""

    async def failing(call: Call, proceed: Proceed) -> Response:
        call.import_error = 'Error at item 0: "text" key is expected in task data [assume: item] :: SECRET'
        return await proceed()

    spoilt.spoil["import"] = [failing]
    (sheet.parent / "tasks.json").write_text('[{"data": {"text": "SECRET"}}]', encoding="utf-8")


#: A lease that nobody waits for in a test.
LEASED = replace(QUICK, lease=3600.0, read=1.0)
MODES = pytest.mark.parametrize("mode", ["create", "update"])


@MODES
async def test_why_an_import_failed_is_told_and_a_mended_file_is_imported_at_once(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, mode: Mode
) -> None:
    spoil_tasks(sheet, spoilt)
    row = await row_of(label_studio, sheet, patience=LEASED)
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert "import 1 of" in row.error
    assert 'task 1 lacks "text"' in row.error
    assert "SECRET" not in row.error
    mend(sheet)
    row = await row_of(label_studio, sheet, options=OPTIONS.model_copy(update={"mode": mode}), patience=LEASED)
    assert (row.outcome.value, row.steps) == ("resumed", "5 tasks imported; 2 members; published; pinned")
    assert imports(sandbox) == 2
    assert_all_done(sandbox)


@MODES
async def test_a_file_that_was_refused_is_corrected_and_imported_at_once(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, mode: Mode
) -> None:
    async def refuse(call: Call, proceed: Proceed) -> Response:
        words = "Error at item 0: \"text\" key is expected in task data [assume: item] :: {'txet': 'SECRET'}"
        errors = {"non_field_errors": [words]}
        return JSONResponse({"id": "abc", "detail": "Validation error", "validation_errors": errors}, 400)

    spoil_tasks(sheet, spoilt)
    spoilt.spoil["import"] = [refuse]
    row = await row_of(label_studio, sheet, patience=LEASED)
    assert 'tasks.json (400, in its log: abc): task 1 lacks "text"' in row.error
    assert "SECRET" not in row.error
    mend(sheet)
    row = await row_of(label_studio, sheet, options=OPTIONS.model_copy(update={"mode": mode}), patience=LEASED)
    assert row.outcome.value == "resumed"
    assert_all_done(sandbox)


async def test_a_second_mistake_in_a_corrected_file_can_be_corrected_at_once_too(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    for _ in range(2):
        spoil_tasks(sheet, spoilt)
        assert 'task 1 lacks "text"' in (await row_of(label_studio, sheet, patience=LEASED)).error
    mend(sheet)
    assert (await row_of(label_studio, sheet, patience=LEASED)).outcome.value == "resumed"
    assert imports(sandbox) == 3
    assert_all_done(sandbox)


async def test_of_two_reruns_after_a_failed_import_one_sends_the_tasks(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    spoil_tasks(sheet, spoilt)
    await row_of(label_studio, sheet, patience=LEASED)
    mend(sheet)
    patient = replace(LEASED, rivals=0.1)
    rows = await asyncio.gather(*(row_of(label_studio, sheet, patience=patient) for _ in range(2)))
    assert sorted(row.outcome.value for row in rows) == ["exists", "resumed"]
    assert imports(sandbox) == 2
    assert_all_done(sandbox)


@pytest.mark.usefixtures("impatient")
async def test_tasks_of_another_version_of_the_file_are_left_and_reported(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_LONGEST_IMPORT", 0.0)
    spoilt.spoil["import"] = [late(1_000_000)]
    await row_of(label_studio, sheet)
    sandbox.finish_imports()
    (sheet.parent / "tasks.json").write_text(json.dumps(TASKS[:4]), encoding="utf-8")
    row = await row_of(label_studio, sheet)
    assert "another version" in row.error
    assert (imports(sandbox), project(sandbox)["task_number"]) == (1, 5)


@pytest.mark.usefixtures("impatient")
async def test_what_is_waited_for_long_is_told(label_studio: Instance, sheet: Path, spoilt: Spoilt) -> None:
    spoilt.spoil["import"] = [late(6)]
    told: list[str] = []
    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio, patience=QUICK)
    batch.tell, batch.engine.waits.shortest = told.append, 0.02
    await batch.engine.attempt(batch.engine.tickets)
    await batch.carry_out_steps()
    assert told == ["Waiting: an import is under way in Label Studio"]


@pytest.mark.parametrize("edition", ["community", "enterprise"])
async def test_a_row_with_tasks_costs_as_many_requests_as_are_promised(
    label_studio: Instance, sandbox: Sandbox, tmp_path: Path, spoilt: Spoilt, edition: str
) -> None:
    if edition == "community":
        spoilt.spoil["import"] = [counted_at_once] * 20
    (tmp_path / "tasks.json").write_text(json.dumps(TASKS), encoding="utf-8")
    path = tmp_path / "many.csv"
    path.write_text("title,tasks\n" + "".join(f"Row {n:02},tasks.json\n" for n in range(20)), encoding="utf-8")
    report = await created(label_studio, path)
    assert {row.outcome.value for row in report.rows} == {"created"}
    counted = Counter(request.method for request in sandbox.requests)
    assert (counted["POST"], counted["PATCH"]) == (40, 40)
    # Of all rows: the plan, two looks, and on Enterprise what is read after the imports.
    assert counted["GET"] < 10


async def test_more_predictions_than_tasks_are_no_more_tasks(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    result = [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}}]
    several = {"predictions": [{"result": result}] * 3, "annotations": [{"result": result}] * 2}
    (sheet.parent / "tasks.json").write_text(json.dumps([{**task, **several} for task in TASKS]), encoding="utf-8")
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.error) == ("created", "")
    found = project(sandbox)
    assert (found["task_number"], found["total_predictions_number"], found["total_annotations_number"]) == (5, 15, 10)
    assert (await row_of(label_studio, sheet, options=OPTIONS.model_copy(update={"mode": "update"}))).outcome.ok


async def labels_lost(call: Call, proceed: Proceed) -> Response:
    """Community on SQLite tries again when its database is locked, without the labels."""
    await proceed()
    project = call.store.project(1)
    assert project is not None
    for counter in ("total_annotations_number", "total_predictions_number", "skipped_annotations_number"):
        project.settings[counter] = 0
    call.store.save_project(project)
    return JSONResponse({"task_count": 5, "annotation_count": 0, "prediction_count": 0}, 201)


async def answer_lost_with_labels(call: Call, proceed: Proceed) -> Response:
    await labels_lost(call, proceed)
    return JSONResponse({"detail": "gone"}, 502)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("spoiler", [labels_lost, answer_lost_with_labels])
async def test_tasks_that_lost_their_labels_need_attention_and_go_on_needing_it(
    label_studio: Instance, spoilt: Spoilt, sheet: Path, spoiler: Spoiler
) -> None:
    result = [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}}]
    predicted = [{**task, "predictions": [{"result": result}]} for task in TASKS]
    (sheet.parent / "tasks.json").write_text(json.dumps(predicted), encoding="utf-8")
    spoilt.spoil["import"] = [spoiler]
    for _ in range(2):
        row = await row_of(label_studio, sheet)
        assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
        assert "without their annotations and predictions" in row.error


def skipping(status: int) -> Spoiler:
    """Label Studio takes all but the second person."""

    async def skip(call: Call, proceed: Proceed) -> Response:
        second = call.data()["included"][1]  # type: ignore[index, call-overload]
        if status == 200:
            await proceed()
            return JSONResponse({"assignments": 1, "skipped_user_ids": [second]}, 200)
        return JSONResponse({"skipped_user_ids": [second]}, status)

    return skip


@pytest.mark.parametrize("status", [200, 400])
async def test_people_whom_label_studio_skips_are_named(
    label_studio: Instance, spoilt: Spoilt, sheet: Path, status: int
) -> None:
    spoilt.spoil["members"] = [skipping(status)]
    row = await row_of(label_studio, sheet)
    assert row.outcome.value == "failed"
    assert "rob@example.com" in row.error
    assert "ann@example.com" not in row.error, row.error


@pytest.mark.parametrize("kind", ["import", "members", "PATCH"])
async def test_a_step_that_was_asked_for_too_fast_is_asked_for_again(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, kind: str
) -> None:
    spoilt.spoil[kind] = [too_fast, too_fast] if kind != "PATCH" else [pass_on, too_fast, too_fast]
    assert (await row_of(label_studio, sheet)).outcome.value == "created"
    assert_all_done(sandbox)


async def test_an_import_that_was_refused_fails_the_row_and_a_rerun_goes_on(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    async def refuse(call: Call, proceed: Proceed) -> Response:
        return JSONResponse({"detail": "too large", "validation_errors": {"data": ["too large"]}}, 400)

    spoilt.spoil["import"] = [refuse]
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert "refused the tasks" in row.error
    assert "too large" not in row.error
    assert "run the sheet again" in row.error
    assert (await row_of(label_studio, sheet)).outcome.value == "resumed"
    assert_all_done(sandbox)


def as_colleague(sandbox: Sandbox, method: str, path: str, body: Any) -> None:
    with httpx.Client(base_url=sandbox.url, headers={"authorization": f"Token {sandbox.token}"}) as http:
        http.request(method, path, json=body).raise_for_status()


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/api/projects/1/import", [{"text": "mine"}], "holds 1 task, and the file has 5"),
        ("PATCH", "/api/projects/1/", {"title": "Mine"}, "renamed or moved"),
        ("PATCH", "/api/projects/1/", {"description": "Mine"}, "changed its description"),
    ],
    ids=["tasks", "title", "description"],
)
@pytest.mark.usefixtures("after_the_sweep")
async def test_the_work_of_a_colleague_is_left_and_reported(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, method: str, path: str, body: Any, told: str
) -> None:
    async def colleague(call: Call, proceed: Proceed) -> Response:
        answer = await proceed()
        await asyncio.to_thread(as_colleague, sandbox, method, path, body)
        return answer

    spoilt.spoil["PATCH"] = [colleague]
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert told in row.error
    found = project(sandbox)
    assert (found["task_number"], found["is_published"]) == (int(method == "POST"), False)


async def test_a_project_is_read_again_after_a_file_that_took_long(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(where: str, asker: Asker) -> Tasks:
        as_colleague(sandbox, "POST", "/api/projects/1/import", [{"text": "mine"}])
        return open_tasks(where, asker)

    monkeypatch.setattr(steps, "open_tasks", slowly)
    # A reading is old at once, where anything comes between it and the write.
    row = await row_of(label_studio, sheet, patience=replace(QUICK, read=0.0))
    assert "holds 1 task" in row.error
    assert project(sandbox)["task_number"] == 1


async def test_the_last_write_is_repeated_where_its_answer_was_lost(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    spoilt.spoil["PATCH"] = [pass_on, lost_before, lost_after]
    assert (await row_of(label_studio, sheet)).outcome.value == "created"
    assert_all_done(sandbox)


async def test_two_batches_at_once_do_the_steps_once(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    importing = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(call: Call, proceed: Proceed) -> Response:
        loop.call_soon_threadsafe(importing.set)
        await asyncio.sleep(0.5)
        return await proceed()

    spoilt.spoil["import"] = [slow]
    patient = Patience(unanswered=(0.01, 0.02), rivals=0.1, late=0.05, lease=60.0)
    first = asyncio.ensure_future(row_of(label_studio, sheet, patience=patient))
    await importing.wait()
    second = await row_of(label_studio, sheet, patience=patient)
    assert [(await first).outcome.value, second.outcome.value] == ["created", "exists"]
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


@pytest.fixture
def after_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are done after the sweep, as are those of rows to which anything unusual happened."""
    monkeypatch.setattr(StepRunner, "early", AsyncMock(return_value=None))


async def left_half_done(label_studio: Instance, sheet: Path) -> None:
    """A batch that dies with its project made, and its steps to be done."""
    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio, patience=QUICK)
    with patch.object(StepRunner, "early", AsyncMock(return_value=None)):
        await batch.engine.attempt(batch.engine.tickets)


async def test_an_import_that_failed_is_not_written_into_the_line_again(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another batch that has seen it fail has taken it out of the line, and may have sent the tasks."""
    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio, patience=QUICK)
    with patch.object(StepRunner, "early", AsyncMock(return_value=None)):
        await batch.engine.attempt(batch.engine.tickets)
    line = project(sandbox)["description"]
    batch.engine.steps._sent[1] = Sent("0" * 8, 7)
    monkeypatch.setattr(label_studio.client, "import_state", AsyncMock(return_value=Mock(failed=True)))
    await batch.engine.steps._read(batch.engine.tickets[0])
    assert project(sandbox)["description"] == line


async def test_a_batch_that_waits_for_another_ones_steps_can_be_stopped(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    """The other one's lease takes an hour here."""
    await left_half_done(label_studio, sheet)
    patient = replace(QUICK, lease=3600.0, rivals=3600.0)
    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio, patience=patient)
    waits = asyncio.Event()
    batch.tell, batch.engine.waits.shortest = lambda _: waits.set(), 0.02
    run = asyncio.ensure_future(batch.run())
    await waits.wait()
    batch.stopping.stop("Ctrl-C")
    await run
    (row,) = batch.report().rows
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert "not known to be done: the batch stopped before them (Ctrl-C)" in row.error
    assert imports(sandbox) == 0


def many(folder: Path, number: int, columns: str, cells: str) -> Path:
    """A sheet of so many rows with the same cells."""
    (folder / "tasks.json").write_text(json.dumps(TASKS), encoding="utf-8")
    path = folder / "many.csv"
    path.write_text(f"title,{columns}\n" + "".join(f"Row {n:03},{cells}\n" for n in range(number)), encoding="utf-8")
    return path


async def test_a_batch_that_is_stopped_begins_no_further_rows_steps(
    label_studio: Instance, sandbox: Sandbox, spoilt: Spoilt, tmp_path: Path
) -> None:
    batch = await prepare(
        check(read_sheet(many(tmp_path, 40, "members", "ann@example.com")), OPTIONS), OPTIONS, label_studio
    )
    loop = asyncio.get_running_loop()

    async def stop(call: Call, proceed: Proceed) -> Response:
        loop.call_soon_threadsafe(batch.stopping.stop, "Ctrl-C")
        return await proceed()

    spoilt.spoil["members"] = [stop]
    await batch.run()
    added = sum(request.path.endswith("/members/bulk/") for request in sandbox.requests)
    assert added < 20
    assert Counter(row.outcome.value for row in batch.report().rows) == {"created": added, "failed": 40 - added}
    assert all("the batch stopped before them (Ctrl-C)" in row.error for row in batch.report().rows if row.error)


async def test_a_batch_that_waits_for_an_import_can_be_stopped(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt
) -> None:
    spoilt.spoil["import"] = [late(1_000_000)]
    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio, patience=QUICK)
    waits = asyncio.Event()
    batch.tell, batch.engine.waits.shortest = lambda _: waits.set(), 0.02
    run = asyncio.ensure_future(batch.run())
    await waits.wait()
    batch.stopping.stop("Ctrl-C")
    async with asyncio.timeout(30):
        await run
    assert "the batch was stopped while import 1 was under way" in batch.report().rows[0].error
    sandbox.finish_imports()
    assert (await row_of(label_studio, sheet)).outcome.value == "resumed"
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


async def test_a_batch_that_is_cancelled_twice_calls_no_row_created_whose_steps_are_not_done(
    label_studio: Instance, tmp_path: Path
) -> None:
    batch = await prepare(
        check(read_sheet(many(tmp_path, 30, "members", "ann@example.com")), OPTIONS), OPTIONS, label_studio
    )
    made = asyncio.Event()
    batch.engine.when_done(lambda ticket: made.set())
    before = asyncio.all_tasks()
    run = asyncio.ensure_future(batch.carry_out())
    await made.wait()
    for _ in range(2):
        run.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(run, return_exceptions=True)
    assert {row.outcome.value for row in batch.report().rows} == {"failed", "unprocessed"}
    assert all("cancelled" in row.error for row in batch.report().rows)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("raised_by", ["a look", "an import"])
async def test_a_signal_that_is_raised_anywhere_ends_the_batch(
    label_studio: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised_by: str
) -> None:
    """As Prefect raises its own, wherever the process is at that moment."""

    class Signal(BaseException):
        pass

    raised = AsyncMock(side_effect=Signal)
    sheet = many(tmp_path, 20, "tasks", "tasks.json")
    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio)
    if raised_by == "a look":
        monkeypatch.setattr(batch.engine._looks, "_read", raised)
    else:
        monkeypatch.setattr(label_studio.client, "import_tasks", raised)
    with pytest.raises(Signal):
        await batch.run()
    assert batch.stopping.reason == "cancelled"
    assert "created" not in {row.outcome.value for row in batch.report().rows}


async def test_rows_whose_steps_fail_count_among_those_that_failed(
    label_studio: Instance, sandbox: Sandbox, spoilt: Spoilt, tmp_path: Path
) -> None:
    async def refuse(call: Call, proceed: Proceed) -> Response:
        return JSONResponse({"detail": "too large", "validation_errors": {"data": ["too large"]}}, 400)

    spoilt.spoil["import"] = [refuse] * 150
    sheet = many(tmp_path, 150, "tasks", "tasks.json")
    report = await created(label_studio, sheet, options=OPTIONS.model_copy(update={"max_failures": "5"}))
    assert "max_failures" in report.stopped
    assert "unprocessed" in {row.outcome.value for row in report.rows}


@pytest.mark.parametrize(("word", "name"), [("publish", "is_published"), ("pin", "pinned_at")])
async def test_a_project_that_label_studio_did_not_publish_or_pin_needs_attention(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, word: str, name: str
) -> None:
    async def drop(call: Call, proceed: Proceed) -> Response:
        await proceed()
        empty = {"is_published": False, "pinned_at": None}[name]
        await asyncio.to_thread(as_colleague, sandbox, "PATCH", f"/api/projects/{call.id}/", {name: empty})
        return JSONResponse(await asyncio.to_thread(project, sandbox))

    spoilt.spoil["PATCH"] = [pass_on, drop]
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert f"Label Studio did not {word} it" in row.error


async def test_a_row_whose_line_a_colleague_removed_is_not_created_without_its_tasks(
    label_studio: Instance, sandbox: Sandbox, spoilt: Spoilt, tmp_path: Path
) -> None:
    async def remove_line(call: Call, proceed: Proceed) -> Response:
        answer = await proceed()
        await asyncio.to_thread(as_colleague, sandbox, "PATCH", "/api/projects/1/", {"description": SENTIMENT})
        return answer

    # The answer to its PATCH is lost, so this batch claims the steps and waits before it goes on.
    spoilt.spoil["PATCH"] = [lost_after, remove_line]
    row = await row_of(label_studio, many(tmp_path, 1, "tasks", "tasks.json"))
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert "it holds 0 tasks, and the file has 5" in row.error


async def test_a_file_that_was_refused_after_a_wait_is_corrected_and_imported(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, spoilt: Spoilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PATCH of the settings says that the tasks are sent, and is too old a reading once the import has its turn."""

    async def refuse(call: Call, proceed: Proceed) -> Response:
        return JSONResponse({"detail": "too large", "validation_errors": {"data": ["too large"]}}, 400)

    spoil_tasks(sheet, spoilt)
    spoilt.spoil["import"] = [refuse]
    sent = label_studio.client.import_tasks
    waits = iter([True])

    async def held_back(*args: Any, before: Callable[[], None]) -> Any:
        if next(waits, False):
            await asyncio.sleep(LEASED.read)
        return await sent(*args, before=before)

    monkeypatch.setattr(label_studio.client, "import_tasks", held_back)
    assert "refused the tasks" in (await row_of(label_studio, sheet, patience=LEASED)).error
    assert project(sandbox)["description"].endswith(" refused]")
    mend(sheet)
    assert (await row_of(label_studio, sheet, patience=LEASED)).outcome.value == "resumed"
    assert_all_done(sandbox)


async def test_a_row_that_fails_before_its_tasks_are_sent_leaves_them_to_a_rerun(
    label_studio: Instance, sandbox: Sandbox, spoilt: Spoilt, tmp_path: Path
) -> None:
    async def drop(call: Call, proceed: Proceed) -> Response:
        await proceed()
        await asyncio.to_thread(as_colleague, sandbox, "PATCH", "/api/projects/1/", {"show_instruction": False})
        return JSONResponse(await asyncio.to_thread(project, sandbox))

    sheet = many(tmp_path, 1, "show_instruction,tasks", "yes,tasks.json")
    spoilt.spoil["PATCH"] = [drop]
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.error_code) == ("failed", "setting-not-kept")
    await asyncio.to_thread(as_colleague, sandbox, "PATCH", "/api/projects/1/", {"show_instruction": True})
    row = await row_of(label_studio, sheet)
    assert (row.outcome.value, row.steps) == ("resumed", "5 tasks imported")
    assert imports(sandbox) == 1


async def test_an_update_that_is_cut_off_is_not_said_to_have_been_left(
    label_studio: Instance, spoilt: Spoilt, tmp_path: Path
) -> None:
    await created(label_studio, many(tmp_path, 1, "color", "#112233"))
    arrived, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def slow(call: Call, proceed: Proceed) -> Response:
        loop.call_soon_threadsafe(arrived.set)
        await asyncio.to_thread(ended.wait)
        return await proceed()

    spoilt.spoil["PATCH"] = [slow]
    options = OPTIONS.model_copy(update={"mode": "update"})
    batch = await prepare(check(read_sheet(many(tmp_path, 1, "color", "#445566")), options), options, label_studio)
    run = asyncio.ensure_future(batch.run())
    await arrived.wait()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    ended.set()
    (row,) = batch.report().rows
    assert (row.outcome.value, row.project_id) == ("unprocessed", 1)
    assert "project 1 may not have been updated; a rerun updates it" in row.error


@pytest.mark.usefixtures("after_the_sweep")
async def test_of_two_reruns_that_find_steps_left_one_does_them(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    await left_half_done(label_studio, sheet)
    # A claim holds for as long as the lease; without one, each would go on claiming what the other has.
    patient = replace(QUICK, late=0.5, lease=2.0)
    rows = await asyncio.gather(*(row_of(label_studio, sheet, patience=patient) for _ in range(2)))
    assert sorted(row.steps for row in rows) == ["", "5 tasks imported; 2 members; published; pinned"]
    assert imports(sandbox) == 1
    assert_all_done(sandbox)


@pytest.mark.usefixtures("after_the_sweep")
async def test_a_batch_that_comes_late_to_its_own_project_respects_a_claim(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    patient = replace(QUICK, lease=60.0)
    batch = await prepare(check(read_sheet(sheet), OPTIONS), OPTIONS, label_studio, patience=patient)
    await batch.engine.attempt(batch.engine.tickets)
    left = project(sandbox)["description"]
    other = asyncio.ensure_future(row_of(label_studio, sheet, patience=replace(QUICK, late=0.5)))
    while (await asyncio.to_thread(project, sandbox))["description"] == left:
        assert not other.done()
    await batch.carry_out_steps()
    assert (await other).steps.startswith("5 tasks imported")
    assert imports(sandbox) == 1


def change(sheet: Path, **replaced: str) -> None:
    text = sheet.read_text(encoding="utf-8")
    for old, new in replaced.items():
        text = text.replace(old.replace("_", " "), new)
    sheet.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("column", ["description", "color"])
async def test_an_update_goes_on_with_the_steps_that_an_edited_sheet_left(
    label_studio: Instance, sandbox: Sandbox, sheet: Path, column: str
) -> None:
    await left_half_done(label_studio, sheet)
    value = {"description": "Mine", "color": "#112233"}[column]
    change(sheet, title=f"{column},title", With_all=f"{value},With all")
    assert "another sheet" in (await row_of(label_studio, sheet)).error
    row = await row_of(label_studio, sheet, options=Options(template="1", workspace="1", mode="update"))
    assert row.outcome.value == "updated"
    found = project(sandbox)
    assert (found[column], found["task_number"], found["is_published"]) == (value, 5, True)


async def test_who_is_not_known_is_told_before_the_first_write(
    label_studio: Instance, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("title,members\nA row,nobody@example.com\n", encoding="utf-8")
    with pytest.raises(InvalidSheet) as invalid:
        await created(label_studio, path)
    assert [problem.code for problem in invalid.value.problems] == ["member-unknown"]
    assert all(request.method == "GET" for request in sandbox.requests)


FILE_TEMPLATE = """
name: Classes
label_config: |
  <View><Text name="text" value="$text"/><Choices name="s" toName="text"><Choice value="{{ first }}"/></Choices></View>
variables: {first: {default: A}}
"""
UPDATE = Options(workspace="1", mode="update")


async def test_an_update_applies_all_that_row_and_template_say(
    label_studio: Instance, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "t.yaml").write_text(FILE_TEMPLATE, encoding="utf-8")
    (tmp_path / "tasks.json").write_text(json.dumps(TASKS), encoding="utf-8")
    sheet = tmp_path / "sheet.csv"

    async def outcome_of(columns: str, cells: str) -> str:
        sheet.write_text(f"title,template{columns}\nA row,t.yaml{cells}\n", encoding="utf-8")
        return (await row_of(label_studio, sheet, options=UPDATE)).outcome.value

    assert await outcome_of("", "") == "created"
    assert await outcome_of("", "") == "unchanged"
    # A variable, another label set in the file, publication, tasks.
    assert await outcome_of(",var.first", ",B") == "updated"
    assert '<Choice value="B"/>' in project(sandbox)["label_config"]
    (tmp_path / "t.yaml").write_text(
        FILE_TEMPLATE.replace("</Choices>", '<Choice value="C"/></Choices>'), encoding="utf-8"
    )
    assert await outcome_of(",var.first", ",B") == "updated"
    assert '<Choice value="C"/>' in project(sandbox)["label_config"]
    assert await outcome_of(",var.first,publish", ",B,yes") == "updated"
    assert await outcome_of(",var.first,publish,tasks", ",B,yes,tasks.json") == "updated"
    found = project(sandbox)
    assert (found["is_published"], found["task_number"], found["description"]) == (True, 5, "")
    assert await outcome_of(",var.first,publish,tasks", ",B,yes,tasks.json") == "unchanged"
    assert imports(sandbox) == 1


async def test_an_update_of_a_project_with_other_tasks_says_so_and_adds_none(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    await created(label_studio, sheet)
    (sheet.parent / "tasks.json").write_text(json.dumps(TASKS[:4]), encoding="utf-8")
    row = await row_of(label_studio, sheet, options=Options(template="1", workspace="1", mode="update"))
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert "it holds 5 tasks, and the file has 4" in row.error
    assert imports(sandbox) == 1


async def test_a_project_with_as_many_other_tasks_is_not_unchanged(
    label_studio: Instance, sandbox: Sandbox, sheet: Path
) -> None:
    await created(label_studio, sheet)
    update = Options(template="1", workspace="1", mode="update")
    assert (await row_of(label_studio, sheet, options=update)).outcome.value == "unchanged"
    (sheet.parent / "tasks.json").write_text(json.dumps([*TASKS[:3], {"text": "x"}, {"text": "y"}]), encoding="utf-8")
    row = await row_of(label_studio, sheet, options=update)
    assert (row.outcome.value, row.error_code) == ("failed", "step-failed")
    assert "2 of the 5 tasks of tasks.json are not in it" in row.error
    assert imports(sandbox) == 1
