"""The task that creates one project, in flows such as other people write."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from prefect import flow, unmapped
from prefect.task_runners import ThreadPoolTaskRunner
from starlette.responses import JSONResponse, Response

from label_studio_sandbox import Call, Interceptor, Lost, Proceed, Sandbox
from label_studio_stencil.batch import prepare
from label_studio_stencil.policy import Patience
from label_studio_stencil.prefect import LabelStudioCredentials, RowsNeedAttention, create_project
from label_studio_stencil.problems import InvalidSheet
from label_studio_stencil.report.outcomes import Outcome, RowReport
from tests.prefect.deployed import ROOT, SECONDS
from tests.soak.batches import projects

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rivals and late answers are waited for as long as a sandbox needs, not a server far away."""
    patience = Patience(unanswered=(0.2, 0.5), rivals=1.0, patch=0.8, late=1.0, fresh=0.5, read=0.5)
    monkeypatch.setattr("label_studio_stencil.prefect.tasks.prepare", partial(prepare, patience=patience))


@contextmanager
def label_studio(monkeypatch: pytest.MonkeyPatch, *interceptors: Interceptor) -> Iterator[Sandbox]:
    """A sandbox that the environment names as Label Studio."""
    with Sandbox(interceptors=list(interceptors)) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


def creates(call: Call) -> bool:
    return call.path.endswith("/create-project")


class Once:
    """Gives one answer to the first create, after or instead of the handler's."""

    def __init__(self, answer: Callable[[Proceed], Awaitable[Response]]) -> None:
        self._answer, self._done = answer, False

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, but for the first create."""
        if self._done or not creates(call):
            return await proceed()
        self._done = True
        return await self._answer(proceed)


async def lost(proceed: Proceed) -> Response:
    await proceed()
    return Lost()


async def busy(_: Proceed) -> Response:
    return JSONResponse({"detail": "Not now."}, 429, {"Retry-After": "0"})


@flow
async def create_all(titles: list[str]) -> list[RowReport]:
    """As a flow of coroutines does."""
    return list(await asyncio.gather(*(create_project(title, "1", "1", {"color": "#617ADA"}) for title in titles)))


@flow(task_runner=ThreadPoolTaskRunner[Any](max_workers=4))  # type: ignore[arg-type] # of futures, as Prefect's own default
def map_all(titles: list[str]) -> list[RowReport]:
    """As a flow that maps does."""
    futures = create_project.map(titles, "Sentiment Analysis", "1", unmapped({"color": "#617ADA"}))
    return cast("list[RowReport]", futures.result())


async def test_each_title_becomes_a_project_with_its_overrides(sandbox: Sandbox) -> None:
    reports = await create_all(["One", "Two", "Three"])
    assert {report.outcome for report in reports} == {Outcome.CREATED}
    made = {project["title"]: project for project in projects(sandbox)}
    assert {report.title: report.project_id for report in reports} == {
        each["title"]: each["id"] for each in made.values()
    }
    assert {project["color"] for project in made.values()} == {"#617ADA"}
    assert [report.outcome for report in await create_all(["One", "Two", "Three"])] == [Outcome.EXISTS] * 3
    assert len(projects(sandbox)) == 3


def test_a_flow_that_is_not_asynchronous_maps_it(sandbox: Sandbox) -> None:
    reports = map_all([f"Mapped {number}" for number in range(8)])
    assert {report.outcome for report in reports} == {Outcome.CREATED}
    assert sorted(project["title"] for project in projects(sandbox)) == [report.title for report in reports]


async def test_one_title_twice_at_the_same_time_becomes_one_project(sandbox: Sandbox) -> None:
    reports = await create_all(["Same", "Same"])
    (made,) = projects(sandbox)
    assert [report.project_id for report in reports] == [made["id"]] * 2
    assert "[stencil " not in made["description"]


@pytest.mark.parametrize("answer", [lost, busy], ids=["lost", "429"])
async def test_a_retry_knows_what_the_attempt_before_has_sent(
    answer: Callable[[Proceed], Awaitable[Response]], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    watched = create_project.with_options(on_completion=[lambda task, run, state: runs.append(run.run_count)])

    @flow
    async def create() -> RowReport:
        return await watched("Once", "1", "1")

    with label_studio(monkeypatch, Once(answer)) as sandbox:
        report = await create()
        (made,) = projects(sandbox)
    assert (report.outcome, report.project_id) == (Outcome.CREATED, made["id"])
    assert answer is busy or runs[0] > 1


async def test_without_retries_the_sweep_takes_up_what_the_one_attempt_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @flow
    async def create() -> RowReport:
        return await create_project.with_options(retries=0)("Once", "1", "1")

    with label_studio(monkeypatch, Once(lost)) as sandbox:
        assert (await create()).outcome is Outcome.CREATED
        assert len(projects(sandbox)) == 1


async def test_a_project_that_is_refused_fails_at_once_with_its_report(sandbox: Sandbox) -> None:
    @flow
    async def create() -> RowReport:
        return await create_project("Refused", "1", "1", {"model_version": "nope"})

    with pytest.raises(RowsNeedAttention, match="failed: ") as failed:
        await create()
    (row,) = failed.value.rows
    assert (row.title, row.outcome) == ("Refused", Outcome.FAILED)
    assert projects(sandbox) == []


async def test_an_argument_that_is_wrong_creates_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidSheet, match="title-too-short"):
        await create_all(["x"])
    assert projects(sandbox) == []


async def test_a_block_names_the_label_studio(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    block = LabelStudioCredentials.model_validate({"url": sandbox.url, "token": sandbox.token})

    @flow
    async def create() -> RowReport:
        return await create_project("By a block", "1", "1", credentials=block)

    assert (await create()).project_url == f"{sandbox.url}/projects/{projects(sandbox)[0]['id']}"


async def test_an_existing_project_is_brought_to_its_overrides_on_request(sandbox: Sandbox) -> None:
    @flow
    async def create() -> list[RowReport]:
        first = await create_project("Kept", "1", "1")
        return [first, await create_project("Kept", "1", "1", {"maximum_annotations": 3}, mode="update")]

    first, second = await create()
    assert (second.outcome, second.project_id) == (Outcome.UPDATED, first.project_id)
    assert projects(sandbox)[0]["maximum_annotations"] == 3


class Deadly:
    """Kills the process that sends the first PATCH, when its placeholder is there."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, but for that PATCH."""
        if call.method == "PATCH" and self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process = None
            return Lost()
        return await proceed()


