"""How a batch waits for its shards, whatever Prefect's server and their processes do; played without either."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, Scheduled
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
from tasks.shard_news import ShardState
from tasks.shard_runs import Seen, ShardRuns
from tasks.shards import Shards, Waits

SHEET = b"title,template,workspace\n" + b"".join(b"Row %d,1,1\n" % number for number in range(10))
CUT = [(2, 6), (7, 11)]
#: As long as whatever happens in between takes.
WAITS = Waits(poll=0.01, silent=0.3, unstarted=0.4, warned=0.1, stopped=0.3, cancelled=0.3)


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

    async def are_others_running(self) -> bool:
        return False

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


async def played(play: Play, stage: Stage | None = None, **options: Any) -> tuple[Stage, Batch]:
    """A batch in two shards while something happens, to its end."""
    stage, chosen = stage or Stage(), Options(**options)
    with Sandbox() as sandbox:
        async with open_studio(StudioSettings(sandbox.url, SecretStr(sandbox.token)), chosen) as studio:
            batch = await prepare(check(read_sheet(SHEET), chosen), chosen, studio)
            shards = Shards(batch, CUT, {"sheet": "/x/y.csv"}, 4, runs=stage.opened, waits=WAITS)
            work = asyncio.ensure_future(shards.carry_out())
            try:
                await play(stage, batch)
                async with asyncio.timeout(10):
                    await work
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
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
        await until(lambda: len(stage.started) == 1)
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

    stage, batch = await played(play, stage)
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
        await asyncio.sleep(WAITS.silent + 0.05)
        stage.away = False
        await asyncio.sleep(0.05)
        stage.done(0, made(range(2, 7)))
        stage.done(1, made(range(7, 12)))

    stage, batch = await played(play)
    assert (outcomes(batch), len(stage.started)) == (["created"] * 10, 2)


async def test_a_server_that_stays_away_ends_the_batch_with_what_is_known() -> None:
    async def play(stage: Stage, batch: Batch) -> None:
        await both(stage)
        stage.done(0, made(range(2, 7)))
        await until(lambda: outcomes(batch)[0] == "created")
        stage.away = True

    _, batch = await played(play)
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

    stage, batch = await played(play, stage)
    assert "no worker has taken up a shard" in batch.report().stopped
    assert len(stage.ended) == 2
