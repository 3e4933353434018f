"""The inbox on a real Prefect server: which sheets are run, how often, where they go, and how the run ends."""

import asyncio
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.concurrency.asyncio import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.logging.handlers import APILogWorker
from starlette.responses import JSONResponse, Response

from label_studio_sandbox import Call, Interceptor, Proceed, Sandbox
from label_studio_stencil.inbox.errors import InboxTaken, InboxUnusable
from label_studio_stencil.inbox.folder import Inbox
from label_studio_stencil.prefect.inbox import watch_inbox
from label_studio_stencil.prefect.limits import alone_at
from tests.prefect.deployed import SECONDS
from tests.prefect.test_create_projects import latest_run

pytestmark = pytest.mark.usefixtures("prefect_api")


@contextmanager
def label_studio(monkeypatch: pytest.MonkeyPatch, interceptor: Interceptor) -> Iterator[Sandbox]:
    """A sandbox that the environment names as Label Studio."""
    with Sandbox(interceptors=[interceptor]) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(inbox: Path, name: str, *titles: str, age: float = 60) -> Path:
    """A sheet that was written some seconds ago."""
    sheet = inbox / name
    sheet.write_text("\n".join(["title", *titles, ""]))
    os.utime(sheet, (time.time() - age,) * 2)
    return sheet


async def poll(inbox: Path | str, **parameters: Any) -> State[Any]:
    """The final state of a run."""
    given = {"template": "1", "workspace": "1", **parameters}
    state: State[Any] = await watch_inbox(inbox=str(inbox), **given, return_state=True)  # type: ignore[assignment]
    return state


def files(inbox: Path) -> list[str]:
    """What lies in the inbox and below; times of folders are left out."""
    found = (path.relative_to(inbox).as_posix() for path in inbox.rglob("*") if path.is_file())
    return sorted(re.sub(r"/[-\dT]+Z-(\d+-)?", "/", name) for name in found)


def created(sandbox: Sandbox) -> list[str]:
    """The titles of all creates that were sent."""
    bodies = [request.json() for request in sandbox.requests if request.path.endswith("/create-project")]
    return sorted(str(body["title"]) for body in bodies if isinstance(body, dict))


async def test_each_sheet_is_run_once_and_lies_with_its_results(sandbox: Sandbox, inbox: Path) -> None:
    put(inbox, "good.csv", "First", "Second")
    put(inbox, "bad.csv", "Third", "ab")
    state = await poll(inbox)
    assert (state.type, state.name) == (StateType.COMPLETED, "CompletedWithFailures")
    assert state.message == "2 sheets: 1 done, 1 failed"
    assert files(inbox) == [
        "done/good.csv/failed.csv",
        "done/good.csv/good.csv",
        "done/good.csv/results.csv",
        "failed/bad.csv/bad.csv",
        "failed/bad.csv/problems.csv",
    ]
    assert created(sandbox) == ["First", "Second"]

    state = await poll(inbox)
    assert (state.name, state.message) == ("Completed", "no new sheet")
    assert created(sandbox) == ["First", "Second"]


async def test_each_sheet_has_a_run_of_its_own_below_the_polls(sandbox: Sandbox, inbox: Path) -> None:
    put(inbox, "good.csv", "First")
    put(inbox, "bad.csv", "ab")
    await poll(inbox)
    runs = {run.name: run.state_type for run in (await run_and_subflows())[1:]}
    assert runs == {"good.csv": StateType.COMPLETED, "bad.csv": StateType.FAILED}


async def test_an_empty_inbox_asks_nothing_of_the_studio_and_takes_no_lock(sandbox: Sandbox, inbox: Path) -> None:
    (inbox / "guide.md").write_text("no sheet")
    state = await poll(inbox)
    assert (state.name, state.message) == ("Completed", "no new sheet")
    assert sandbox.requests == ()
    with pytest.raises(ObjectNotFound):
        await lock_of(inbox)


async def test_a_sheet_that_is_being_written_waits_for_the_next_run(sandbox: Sandbox, inbox: Path) -> None:
    put(inbox, "old.csv", "First")
    sheet = put(inbox, "new.csv", "Second", age=0)
    state = await poll(inbox, quiet_seconds=30)
    assert (state.name, state.message) == ("Completed", "1 sheet: 1 done; 1 still being written")
    os.utime(sheet, (0, 0))
    assert (await poll(inbox)).message == "1 sheet: 1 done"
    assert created(sandbox) == ["First", "Second"]


