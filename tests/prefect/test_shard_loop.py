"""How a batch waits for its shards, whatever Prefect's server and their processes do; played without either."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Pending, Running, Scheduled
from pydantic import SecretStr

from stencil.batch import Batch, prepare
from stencil.checking import check
from stencil.options import Options
from stencil.report import Outcome
from stencil.sandbox import Sandbox
from stencil.settings import StudioSettings
from stencil.shards import ShardRow
from stencil.sheet import read_sheet
from stencil.studio import open_studio
from tasks import stopping
from tasks.shard_news import ShardState
from tasks.shard_runs import RunRefused, Seen, ShardRuns
from tasks.shards import Shards, Waits

SHEET = b"title,template,workspace\n" + b"".join(b"Row %d,1,1\n" % number for number in range(10))
CUT = [(2, 6), (7, 11)]
#: Longer than whatever happens in between takes, on however busy a machine.
WAITS = Waits(poll=0.01, silent=60.0, unstarted=60.0, warned=60.0, stopped=60.0, cancelled=60.0)


def told(line: int, outcome: Outcome, project: int | None = None, **more: Any) -> ShardRow:
    values = {"attempts": 1, "seconds": 0.5, "error_code": "", "error": "", "steps": "", **more}
    return ShardRow(line=line, outcome=outcome.value, project_id=project, **values)


class Stage:
    """Plays Prefect's server and the shards."""

    def __init__(self) -> None:
        self.states: dict[UUID, State[Any]] = {}
        self.news: dict[UUID, ShardState] = {}
        self.told: dict[UUID, list[ShardRow]] = {}
        self.started: list[UUID] = []
        self.keys: dict[str, UUID] = {}
        self.ended: list[tuple[UUID, str]] = []
        self.fails: dict[str, int] = {}
        self.away = False
        self.elsewhere: dict[UUID, int] = {}
        self.first: State[Any] = Running()

    def _asked(self, what: str) -> None:
        if self.away:
            raise OSError("away")
        if self.fails.get(what, 0) > 0:
            self.fails[what] -= 1
            raise OSError(f"{what} failed")

    async def start(self, name: str, parameters: object, key: str) -> UUID:
        # The answer may be lost and the run be there.
        if key not in self.keys:
            run = self.keys[key] = uuid4()
            self.started.append(run)
            self.states[run] = self.first
        self._asked("start")
        return self.keys[key]

    async def known(self, key: str) -> UUID | None:
        self._asked("known")
        return self.keys.get(key)

    async def look(self, runs: Sequence[UUID]) -> dict[UUID, Seen]:
        self._asked("look")
        return {run: Seen(self.states[run], self.news.get(run)) for run in runs if run in self.states}

    async def rows(self, run: UUID) -> list[ShardRow]:
        self._asked("rows")
        return self.told.get(run, [])

    async def cancel(self, run: UUID, reason: str) -> None:
        self._asked("cancel")
        self.ended.append((run, reason))
        self.states[run] = Cancelled()

    async def count_as_dead(self, run: UUID, reason: str) -> None:
        self.states[run] = Crashed(message=reason)

    async def others(self) -> dict[UUID, int]:
        return self.elsewhere

    def done(self, number: int, rows: list[ShardRow]) -> None:
        """The run of that number has done its rows."""
        run = self.started[number]
        self.told[run] = rows
        self.news[run] = ShardState(beats=9, requests=10, whole=True)
        self.states[run] = Completed()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[ShardRuns]:
        yield cast("ShardRuns", self)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run, and so no log and no progress."""

    @contextlib.asynccontextmanager
    async def nothing(batch: Batch) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr("tasks.shards.get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr("tasks.shards.progress_told", nothing)


Play = Callable[[Stage, Batch], Awaitable[None]]


async def played(
    play: Play,
    stage: Stage | None = None,
    waits: Waits = WAITS,
    there: Mapping[int, int] = {},
    **options: Any,
) -> tuple[Stage, Batch]:
    """A batch in two shards while something happens, to its end; `there` are projects that exist, by the row's number."""
    stage, chosen = stage or Stage(), Options(**options)
    with Sandbox() as sandbox:
        async with open_studio(StudioSettings(sandbox.url, SecretStr(sandbox.token)), chosen) as studio:
            batch = await prepare(check(read_sheet(SHEET), chosen), chosen, studio)
            for row, project in there.items():
                batch.engine.tickets[row].settle(Outcome.EXISTS, project)
            shards = Shards(batch, CUT, {"sheet": "/x/y.csv"}, 4, runs=stage.opened, waits=waits)
            work = asyncio.ensure_future(shards.carry_out())
            try:
                await play(stage, batch)
                async with asyncio.timeout(30):
                    await work
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                stage.away = False
                await shards.read_rest()
            return stage, batch


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - it comes about in this very loop
            await asyncio.sleep(0.001)


