"""`stencil remove`: deletes exactly what a batch made, where that can be proven, on a real sandbox with its log of requests."""

import asyncio
import csv
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import Response

from label_studio_sandbox import Answer, Call, Interceptor, Proceed, Sandbox
from label_studio_stencil.access import open_label_studio, open_sandbox
from label_studio_stencil.batch import provision
from label_studio_stencil.cli import interrupts, main
from label_studio_stencil.labelstudio.models import UNKNOWN_DATE, Project, Task
from label_studio_stencil.options import Options
from label_studio_stencil.plans.marker import Mark
from label_studio_stencil.plans.targets import check
from label_studio_stencil.removal import removal as removing
from label_studio_stencil.removal.imported import differing, print_of, prints_of_file, work_on
from label_studio_stencil.removal.proof import Expected, doubt
from label_studio_stencil.removal.results import check_label_studio, read_results
from label_studio_stencil.report.files import write_results
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet

ROW = {"title": "Reviews", "template": "1", "workspace": "1", "maximum_annotations": "4"}
YAML = """
name: Sentiment
label_config: <View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>
maximum_annotations: 2
"""


class Instance:
    """A running sandbox, and what a test does to it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        headers = {"Authorization": f"Token {sandbox.token}"}
        # Nothing is encrypted on loopback, and the certificates take longer to load than a test to run.
        self.http = httpx.Client(base_url=sandbox.url, headers=headers, verify=False)

    def batch(self, *rows: dict[str, str], output: str = "") -> str:
        """Create the projects of these rows; the path of the results."""
        sheet = self.folder / "sheet.csv"
        with sheet.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row))
            writer.writeheader()
            writer.writerows(rows)

        async def create() -> Report:
            settings = LabelStudioSettings(self.sandbox.url, SecretStr(self.sandbox.token))
            async with open_label_studio(settings, Options()) as label_studio:
                return await provision(check(read_sheet(sheet), Options()), Options(), label_studio)

        files = write_results(asyncio.run(create()), output or str(self.folder / "out"))
        self.sandbox.clear_requests()
        return files.results

    def write_tasks(self, word: str = "task") -> None:
        """A file of 250 tasks."""
        tasks = [{"data": {"t": f"{word} {number}", "number": number / 4}} for number in range(250)]
        (self.folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")

    def with_tasks(self, rows: list[dict[str, str]], output: str = "") -> str:
        """A batch whose rows may name `made.yaml` and `tasks.json`; the path of the results."""
        self.write_tasks()
        (self.folder / "made.yaml").write_text(YAML, encoding="utf-8")
        return self.batch(*rows, output=output)

    def imports(self, project: int, task: dict[str, str]) -> None:
        """A task imported by hand."""
        self.http.post(f"/api/projects/{project}/import", json=[{"t": "x", **task}]).raise_for_status()

    def make(self, title: str, **fields: Any) -> int:
        """A project made by hand."""
        answer = self.http.post("/api/projects/", json={"title": title, "workspace": 1, **fields})
        return int(answer.raise_for_status().json()["id"])

    def change(self, project: int, **fields: Any) -> None:
        """Settings changed by hand."""
        self.http.patch(f"/api/projects/{project}/", json=fields).raise_for_status()

    def ids(self) -> set[int]:
        return {each["id"] for each in self.http.get("/api/projects/?page_size=100").json()["results"]}

    def asked(self, method: str) -> list[str]:
        return [request.path for request in self.sandbox.requests if request.method == method]

    def close(self) -> None:
        self.http.close()


Start = Callable[..., Instance]
Remove = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(*interceptors: Interceptor) -> Instance:
            sandbox = stack.enter_context(Sandbox(interceptors=interceptors))
            monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
            monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
            label_studio = Instance(sandbox, tmp_path)
            stack.callback(label_studio.close)
            return label_studio

        yield started


@pytest.fixture
def label_studio(start: Start) -> Instance:
    return start()


@pytest.fixture
def remove(capsys: pytest.CaptureFixture[str]) -> Remove:
    """The command with `--json`: its exit code, and what it printed."""

    def removed(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = main(["remove", *arguments, "--json"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else {"error": printed.err}

    return removed


def outcomes(report: dict[str, Any]) -> list[str]:
    return [row["outcome"] for row in report["rows"]]


def codes(report: dict[str, Any]) -> list[str]:
    return [row["code"] for row in report["rows"]]


def cells(results: str) -> list[dict[str, str]]:
    with Path(results).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def project_of(results: str, row: int = 0) -> int:
    return int(cells(results)[row]["project_id"])


def rewrite(results: str, old: str, new: str) -> None:
    content = Path(results).read_text(encoding="utf-8-sig")
    assert old in content
    Path(results).write_text(content.replace(old, new), encoding="utf-8")


# What is deleted


def test_exactly_the_projects_that_the_batch_created_are_deleted(label_studio: Instance, remove: Remove) -> None:
    others = {
        label_studio.make("Existing"),
        label_studio.make("Reviews 9"),
        label_studio.make("Reviews 1", workspace=2),
    }
    results = label_studio.batch(*({**ROW, "title": title} for title in ("Reviews 1", "Existing", "Reviews 2")))
    code, report = remove(results, "--yes")
    assert (code, outcomes(report)) == (0, ["removed", "left alone", "removed"])
    assert label_studio.ids() == others
    assert len(label_studio.asked("DELETE")) == 2


def test_each_deletion_follows_a_read_of_its_project(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.batch(*({**ROW, "title": f"Reviews {number}"} for number in range(5)))
    remove(results, "--yes", "--max-concurrency", "1")
    asked = [(request.method, request.path) for request in label_studio.sandbox.requests]
    deletions = [index for index, (method, _) in enumerate(asked) if method == "DELETE"]
    assert len(deletions) == 5
    assert [asked[index - 1] for index in deletions] == [("GET", asked[index][1]) for index in deletions]


def test_without_yes_nothing_is_written(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.batch(ROW)
    code, report = remove(results)
    assert (code, outcomes(report)) == (0, ["would be removed"])
    assert {request.method for request in label_studio.sandbox.requests} == {"GET"}


def test_a_second_run_finds_everything_gone(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.batch(ROW, {**ROW, "title": "Contracts"})
    remove(results, "--yes")
    code, report = remove(results, "--yes")
    assert (code, outcomes(report)) == (0, ["gone", "gone"])
    assert len(label_studio.asked("DELETE")) == 2


def test_the_examples_of_every_template_and_kind_of_override_can_be_removed(
    label_studio: Instance, remove: Remove
) -> None:
    example = Path(__file__).resolve().parents[1] / "examples"
    shutil.copytree(example / "texts", label_studio.folder / "texts")
    with (example / "projects.csv").open(encoding="utf-8", newline="") as file:
        results = label_studio.batch(*csv.DictReader(file))
    code, report = remove(results, "--yes", "--folder", str(label_studio.folder))
    assert (code, set(outcomes(report)), label_studio.ids()) == (0, {"removed"}, set())


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"task_data_password": "secret"}, id="a password that the results mask"),
        pytest.param({"overrides": '{"task_data_password": "secret", "color": "#112233"}'}, id="one among overrides"),
        pytest.param({"title": "=1+1"}, id="a guarded title"),
        pytest.param({"description": "@@home, -1 and 'so on'"}, id="a guarded description"),
        pytest.param({"workspace": "Customer Feedback", "template": "Sentiment Analysis"}, id="names for ids"),
        pytest.param({"expert_instruction": "Cats & dogs"}, id="markup that the server tidied"),
    ],
)
def test_cells_that_the_results_write_differently_are_understood(
    label_studio: Instance, remove: Remove, row: dict[str, str]
) -> None:
    assert remove(label_studio.batch({**ROW, **row}), "--yes")[0] == 0
    assert label_studio.ids() == set()


def test_results_are_read_from_a_url(label_studio: Instance, remove: Remove) -> None:
    assert remove(label_studio.batch(ROW, output="memory://removal/out"), "--yes")[0] == 0
    assert label_studio.ids() == set()


# What is kept


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"title": "Reviews of mine"}, "renamed", id="another title"),
        pytest.param({"workspace": 2}, "moved", id="another workspace"),
        pytest.param({"maximum_annotations": 5}, "changed", id="an override"),
        pytest.param({"description": "Mine"}, "changed", id="the description that the template gave"),
        pytest.param({"expert_instruction": "Mine"}, "changed", id="the instruction that the template gave"),
        pytest.param({"label_config": '<View><Text name="mine" value="$t"/></View>'}, "changed", id="the labelling"),
        pytest.param({"description": str(Mark("0" * 16, "0" * 8, "0" * 8, "0" * 8))}, "marked", id="any mark"),
    ],
)
def test_a_project_that_was_changed_since_is_kept(
    label_studio: Instance, remove: Remove, change: dict[str, Any], code: str
) -> None:
    results = label_studio.batch(ROW, {**ROW, "title": "Contracts"})
    label_studio.change(project_of(results), **change)
    exit_code, report = remove(results, "--yes")
    assert (exit_code, outcomes(report), codes(report)) == (1, ["kept", "removed"], [code, ""])
    assert label_studio.ids() == {project_of(results)}


def test_imported_tasks_go_with_their_projects_and_that_is_said_first(
    label_studio: Instance, remove: Remove, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [ROW | {"title": f"Reviews {number}", "template": "made.yaml", "tasks": "tasks.json"} for number in range(2)]
    results = label_studio.with_tasks(rows)
    code, report = remove(results)
    assert (code, outcomes(report), [row["tasks"] for row in report["rows"]]) == (
        0,
        ["would be removed"] * 2,
        [250] * 2,
    )
    assert main(["remove", results]) == 0
    printed = capsys.readouterr()
    assert "2 rows: 2 would be removed, with 500 imported tasks" in printed.err + printed.out
    assert "deletes the projects that would be removed and their imported tasks" in printed.err + printed.out
    code, report = remove(results, "--yes")
    assert (code, outcomes(report)) == (0, ["removed", "removed"])
    assert not label_studio.ids()


@pytest.mark.parametrize(
    ("then", "code"),
    [
        pytest.param(lambda studio, project: studio.imports(project, {"text": "one more"}), "other-tasks", id="added"),
        pytest.param(lambda studio, project: studio.write_tasks("another"), "other-tasks", id="another file"),
        pytest.param(lambda studio, project: (studio.folder / "tasks.json").unlink(), "bad-step", id="no file"),
    ],
)
def test_a_project_whose_tasks_are_not_those_of_its_file_is_kept(
    label_studio: Instance, remove: Remove, then: Callable[[Instance, int], object], code: str
) -> None:
    results = label_studio.with_tasks([ROW | {"template": "made.yaml", "tasks": "tasks.json"}])
    then(label_studio, project_of(results))
    exit_code, report = remove(results, "--yes")
    assert (exit_code, outcomes(report), codes(report)) == (1, ["kept"], [code])
    assert project_of(results) in label_studio.ids()


def test_an_instruction_that_somebody_wrote_where_there_was_none_is_kept(
    label_studio: Instance, remove: Remove
) -> None:
    results = label_studio.with_tasks([{**ROW, "title": title, "template": "made.yaml"} for title in ("One", "Two")])
    label_studio.change(project_of(results), expert_instruction="<p>An hour of work</p>")
    code, report = remove(results, "--yes")
    assert (code, outcomes(report), codes(report)) == (1, ["kept", "removed"], ["changed", ""])


def test_tasks_of_a_row_that_names_none_are_work(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.with_tasks([ROW | {"template": "made.yaml"}])
    label_studio.imports(project_of(results), {"text": "by hand"})
    assert codes(remove(results, "--yes")[1]) == ["has-work"]


def task(**fields: Any) -> Task:
    whole = {"id": 1, "data": {"text": "one"}, "meta": {}, "annotations": [], "predictions": [], "drafts": []}
    return Task.model_validate(whole | {"draft_exists": False, "comment_count": 0} | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"drafts": [{"id": 1}]},
        {"draft_exists": True},
        {"comment_count": 2},
        {"annotations": [{"result": [], "updated_by": 1}]},
        {"annotations": [{"result": [], "updated_by": None, "reviews": [{"accepted": True}]}]},
    ],
)
def test_what_people_did_to_a_task_is_seen(fields: dict[str, Any]) -> None:
    assert work_on(task()) is None
    worked = work_on(task(**fields))
    assert worked is not None
    assert worked.code == "has-work"


RESULT = [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": ["A"]}}]


@pytest.mark.parametrize(
    ("in_file", "fields", "same"),
    [
        ({"text": "one"}, {}, True),
        ({"data": {"text": "one"}}, {"meta": None}, True),
        ({"text": "one", "n": 1.0}, {"data": {"n": 1, "text": "one"}}, True),
        ({"text": "one", "n": 1e308}, {"data": {"n": 10**308, "text": "one"}}, True),
        ({"text": "one", "n": 2**60}, {"data": {"n": float(2**60), "text": "one"}}, True),
        ({"text": "one", "n": 10**400}, {"data": {"n": 10**400, "text": "one"}}, True),
        ({"text": "one", "n": 2**60}, {"data": {"n": 2**61, "text": "one"}}, False),
        ({"text": "one", "n": 1}, {"data": {"n": True, "text": "one"}}, False),
        ({"text": "one"}, {"data": {"text": "One"}}, False),
        ({"data": {"text": "one"}, "meta": {"k": 1}}, {}, False),
        ({"text": "one"}, {"annotations": [{"result": RESULT, "updated_by": None}]}, False),
        ({"text": "one"}, {"predictions": [{"result": RESULT}]}, False),
        ({"data": {"text": "one"}, "predictions": [{"result": RESULT}]}, {"predictions": [{"result": RESULT}]}, True),
        ({"data": {"text": "one"}, "annotations": [{"result": RESULT}]}, {"annotations": [{"result": RESULT}]}, True),
        ({"data": {"text": "one"}, "annotations": [{"result": RESULT}]}, {"annotations": [{"result": []}]}, False),
        ({"data": {"text": "one"}, "annotations": [{"result": RESULT}]}, {}, False),
    ],
)
def test_a_task_is_compared_with_all_that_the_file_says(in_file: Any, fields: dict[str, Any], same: bool) -> None:
    found = differing(prints_of_file([in_file]), Counter([print_of(task(**fields))]))
    assert (found is None) == same


def predicted(**fields: Any) -> dict[str, Any]:
    return {"predictions": [{"result": RESULT, **fields}]}


@pytest.mark.parametrize(
    ("in_file", "there", "same"),
    [
        ({}, {"score": None, "model_version": "undefined"}, True),
        ({"model_version": None, "score": "0.5"}, {"score": 0.5, "model_version": None}, True),
        ({"model_version": 2, "score": 1}, {"score": 1.0, "model_version": "2"}, True),
        ({"score": "high"}, {"score": None, "model_version": "undefined"}, True),
        ({"score": 0.5}, {"score": 0.9, "model_version": "undefined"}, False),
        ({}, {"score": 0.9, "model_version": "undefined"}, False),
        ({"model_version": "ours"}, {"score": None, "model_version": "theirs"}, False),
    ],
)
def test_a_prediction_of_another_model_or_score_is_another_prediction(
    in_file: dict[str, Any], there: dict[str, Any], same: bool
) -> None:
    of_file = prints_of_file([{"data": {"text": "one"}, **predicted(**in_file)}])
    assert (differing(of_file, Counter([print_of(task(**predicted(**there)))])) is None) == same


class Meanwhile:
    """Somebody works on the last of the tasks as soon as all of them were read for the comparison."""

    def __init__(self, column: str, value: Any) -> None:
        self.column, self.value, self.read = column, value, 0

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        answer = await proceed()
        if call.path != "/api/tasks/":
            return answer
        body = json.loads(bytes(answer.body))
        for task in body["tasks"]:
            task["updated_at"] = "2026-01-02T03:04:05Z"
        order = json.loads(call.query.get("query", "{}")).get("ordering")
        if order is None:
            self.read += len(body["tasks"])
        elif self.read == 250 and order == [f"-tasks:{self.column}"]:
            body["tasks"][0][self.column] = self.value
        return Answer(body).response()


@pytest.mark.parametrize(
    ("column", "value"),
    [("draft_exists", True), ("comment_count", 1), ("updated_at", "2026-01-02T03:04:06Z")],
)
def test_work_that_begins_while_tasks_are_compared_keeps_their_project(
    start: Start, remove: Remove, column: str, value: Any
) -> None:
    label_studio = start(Meanwhile(column, value))
    results = label_studio.with_tasks([ROW | {"template": "made.yaml", "tasks": "tasks.json"}])
    code, report = remove(results, "--yes")
    assert (code, codes(report), label_studio.asked("DELETE")) == (1, ["has-work"], [])


def test_tasks_are_looked_at_again_after_label_studio_asked_to_wait(start: Start, remove: Remove) -> None:
    work = Meanwhile("draft_exists", value=True)
    work.column = "nothing yet"

    async def throttled_while_somebody_begins(_proceed: Proceed) -> Response:
        work.column = "draft_exists"
        return await throttled(_proceed)

    label_studio = start(work, OnDelete(throttled_while_somebody_begins))
    results = label_studio.with_tasks([ROW | {"template": "made.yaml", "tasks": "tasks.json"}])
    code, report = remove(results, "--yes")
    assert (code, codes(report), len(label_studio.asked("DELETE"))) == (1, ["has-work"], 1)


def test_the_folder_of_the_sheet_is_found_from_the_results(
    label_studio: Instance, remove: Remove, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    results = label_studio.with_tasks([ROW | {"template": "made.yaml", "tasks": "tasks.json"}], output=str(elsewhere))
    assert {row["sheet_folder"] for row in cells(results)} == {str(label_studio.folder)}
    code, report = remove(results, "--yes")
    assert (code, outcomes(report)) == (0, ["removed"])


def test_a_project_that_holds_tasks_is_kept(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.batch(ROW)
    label_studio.http.post(f"/api/projects/{project_of(results)}/import", json=[{"text": "x"}]).raise_for_status()
    code, report = remove(results, "--yes")
    assert (code, codes(report), label_studio.asked("DELETE")) == (1, ["has-work"], [])


def test_a_project_of_another_user_is_kept(start: Start, remove: Remove) -> None:
    async def somebody_else(call: Call, proceed: Proceed) -> Response:
        return Answer({"id": 2}).response() if call.path.endswith("/whoami") else await proceed()

    label_studio = start(somebody_else)
    code, report = remove(label_studio.batch(ROW), "--yes")
    assert (code, codes(report), label_studio.asked("DELETE")) == (1, ["not-ours"], [])


def test_a_project_that_is_younger_than_the_results_is_kept(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.batch(ROW)
    os.utime(results, (0, 0))
    assert codes(remove(results, "--yes")[1]) == ["younger"]
    assert label_studio.asked("DELETE") == []


@pytest.mark.parametrize("outcome", ["resumed", "updated", "unchanged", "exists", "failed", "would be created", ""])
def test_only_rows_that_say_created_are_taken(label_studio: Instance, remove: Remove, outcome: str) -> None:
    results = label_studio.batch(ROW)
    rewrite(results, ",created,", f",{outcome},")
    code, report = remove(results, "--yes")
    assert (code, outcomes(report), label_studio.asked("DELETE")) == (0, ["left alone"], [])


def test_a_row_whose_id_and_address_disagree_is_kept(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.batch(ROW)
    rewrite(results, f",created,{project_of(results)},", f",created,{label_studio.make('Reviews')},")
    assert codes(remove(results, "--yes")[1]) == ["no-project"]
    assert label_studio.asked("DELETE") == []


def test_a_row_whose_sheet_named_a_file_needs_its_folder(label_studio: Instance, remove: Remove) -> None:
    (label_studio.folder / "guide.md").write_text("Read it twice.")
    results = label_studio.batch({**ROW, "expert_instruction": "@guide.md"})
    # As on another machine.
    rewrite(results, str(label_studio.folder), "/nowhere")
    code, report = remove(results, "--yes")
    assert (code, codes(report)) == (1, ["file-not-found"])
    assert outcomes(remove(results, "--yes", "--folder", str(label_studio.folder))[1]) == ["removed"]


def test_a_row_that_named_no_template_needs_the_batchs_own(label_studio: Instance, remove: Remove) -> None:
    results = label_studio.batch(ROW)
    rewrite(results, "Reviews,1,1,4", "Reviews,,1,4")
    assert codes(remove(results, "--yes")[1]) == ["template-missing"]
    assert outcomes(remove(results, "--yes", "--template", "Sentiment Analysis")[1]) == ["removed"]


PROJECT = Project(7, "Reviews", "", 1, datetime(2026, 1, 2, tzinfo=UTC), 1, 0, {"task_number": 0})
EXPECTED = Expected("Reviews", 1, {"description": ""}, 1, datetime(2026, 1, 3, tzinfo=UTC))


@pytest.mark.parametrize(
    ("project", "code"),
    [
        pytest.param(PROJECT, "", id="as it was made"),
        pytest.param(replace(PROJECT, settings={}), "work-unknown", id="no count of tasks"),
        pytest.param(replace(PROJECT, settings={"task_number": None}), "work-unknown", id="a count of tasks of null"),
        pytest.param(replace(PROJECT, created_by=None), "not-ours", id="no maker"),
        pytest.param(replace(PROJECT, created_at=UNKNOWN_DATE), "younger", id="no date"),
        pytest.param(replace(PROJECT, workspace=None), "moved", id="no workspace"),
    ],
)
def test_what_the_studio_does_not_tell_proves_nothing(project: Project, code: str) -> None:
    found = doubt(EXPECTED, project)
    assert (found.code if found else "") == code


# Another Label Studio, another file


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("https://labels.example.com", id="another host"),
        pytest.param("http://127.0.0.1:1", id="another port"),
        pytest.param("{url}/other", id="another path"),
    ],
)
def test_results_of_another_studio_delete_nothing(label_studio: Instance, remove: Remove, address: str) -> None:
    results = label_studio.batch(ROW, {**ROW, "title": "Contracts"})
    foreign = address.format(url=label_studio.sandbox.url)
    rewrite(
        results,
        f"{label_studio.sandbox.url}/projects/{project_of(results)}",
        f"{foreign}/projects/{project_of(results)}",
    )
    code, printed = remove(results, "--yes")
    assert code == 2
    assert foreign in printed["error"]
    assert label_studio.asked("DELETE") == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_has_three_names(label_studio: Instance, remove: Remove, host: str) -> None:
    results = label_studio.batch(ROW)
    if host != "127.0.0.1":
        rewrite(results, "127.0.0.1", host)
    assert remove(results, "--yes")[0] == 0


def test_the_embedded_sandbox_takes_results_of_an_earlier_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remove: Remove
) -> None:
    monkeypatch.setenv("STENCIL_SANDBOX_DATA", str(tmp_path / "sandbox.sqlite3"))

    async def create() -> Report:
        async with open_sandbox(Options()) as label_studio:
            return await provision(check(read_sheet([ROW]), Options()), Options(), label_studio)

    results = write_results(asyncio.run(create()), str(tmp_path)).results
    assert outcomes(remove(results, "--yes", "--sandbox")[1]) == ["removed"]
    rewrite(results, "http://127.0.0.1:", "http://labels.example.com:")
    assert remove(results, "--yes", "--sandbox")[0] == 2


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("title,template\nReviews,1\n", id="a sheet"),
        pytest.param("outcome,project_id,project_url\ncreated,1,{url}/projects/1\n", id="no titles"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_file_that_is_no_results_is_refused(label_studio: Instance, remove: Remove, content: str) -> None:
    path = label_studio.folder / "file.csv"
    path.write_text(content.format(url=label_studio.sandbox.url))
    assert remove(str(path), "--yes")[0] == 2


def test_an_https_port_may_be_left_out(label_studio: Instance) -> None:
    results = label_studio.batch(ROW)
    rewrite(results, label_studio.sandbox.url, "https://labels.example.com:443/ls")
    rows = read_results(results).rows
    check_label_studio("results.csv", rows, "https://LABELS.example.com/ls")


# Faults


class OnDelete:
    """Does something else at the first deletion."""

    def __init__(self, first: Callable[[Proceed], Any]) -> None:
        self.first, self.seen = first, 0

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        self.seen += call.method == "DELETE"
        if call.method == "DELETE" and self.seen == 1:
            answer: Response = await self.first(proceed)
            return answer
        return await proceed()


async def carried_out_and_lost(proceed: Proceed) -> Response:
    await proceed()
    return Response("<html>Bad gateway</html>", 502)


async def lost(_proceed: Proceed) -> Response:
    return Response("<html>Bad gateway</html>", 502)


async def throttled(_proceed: Proceed) -> Response:
    return Response('{"detail": "slower"}', 429, {"Retry-After": "0"}, "application/json")


async def refused(_proceed: Proceed) -> Response:
    return Answer({"detail": "You do not have permission."}, 403).response()


@pytest.mark.parametrize(
    ("fault", "outcome", "deletions"),
    [
        pytest.param(carried_out_and_lost, "removed", 1, id="carried out, and the answer lost"),
        pytest.param(lost, "failed", 1, id="lost"),
        pytest.param(refused, "failed", 1, id="refused"),
        pytest.param(throttled, "removed", 2, id="asked too fast"),
    ],
)
def test_a_deletion_whose_answer_is_unclear_is_looked_after_and_not_sent_again(
    start: Start, remove: Remove, monkeypatch: pytest.MonkeyPatch, fault: Any, outcome: str, deletions: int
) -> None:
    monkeypatch.setattr(removing, "SETTLE", 0)
    label_studio = start(OnDelete(fault))
    code, report = remove(label_studio.batch(ROW), "--yes")
    assert (code, outcomes(report)) == (0 if outcome == "removed" else 1, [outcome])
    assert len(label_studio.asked("DELETE")) == deletions
    assert bool(label_studio.ids()) == (outcome == "failed")


def test_a_page_of_a_proxy_is_no_proof_that_a_project_is_gone(start: Start, remove: Remove) -> None:
    async def not_found(call: Call, proceed: Proceed) -> Response:
        one = call.method == "GET" and "id" in call.params and "/projects/" in call.path
        return Response("<html>Not found</html>", 404, media_type="text/html") if one else await proceed()

    label_studio = start(not_found)
    code, report = remove(label_studio.batch(ROW), "--yes")
    assert (code, outcomes(report), label_studio.asked("DELETE")) == (1, ["failed"], [])


def test_no_deletion_goes_out_by_a_read_that_has_grown_old(
    label_studio: Instance, remove: Remove, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = label_studio.batch(ROW)
    monkeypatch.setattr(removing, "FRESH", -1.0)
    code, report = remove(results, "--yes")
    assert (code, codes(report), label_studio.asked("DELETE")) == (1, ["throttled"], [])


def test_ctrl_c_stops_between_rows(start: Start, remove: Remove) -> None:
    async def interrupting(proceed: Proceed) -> Response:
        os.kill(os.getpid(), signal.SIGINT)
        return await proceed()

    label_studio = start(OnDelete(interrupting))
    results = label_studio.batch(*({**ROW, "title": f"Reviews {number}"} for number in range(4)))
    code, report = remove(results, "--yes", "--max-concurrency", "1")
    assert (code, outcomes(report)) == (130, ["removed", "unprocessed", "unprocessed", "unprocessed"])
    assert len(label_studio.ids()) == 3


def test_a_deletion_that_ctrl_c_cuts_off_is_not_said_to_have_been_left(
    start: Start, remove: Remove, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would end the tests.
    monkeypatch.setattr(interrupts, "GRACE", 3600)

    async def interrupting(proceed: Proceed) -> Response:
        answer = await proceed()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
        return answer

    label_studio = start(OnDelete(interrupting))
    results = label_studio.batch(ROW, {**ROW, "title": "Contracts"})
    code, report = remove(results, "--yes", "--max-concurrency", "1")
    assert (code, outcomes(report), codes(report)) == (130, ["failed", "unprocessed"], ["unanswered", "stopped"])
    assert "may be gone" in report["rows"][0]["why"]


# Community, and people


def test_on_community_the_whole_template_is_compared(start: Start, remove: Remove) -> None:
    async def community(call: Call, proceed: Proceed) -> Response:
        version = Answer({"release": "1.23.2", "edition": "Community"})
        return version.response() if call.path == "/api/version/" else await proceed()

    label_studio = start(community)
    (label_studio.folder / "ner.yaml").write_text(YAML)
    results = label_studio.batch({"title": "One", "template": "ner.yaml"}, {"title": "Two", "template": "ner.yaml"})
    label_studio.change(project_of(results), maximum_annotations=3)
    code, report = remove(results, "--yes", "--folder", str(label_studio.folder))
    assert (code, outcomes(report), codes(report)) == (1, ["kept", "removed"], ["changed", ""])


def test_a_person_sees_which_projects_are_kept_and_why(
    label_studio: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    results = label_studio.batch(ROW, {**ROW, "title": "Contracts"})
    label_studio.change(project_of(results), maximum_annotations=5)
    assert main(["remove", results]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "maximum_annotations" in printed
    assert "2 rows: 1 kept (line 2), 1 would be removed" in printed
    assert "--yes deletes the projects that would be removed" in printed


def test_the_reason_for_a_kept_project_names_the_flag_to_give(
    label_studio: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    results = label_studio.batch({**ROW, "workspace": "Customer Feedback"})
    Path(results).write_text(Path(results).read_text().replace("Customer Feedback", ""))
    assert main(["remove", results]) == 0
    assert "give `--workspace NAME`" in " ".join(capsys.readouterr().out.split())