async def test_the_same_name_twice_lies_in_two_folders(sandbox: Sandbox, inbox: Path) -> None:
    for title in ("First", "Second"):
        put(inbox, "a.csv", title)
        assert (await poll(inbox)).message == "1 sheet: 1 done"
    assert [name for name in files(inbox) if name.endswith("a.csv/a.csv")] == ["done/a.csv/a.csv"] * 2
    assert created(sandbox) == ["First", "Second"]


async def test_files_beside_a_sheet_are_read_and_stay(sandbox: Sandbox, inbox: Path) -> None:
    (inbox / "guide.txt").write_text("Read it twice.")
    sheet = inbox / "a.csv"
    sheet.write_text("title,expert_instruction\nWith a guide,@guide.txt\n")
    assert (await poll(inbox, quiet_seconds=0)).message == "1 sheet: 1 done"
    assert b"Read it twice." in b"".join(request.body for request in sandbox.requests)
    assert (inbox / "guide.txt").exists()


async def test_a_studio_that_does_not_answer_leaves_the_sheets_and_the_run_says_so(
    sandbox: Sandbox, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "a.csv", "First")
    put(inbox, "b.csv", "Second")
    with monkeypatch.context() as down:
        down.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
        state = await poll(inbox)
    assert state.type is StateType.FAILED
    assert str(state.message).startswith("2 sheets: 2 left for the next time\n  a.csv: ")
    assert "no connection" in str(state.message)
    assert files(inbox) == ["a.csv", "b.csv"]
    assert [line for line in await logs() if "Traceback" in line] == []

    assert (await poll(inbox)).message == "2 sheets: 2 done"


async def test_a_missing_block_of_credentials_leaves_the_sheet(sandbox: Sandbox, inbox: Path) -> None:
    put(inbox, "a.csv", "First")
    state = await poll(inbox, credentials="nobody-made-this")
    assert state.type is StateType.FAILED
    assert "nobody-made-this" in str(state.message)
    assert files(inbox) == ["a.csv"]


class OneRefused:
    """Takes the token of one row no longer."""

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, but for that row."""
        if call.method == "POST" and b"Refused" in call.raw:
            return JSONResponse({"detail": "Invalid token."}, 401)
        return await proceed()


async def test_a_batch_that_a_401_stops_leaves_its_sheet_and_the_others_are_run(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "a.csv", "Refused")
    put(inbox, "b.csv", "Second")
    with label_studio(monkeypatch, OneRefused()) as sandbox:
        state = await poll(inbox)
        assert created(sandbox)[-1] == "Second"
    assert state.type is StateType.FAILED
    assert str(state.message).startswith("2 sheets: 1 done, 1 left for the next time\n  a.csv: ")
    assert files(inbox)[0] == "a.csv"


class Held:
    """Stands before the sandbox's handlers and keeps creates waiting until it is told."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, late."""
        if call.method == "POST":
            self.reached.set()
            while not self.open.is_set():  # noqa: ASYNC110 - the test runs in another loop
                await asyncio.sleep(0.01)
        return await proceed()


async def reached(held: Held) -> None:
    async with asyncio.timeout(SECONDS):
        while not held.reached.is_set():  # noqa: ASYNC110 - the sandbox runs in a thread of its own
            await asyncio.sleep(0.01)


async def test_of_two_runs_at_once_one_runs_the_sheets_and_the_other_says_so(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "a.csv", "First", "Second")
    put(inbox, "b.csv", "Third")
    held = Held()
    with label_studio(monkeypatch, held) as sandbox:
        first = asyncio.ensure_future(poll(inbox))
        await reached(held)
        second = await poll(f"file://{inbox}/")
        held.open.set()
        assert (await first).message == "2 sheets: 2 done"
        assert created(sandbox) == ["First", "Second", "Third"]
    assert second.name == "Completed"
    assert str(second.message).startswith("another run is at this inbox")