async def both(stage: Stage) -> None:
    await until(lambda: len(stage.started) >= 2)


def made(lines: range) -> list[ShardRow]:
    return [told(line, Outcome.CREATED, 100 + line) for line in lines]


def outcomes(batch: Batch) -> list[str]:
    return [row.outcome.value for row in batch.report().rows]


async def test_both_are_merged_into_one_report() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.done(0, made(range(2, 7)))
        stage.done(1, made(range(7, 12)))

    stage, batch = await played(play)
    assert outcomes(batch) == ["created"] * 10
    assert batch.elsewhere.requests == 20
    assert (batch.report().notes, len(stage.started)) == ((), 2)


async def test_a_start_that_is_not_answered_is_tried_again_and_makes_no_second_run() -> None:
    stage = Stage()
    stage.fails["start"] = 3

    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.done(0, made(range(2, 7)))
        stage.done(1, made(range(7, 12)))

    stage, batch = await played(play, stage)
    assert (outcomes(batch), len(stage.started)) == (["created"] * 10, 2)


async def test_a_run_that_was_started_unheard_is_ended_with_the_batch() -> None:
    stage = Stage()
    stage.fails["start"] = 10**6

    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        batch.stopping.stop("cancelled")

    stage, batch = await played(play, stage)
    assert [run for run, _ in stage.ended] == stage.started
    assert {row.outcome for row in batch.report().rows} == {Outcome.UNPROCESSED}
    assert all(row.error for row in batch.report().rows)


async def test_a_crashed_shard_is_taken_in_once_however_often_its_rerun_fails_to_start() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        first = stage.started[0]
        stage.told[first] = [told(2, Outcome.FAILED, error="no"), told(3, Outcome.CREATED, 103)]
        stage.news[first] = ShardState(beats=1, requests=100)
        stage.fails["start"] = 5
        stage.states[first] = Crashed()
        await until(lambda: len(stage.started) == 3 and not stage.fails["start"])
        stage.done(2, [told(2, Outcome.FAILED, error="no"), told(3, Outcome.EXISTS, 103), *made(range(4, 7))])
        stage.done(1, made(range(7, 12)))

    _, batch = await played(play, max_failures="1")
    assert outcomes(batch) == ["failed", *["created"] * 9]
    assert (batch.elsewhere.requests, batch.failures) == (120, 1)
    assert batch.engine.tickets[0].attempts == 2
    assert len([note for note in batch.report().notes if "were run again" in note]) == 1


@pytest.mark.parametrize("end", ["deleted", "silent", "pending"])
async def test_a_shard_of_which_nothing_comes_any_more_is_run_again_and_given_up_in_the_end(end: str) -> None:
    stage = Stage()
    stage.first = Pending() if end == "pending" else Running()

    async def play(stage: Stage, batch: Batch) -> None:
        for _ in range(3):
            await both(stage)
            if end == "deleted":
                stage.states.clear()
            await asyncio.sleep(0.05)
        await until(lambda: len(stage.started) == 6)
        if end == "deleted":
            stage.states.clear()

    stage, batch = await played(play, stage, replace(WAITS, silent=0.3, unstarted=0.3))
    assert len(stage.started) == 6
    assert outcomes(batch) == ["unprocessed"] * 10
    assert all("They were run 3 times" in row.error for row in batch.report().rows)


async def test_shards_are_not_dead_because_prefects_server_was_away() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        for run in stage.started:
            stage.news[run] = ShardState(beats=1)
        await asyncio.sleep(0.05)
        stage.away = True
        await asyncio.sleep(0.3)
        stage.away = False
        await asyncio.sleep(0.05)
        stage.done(0, made(range(2, 7)))
        stage.done(1, made(range(7, 12)))

    stage, batch = await played(play, waits=replace(WAITS, silent=0.25))
    assert (outcomes(batch), len(stage.started)) == (["created"] * 10, 2)