SCRIPT = """
import asyncio
from prefect import flow
from label_studio_stencil.prefect import create_project

@flow
async def create():
    await create_project("Killed", "1", "1", {"color": "#617ADA"})

asyncio.run(create())
"""


@pytest.mark.slow
async def test_a_run_after_a_kill_completes_the_placeholder(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deadly = Deadly()
    script = tmp_path / "killed.py"
    script.write_text(SCRIPT)
    with label_studio(monkeypatch, deadly) as sandbox:
        environment = {**os.environ, "PREFECT_API_URL": prefect_api}
        deadly.process = process = subprocess.Popen([sys.executable, script], env=environment)  # noqa: ASYNC220
        assert await asyncio.to_thread(process.wait, SECONDS) == -signal.SIGKILL
        (left,) = projects(sandbox)
        assert "[stencil " in left["description"]
        (report,) = await create_all(["Killed"])
        (made,) = projects(sandbox)
    assert (report.outcome, report.project_id, made["id"]) == (Outcome.RESUMED, left["id"], left["id"])
    assert "[stencil " not in made["description"]


async def test_a_task_that_fails_for_a_known_reason_logs_its_sentence_alone(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    @flow
    async def create() -> None:
        await create_project.with_options(retries=0)("x", "1", "1")

    with pytest.raises(InvalidSheet):
        await create()
    failed = [
        record for record in caplog.records if record.levelname == "ERROR" and "Task run failed" in record.message
    ]
    assert [("title-too-short" in record.message, record.exc_info) for record in failed] == [(True, None)]


def flows_of_the_page() -> dict[str, Any]:
    """The flows of docs/prefect-tasks.md."""
    page = (ROOT / "docs" / "prefect-tasks.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(compile(code, __file__, "exec"), names)
    return names


async def test_the_flows_of_the_page_run(sandbox: Sandbox, tmp_path: Path) -> None:
    flows = flows_of_the_page()
    assert (await flows["onboard"]("Alder")).startswith(sandbox.url)
    assert await asyncio.to_thread(flows["onboard_all"], ["Alder", "Birch"]) == [1, 2]
    assert await flows["onboard_sheet"](["Cedar", "Elm"]) == 2
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title\nCarefully one\nCarefully two\n")
    assert await flows["onboard_carefully"](str(sheet), most=5) == "2 rows: 2 created"
    assert len(projects(sandbox)) == 6


async def test_a_template_file_is_opened_with_the_rights_of_the_flows_author(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
    (tmp_path / "t.yaml").write_text(f"name: T\nlabel_config: '{config}'\n")
    # As a worker starts a run.
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(uuid4()))

    @flow
    async def create() -> RowReport:
        return await create_project("By a file", str(tmp_path / "t.yaml"), "1")

    assert (await create()).outcome is Outcome.CREATED