async def test_a_cancelled_run_leaves_the_sheet_and_the_inbox_to_the_next(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "a.csv", "First")
    held = Held()
    with label_studio(monkeypatch, held) as sandbox:
        running = asyncio.ensure_future(poll(inbox))
        await reached(held)
        running.cancel()
        held.open.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert files(inbox) == ["a.csv"]
        assert (await poll(inbox)).message == "1 sheet: 1 done"
        assert created(sandbox) == ["First"]


async def test_a_sheet_that_could_not_be_moved_is_run_again_and_makes_nothing_twice(
    sandbox: Sandbox, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InboxUnusable("here", "the disk is full.")

    put(inbox, "a.csv", "First")
    with monkeypatch.context() as broken:
        broken.setattr(Inbox, "_move", refuse)
        state = await poll(inbox)
    assert (state.type, "the disk is full" in str(state.message)) == (StateType.FAILED, True)
    assert "a.csv" in files(inbox)
    assert (await poll(inbox)).message == "1 sheet: 1 done"
    assert created(sandbox) == ["First"]


async def test_a_sheet_that_is_rewritten_while_it_is_run_is_run_again(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "a.csv", "First")
    held = Held()
    with label_studio(monkeypatch, held) as sandbox:
        running = asyncio.ensure_future(poll(inbox))
        await reached(held)
        put(inbox, "a.csv", "First", "Second", age=30)
        held.open.set()
        assert (await running).message == "no new sheet; 1 still being written"
        assert (await poll(inbox)).message == "1 sheet: 1 done"
        assert created(sandbox) == ["First", "Second"]


async def test_a_missing_inbox_fails_with_a_message(tmp_path: Path) -> None:
    state = await poll(tmp_path / "nowhere")
    assert (state.type, "there is no such folder" in str(state.message)) == (StateType.FAILED, True)
    assert [line for line in await logs() if "Traceback" in line] == []


async def lock_of(inbox: Path) -> GlobalConcurrencyLimitResponse:
    async with get_client() as client:
        return await client.read_global_concurrency_limit_by_name(f"stencil-inbox-{Inbox(str(inbox)).key}")


async def test_an_inbox_that_is_taken_is_left_alone_and_the_run_says_how_to_take_it(
    sandbox: Sandbox, inbox: Path
) -> None:
    put(inbox, "a.csv", "First")
    async with alone_at(Inbox(str(inbox))):
        state = await poll(inbox)
        assert f"prefect gcl update {(await lock_of(inbox)).name} --active-slots 0" in str(state.message)
    assert state.name == "Completed"
    assert (files(inbox), sandbox.requests) == (["a.csv"], ())


async def test_a_lock_that_is_not_released_expires(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_stencil.prefect.limits.LONGEST_LOCK", 1.0)
    opened = Inbox(str(inbox))
    async with alone_at(opened), asyncio.timeout(SECONDS):
        while (await lock_of(inbox)).active_slots:  # noqa: ASYNC110 - the time passes on Prefect's server
            await asyncio.sleep(0.1)
        async with alone_at(opened):
            pass


async def test_a_lock_that_is_taken_between_the_question_and_the_try_is_another_runs(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def free(_: str) -> bool:
        return False

    opened = Inbox(str(inbox))
    async with alone_at(opened):
        pass
    monkeypatch.setattr("label_studio_stencil.prefect.limits._is_held", free)
    async with concurrency(f"stencil-inbox-{opened.key}", strict=True):
        with pytest.raises(InboxTaken):
            await alone_at(opened).__aenter__()


async def run_and_subflows() -> list[FlowRun]:
    """The latest run of all that is no subflow, and the runs below it."""
    top = await latest_run()
    while top.parent_task_run_id is not None:
        async with get_client() as client:
            task = await client.read_task_run(top.parent_task_run_id)
            assert task.flow_run_id is not None
            top = await client.read_flow_run(task.flow_run_id)
    async with get_client() as client:
        below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[top.id]))
        return [top, *await client.read_flow_runs(flow_run_filter=below)]


async def logs() -> list[str]:
    """What the latest run and those below it logged."""
    await asyncio.to_thread(APILogWorker.instance().drain)
    ids = [run.id for run in await run_and_subflows()]
    async with get_client() as client:
        found = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=ids)))
    return [log.message for log in found]