async def test_a_server_that_stays_away_ends_the_batch_with_what_is_known() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.done(0, made(range(2, 7)))
        await until(lambda: outcomes(batch)[0] == "created")
        stage.away = True

    _, batch = await played(play, waits=replace(WAITS, unstarted=0.3))
    assert outcomes(batch) == ["created"] * 5 + ["unprocessed"] * 5
    assert "does not tell how the shards get on" in batch.report().rows[-1].error


async def test_a_stop_reaches_every_shard_though_one_call_fails() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.fails["cancel"] = 1
        batch.stopping.stop("cancelled")

    stage, _ = await played(play)
    assert {run for run, _ in stage.ended} == set(stage.started)


async def test_one_shard_that_is_cancelled_leaves_the_others_to_go_on() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        first = stage.started[0]
        stage.told[first] = [told(2, Outcome.CREATED, 102)]
        stage.news[first] = ShardState(beats=2, stopped="cancelled", whole=True)
        stage.states[first] = Cancelled()
        await until(lambda: outcomes(batch)[0] == "created")
        stage.done(1, made(range(7, 12)))

    _, batch = await played(play)
    assert outcomes(batch) == ["created"] + ["unprocessed"] * 4 + ["created"] * 5
    assert not batch.stopping
    assert "Cancelled" in batch.report().notes[0]


async def test_what_stops_one_shard_stops_all() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        first = stage.started[0]
        stage.news[first] = ShardState(beats=2, stopped="the studio refused the token", whole=True)
        stage.states[first] = Completed()

    stage, batch = await played(play)
    assert batch.report().stopped == "the studio refused the token"
    assert [run for run, _ in stage.ended] == [stage.started[1]]


async def test_a_refusal_is_not_tried_again_and_an_exception_is() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.news[stage.started[0]] = ShardState(beats=2, refused="the sheet was changed")
        stage.news[stage.started[1]] = ShardState(beats=2, whole=True)
        for run in stage.started:
            stage.states[run] = Failed(message="why")
        await until(lambda: len(stage.started) == 3)
        stage.done(2, made(range(7, 12)))

    _, batch = await played(play)
    assert outcomes(batch) == ["unprocessed"] * 5 + ["created"] * 5
    assert batch.report().rows[0].error == "lines 2-6: the sheet was changed"


async def test_failures_of_shards_under_way_count_towards_the_limit() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        for run in stage.started:
            stage.news[run] = ShardState(beats=1, counts={Outcome.FAILED: 1, Outcome.INVALID: 4})
        await until(lambda: bool(batch.stopping))
        assert batch.counts() == {Outcome.FAILED: 2}

    stage, batch = await played(play, max_failures="1")
    assert "max_failures" in batch.report().stopped
    assert len(stage.ended) == 2


async def test_a_batch_that_no_worker_takes_up_ends_and_says_so() -> None:
    stage = Stage()
    stage.first = Scheduled()

    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)

    # What is left of a shard whose machine is gone tells nothing any more, and so keeps nobody waiting.
    stage.elsewhere = {uuid4(): 7}
    stage, batch = await played(play, stage, replace(WAITS, unstarted=0.2, silent=0.2))
    assert "no worker has taken up a shard" in batch.report().stopped
    assert len(stage.ended) == 2


async def test_a_batch_waits_as_long_as_workers_are_busy_with_another() -> None:
    stage, other = Stage(), uuid4()
    stage.first = Scheduled()

    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        ended = asyncio.get_running_loop().time() + 0.6
        while asyncio.get_running_loop().time() < ended:
            stage.elsewhere = {other: stage.elsewhere.get(other, 0) + 1}
            await asyncio.sleep(0.01)
        assert not batch.stopping
        stage.done(0, made(range(2, 7)))
        stage.done(1, made(range(7, 12)))

    _, batch = await played(play, stage, replace(WAITS, unstarted=0.2, silent=10.0))
    assert outcomes(batch) == ["created"] * 10


async def test_a_shard_that_prefect_refuses_to_start_keeps_no_other_from_being_merged() -> None:
    class Refusing(Stage):
        async def start(self, name: str, parameters: object, key: str) -> UUID:
            if "7-11" in name:
                raise RunRefused("Prefect's server does not take their run (422)")
            return await super().start(name, parameters, key)

    async def play(stage: Stage, batch: Batch) -> None:
        await until(lambda: len(stage.started) == 1)
        stage.done(0, made(range(2, 7)))

    _, batch = await played(play, Refusing())
    assert outcomes(batch) == ["created"] * 5 + ["unprocessed"] * 5
    assert "(422)" in batch.report().rows[-1].error


async def test_a_start_that_fails_again_and_again_keeps_no_other_from_being_merged() -> None:
    class Failing(Stage):
        async def start(self, name: str, parameters: object, key: str) -> UUID:
            if "7-11" in name:
                raise OSError("no")
            return await super().start(name, parameters, key)

    async def play(stage: Stage, batch: Batch) -> None:
        await until(lambda: len(stage.started) == 1)
        stage.done(0, made(range(2, 7)))
        await until(lambda: outcomes(batch)[0] == "created")

    _, batch = await played(play, Failing(), replace(WAITS, unstarted=0.3))
    assert outcomes(batch) == ["created"] * 5 + ["unprocessed"] * 5


async def test_what_shards_have_told_is_in_the_report_of_a_batch_that_was_cut_off() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.told[stage.started[0]] = made(range(2, 5))
        raise asyncio.CancelledError

    stage = Stage()
    batches: list[Batch] = []

    async def keep(stage: Stage, batch: Batch) -> None:
        batches.append(batch)
        await play(stage, batch)

    with pytest.raises(asyncio.CancelledError):
        await played(keep, stage)
    assert outcomes(batches[0]) == ["created"] * 3 + ["unprocessed"] * 7
    assert all(row.error for row in batches[0].report().rows[3:])


async def test_a_project_that_went_away_and_was_made_anew_is_named_as_it_is_now() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.done(0, [told(2, Outcome.CREATED, 102), told(3, Outcome.EXISTS, 1003), *made(range(4, 7))])
        stage.done(1, made(range(7, 12)))

    _, batch = await played(play, there={0: 7, 1: 8})
    rows = batch.report().rows
    assert [(row.outcome.value, row.project_id) for row in rows[:2]] == [("created", 102), ("exists", 8)]


# What a shard sees of the batch that it is a part of


class Server:
    """Prefect's server, as far as a shard looks at its batch."""

    def __init__(self) -> None:
        self.state: State[Any] | None = Running()
        self.told = 0

    async def read_flow_run(self, run: UUID) -> Any:
        if self.state is None:
            raise ObjectNotFound(OSError("404"))
        return SimpleNamespace(state=self.state)

    async def read_artifacts(self, **_: Any) -> list[Any]:
        return [SimpleNamespace(updated=self.told)]


@pytest.mark.parametrize("state", [Completed(), Crashed(), Cancelling(), None], ids=["ended", "dead", "ending", "gone"])
async def test_a_shard_ends_with_its_batch(state: State[Any] | None) -> None:
    server, whole = Server(), stopping.Whole(uuid4())
    assert not await whole.why_ended(cast("PrefectClient", server))
    server.state = state
    said = [await whole.why_ended(cast("PrefectClient", server)) for _ in range(10)]
    assert "has ended" in said[-1]
    assert bool(said[0]) == (state is None or not state.is_crashed())


async def test_a_shard_goes_on_with_a_batch_that_was_only_held_to_be_dead() -> None:
    server, whole = Server(), stopping.Whole(uuid4())
    for lives in (True, False, False, True, False, False, True):
        server.state = Running() if lives else Crashed()
        assert not await whole.why_ended(cast("PrefectClient", server))


async def test_a_shard_ends_when_nothing_is_heard_of_its_batch_any_more() -> None:
    """A killed process says nothing: its flow run is running for ever."""
    server, whole = Server(), stopping.Whole(uuid4())
    for beat in range(100):
        server.told = beat // 10
        assert not await whole.why_ended(cast("PrefectClient", server))
    said = [await whole.why_ended(cast("PrefectClient", server)) for _ in range(40)]
    assert not said[0]
    assert "nothing was heard" in said[-1]
