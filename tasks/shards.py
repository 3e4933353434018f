"""Has shards of a batch carried out as flow runs of the deployment `shard`, waits for them, and merges what they tell."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from stencil.batch import Batch
from stencil.problems import StencilError
from stencil.report import Outcome
from stencil.shards import Shard, ShardRow, asked_shards, auto_shards, part_of, ranges
from tasks.limits import Share
from tasks.report import progress_told
from tasks.shard_news import BEAT, ShardState
from tasks.shard_runs import DEPLOYMENT, RunRefused, Seen, ShardRuns
from tasks.stopping import CANCELLED

#: Runs that a shard gets, at most.
_MOST_RUNS = 3
#: Seconds that reading what is left to read may take at the end.
_LAST_WORD = 10.0
#: Outcomes that say that a project was made or changed.
_WRITTEN = frozenset({Outcome.CREATED, Outcome.FINISHED, Outcome.UPDATED})


@dataclass(frozen=True, slots=True)
class Waits:
    """How long what is waited for, in seconds.

    Attributes:
        poll: Between two looks at the shards.
        silent: Without a word from a shard that runs, after which its process counts as dead: a machine that is gone says
            nothing.
        unstarted: Until nobody is waited for who does not come: a worker, a process that was to start, Prefect's server.
        warned: Until the log says so.
        stopped: For shards to end when the batch is stopped.
        cancelled: The same in a run that a worker started, and kills 30 s after it was cancelled.
    """

    poll: float = 1.0
    silent: float = 60.0
    unstarted: float = 600.0
    warned: float = 30.0
    stopped: float = 60.0
    cancelled: float = 18.0


class ShardsUnavailable(StencilError):
    """There is nobody who could carry out shards."""


async def planned_shards(
    shards: str, batch: Batch, sheet: str, max_concurrency: int, share: Share | None
) -> list[tuple[int, int]]:
    """First and last line of each shard of a batch; none where this process carries it out alone.

    Args:
        shards: What was asked for.
        batch: The batch, planned.
        sheet: Path or URL of its sheet; empty where it has none, as typed rows.
        max_concurrency: Requests at once of the whole batch; 0 is the studio's default.
        share: Of the limit across runs.

    Raises:
        ShardsUnavailable: Shards were asked for, and can't be had.
    """
    asked = asked_shards(shards)
    lines = [ticket.target.request.line for ticket in batch.due()]
    if asked == 1 or not lines or batch.options.dry_run:
        return []
    alone = sheet.strip() in ("", "-")
    if asked is None and (batch.studio.sandbox or alone):
        return []
    if batch.studio.sandbox:
        raise ShardsUnavailable(
            "shards: the embedded sandbox lives in one process. Serve one by `stencil sandbox`, and name it as the studio."
        )
    if alone:
        raise ShardsUnavailable(
            "shards: each of them reads the sheet itself, so give it in `sheet`, as a path or URL that all workers can open."
        )
    at_once = max_concurrency or batch.studio.pacer.max_concurrency
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            if asked is None:
                return []
            raise ShardsUnavailable(
                f"shards: this Prefect server has no deployment {DEPLOYMENT}: `prefect --no-prompt deploy --all` makes it, "
                "and a worker of its pool runs it."
            ) from None
        rate = batch.studio.pacer.requests_per_second or (share.per_second if share else 0.0)
        number = asked or await _auto(client, deployment, len(lines), at_once, rate)
    number = min(number, len(lines))
    if at_once < number:
        raise ShardsUnavailable(
            f"shards: {number} of them share the {at_once} requests at once that this studio is sent: take fewer, or set "
            "max_concurrency."
        )
    return ranges(lines, number) if number > 1 else []


async def _auto(client: PrefectClient, deployment: DeploymentResponse, rows: int, at_once: int, rate: float) -> int:
    workers = 1
    if deployment.work_pool_name:
        online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
        workers = len(await client.read_workers_for_work_pool(deployment.work_pool_name, online))
    number = auto_shards(rows, at_once, rate, workers)
    get_run_logger().info("shards: auto comes to %d", number)
    return number


@dataclass(slots=True)
class _Part:
    """One shard on its way.

    Attributes:
        shard: Its rows.
        parameters: Of its runs.
        before: Rows of its range that were settled before, by outcome; it counts them again.
        tries: Runs that were asked for.
        run: The newest of them, once it is known.
        state: What this has told.
        heard: Monotonic seconds of its last sign of life.
        pending: Monotonic seconds since when its process is being started.
        told_to_end: Whether it was told to end.
        taken_in: Whether what the run has told of its rows is in the batch.
        ended: Whether nothing more is expected of the shard.
    """

    shard: Shard
    parameters: dict[str, Any]
    before: Counter[Outcome]
    tries: int = 0
    run: UUID | None = None
    state: ShardState = field(default_factory=ShardState)
    heard: float = 0.0
    pending: float | None = None
    told_to_end: bool = False
    taken_in: bool = False
    ended: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return self.shard.name


class Shards:
    """The shards of a batch."""

    def __init__(
        self,
        batch: Batch,
        cut: Sequence[tuple[int, int]],
        parameters: Mapping[str, Any],
        max_concurrency: int,
        *,
        runs: Callable[[], AbstractAsyncContextManager[ShardRuns]] = ShardRuns.opened,
        waits: Waits | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            batch: The batch, planned.
            cut: First and last line of each shard.
            parameters: Of the flow run that carries out the batch.
            max_concurrency: Requests at once of the whole batch; 0 is the studio's default.
            runs: Opens what starts and sees flow runs.
            waits: How long what is waited for.
        """
        self._batch, self._opened, self._waits = batch, runs, waits or Waits()
        # A run that is retried in the UI keeps its id.
        self._key = f"{flow_run.id} {flow_run.run_count}"
        self._own = {ticket.target.request.line for ticket in batch.due()}
        self._parts = [
            self._part(batch.shard(first, last, str(flow_run.id)), parameters, (max_concurrency, len(cut), index))
            for index, (first, last) in enumerate(cut)
        ]
        self._logger = get_run_logger()
        self._clock = asyncio.get_running_loop().time
        self._looked = self._running = self._clock()
        self._warned = False
        self._stopping: float | None = None
        self._lost: float | None = None
        self._others: dict[UUID, tuple[int, float]] = {}
        context = FlowRunContext.get()
        run = context.flow_run if context else None
        # A worker kills what it has cancelled.
        self._by_worker = run is not None and run.deployment_id is not None

    def _part(self, shard: Shard, parameters: Mapping[str, Any], share: tuple[int, int, int]) -> _Part:
        settled = Counter(
            ticket.outcome
            for ticket in self._batch.engine.tickets
            if ticket.outcome is not None and ticket.target.request.line in shard
        )
        return _Part(shard, _parameters(self._batch, shard, parameters, share), settled)

    async def carry_out(self) -> None:
        """Start them all and wait for their ends; what becomes of rows is in the batch. Called again, it goes on."""
        if not self._batch.stopping:
            names = ", ".join(part.name for part in self._parts)
            self._logger.info("Cut into %d shards: %s", len(self._parts), names)
        async with self._opened() as runs, progress_told(self._batch):
            while open_parts := [part for part in self._parts if not part.ended]:
                try:
                    await self._turn(runs, open_parts)
                except Exception as error:  # noqa: BLE001 - Prefect's server may be away for a while, and shards go on
                    self._missed(error, open_parts)
                else:
                    self._lost = None
                self._batch.elsewhere.counts = self._counts()
                self._batch.check_failures()
                if not all(part.ended for part in self._parts):
                    await asyncio.sleep(self._waits.poll)

    async def read_rest(self) -> None:
        """Take in what shards have told of their rows and nobody has read, since the batch ended before they did."""
        unread = [part for part in self._parts if part.run is not None and not part.taken_in]
        try:
            async with asyncio.timeout(_LAST_WORD), self._opened() as runs:
                for part in unread:
                    self._merge(part, await runs.rows(part.run) if part.run else [])
        except Exception as error:  # noqa: BLE001 - the report says what is known
            self._logger.warning("What the shards have told can't be read: %s", _short(error))
        for part in self._parts:
            if not part.ended:
                self._close(part, f"{part.name}: the batch ended before they had. Run the sheet again.", note=True)

    async def _turn(self, runs: ShardRuns, parts: Sequence[_Part]) -> None:
        failed: Exception | None = None
        for part in parts:
            if part.run is None:
                try:
                    await self._start(runs, part)
                except RunRefused as refused:
                    self._close(part, f"{part.name}: {refused}", note=True)
                except Exception as error:  # noqa: BLE001 - the others are looked after all the same
                    failed = error
        if self._batch.stopping:
            self._stopping = self._stopping or self._clock()
            for part in parts:
                await self._end(runs, part)
        await self._look(runs, [part for part in parts if part.run and not part.ended])
        if failed is not None:
            raise failed

    async def _start(self, runs: ShardRuns, part: _Part) -> None:
        """Start a run of a shard; where the batch is stopping, only find the one that may have been started unheard."""
        key = f"{self._key} {part.name} {part.tries}"
        if not self._batch.stopping:
            part.run = await runs.start(f"{self._batch.sheet.name} {part.name}", part.parameters, key)
        else:
            part.run = await runs.known(key)
            if part.run is None:
                self._close(part, "the batch was stopped before they were begun")
                return
        part.tries += 1
        part.taken_in = False
        part.state, part.heard, part.pending, part.told_to_end = ShardState(), self._clock(), None, False

    async def _end(self, runs: ShardRuns, part: _Part) -> None:
        if part.run is not None and not part.told_to_end:
            await runs.cancel(part.run, self._batch.stopping.reason)
            part.told_to_end = True

    async def _look(self, runs: ShardRuns, parts: Sequence[_Part]) -> None:
        found = await runs.look([part.run for part in parts if part.run is not None])
        # What could not be heard while Prefect's server was away is no silence of theirs.
        now = self._clock()
        gap, self._looked = now - self._looked, now
        for part in parts:
            part.heard += max(0.0, gap - 5 * self._waits.poll)
        for part in parts:
            seen = found.get(part.run) if part.run is not None else None
            if seen is None:
                await self._take_in(runs, part, None, "is not there any more")
            else:
                await self._follow(runs, part, seen)
        await self._mind_workers(runs, list(found.values()))

    async def _follow(self, runs: ShardRuns, part: _Part, seen: Seen) -> None:
        """Take up what a run has come to."""
        now, kind = self._clock(), seen.state.type
        if seen.news is not None and seen.news != part.state:
            part.state, part.heard = seen.news, now
        if seen.state.is_final():
            await self._take_in(
                runs,
                part,
                seen.state,
                f"ended {seen.state.name}: {(seen.state.message or 'no reason given').rstrip('.')}",
            )
        elif self._is_over():
            if now - part.heard > 3 * BEAT and part.run is not None:
                await runs.count_as_dead(part.run, "nothing was heard of it as the batch ended")
            await self._take_in(runs, part, None, "had not ended when the batch did")
        elif kind in (StateType.RUNNING, StateType.CANCELLING):
            await self._if_dead(runs, part, now - part.heard, self._waits.silent, "nothing was heard of it")
        elif kind is StateType.PENDING:
            part.heard, part.pending = now, part.pending or now
            await self._if_dead(runs, part, now - part.pending, self._waits.unstarted, "its process did not start")
        else:
            part.heard, part.pending = now, None

    async def _if_dead(self, runs: ShardRuns, part: _Part, waited: float, most: float, what: str) -> None:
        if waited > most and part.run is not None:
            await runs.count_as_dead(part.run, f"{what} for {most:.0f} s")

    async def _take_in(self, runs: ShardRuns, part: _Part, state: State[Any] | None, said: str) -> None:
        """Merge what a run has told, and decide whether its rows are run again."""
        rows = await runs.rows(part.run) if part.run else []
        # From here on nothing is waited for, so that nothing is taken in twice.
        self._merge(part, rows)
        told, elsewhere = part.state, self._batch.elsewhere
        elsewhere.requests += told.requests
        elsewhere.notes += [note for note in told.notes if note not in elsewhere.notes]
        said = f"{part.name}: their run {part.run} {said}"
        if told.refused:
            self._close(part, f"{part.name}: {told.refused}", note=True)
        elif told.whole and state is not None and state.is_completed():
            part.ended = True
            self._pass_on(told.stopped)
        elif self._batch.stopping or (state is not None and state.is_cancelled()):
            self._close(part, f"{said}. Run the sheet again.", note=not told.whole or not self._batch.stopping)
            self._pass_on(told.stopped)
        elif part.tries < _MOST_RUNS:
            self._logger.warning("%s. They are run again.", said)
            elsewhere.notes.append(f"{said}. They were run again; a row that was made just before may count as exists.")
            part.run = None
        else:
            self._logger.error("%s. They were run %d times, and are given up.", said, _MOST_RUNS)
            self._close(part, f"{said}. They were run {_MOST_RUNS} times: run the sheet again.", note=True)

    def _merge(self, part: _Part, rows: Sequence[ShardRow]) -> None:
        part.taken_in = True
        # Of rows with nothing to do a shard has something to tell where their projects went away meanwhile.
        self._batch.take_over(row for row in rows if row.line in self._own or row.outcome in _WRITTEN)

    def _pass_on(self, stopped: str) -> None:
        """What stops one shard stops all, but for somebody who cancels that one."""
        if stopped and stopped != CANCELLED:
            self._batch.stopping.stop(stopped)

    def _close(self, part: _Part, reason: str, *, note: bool = False) -> None:
        """Expect nothing more of a shard; its rows of which nothing is known say why."""
        part.ended = True
        self._batch.leave_part(part.shard, reason)
        if note:
            self._batch.elsewhere.notes.append(reason)

    def _counts(self) -> Counter[Outcome]:
        """Rows in shards that are under way; a second run of one counts again what the first has told."""
        counts: Counter[Outcome] = Counter()
        for part in self._parts:
            if not part.ended and part.tries == 1 and part.run is not None:
                counts += Counter(part.state.counts) - part.before
        del counts[Outcome.INVALID]
        return counts

    def _is_over(self) -> bool:
        """Whether the batch was stopped so long ago that shards are waited for no more."""
        if self._stopping is None:
            return False
        by_worker = self._batch.stopping.reason == CANCELLED and self._by_worker
        return self._clock() - self._stopping > (self._waits.cancelled if by_worker else self._waits.stopped)

    def _missed(self, error: Exception, parts: Sequence[_Part]) -> None:
        """Prefect's server did not answer: go on asking, but not for ever."""
        now = self._clock()
        if self._lost is None:
            self._lost = now
            self._logger.warning("The shards can't be seen at the moment: %s", _short(error))
        if now - self._lost > self._waits.unstarted or self._is_over():
            reason = "Prefect's server does not tell how the shards get on; they go on by themselves"
            self._batch.stopping.stop(reason)
            for part in parts:
                self._close(part, f"{reason}. Run the sheet again to see what became of its rows.")

    async def _mind_workers(self, runs: ShardRuns, seen: Sequence[Seen]) -> None:
        """Warn, and in the end stop, where no worker takes up any shard: the one that runs the batch may be the only one."""
        now = self._clock()
        if not seen or any(each.state.type is not StateType.SCHEDULED for each in seen):
            self._running = now
        waited = now - self._running
        told = f"no worker has taken up a shard for {waited:.0f} s: `prefect worker start --pool stencil` starts one"
        if waited > self._waits.unstarted:
            if self._is_any_alive(await runs.others(), now):
                self._running = now
            else:
                self._batch.stopping.stop(told)
        elif waited > self._waits.warned and not self._warned:
            self._warned = True
            self._logger.warning("%s", told)
            self._batch.tell(told[0].upper() + told[1:])

    def _is_any_alive(self, beats: Mapping[UUID, int], now: float) -> bool:
        """Whether any shard of another batch runs, so that workers are there, and busy: one that goes on telling."""
        known = self._others
        self._others = {
            run: known[run] if known.get(run, (None,))[0] == beat else (beat, now) for run, beat in beats.items()
        }
        return any(now - since <= self._waits.silent for _, since in self._others.values())


def _short(error: Exception) -> str:
    """What an error of Prefect's client says, without the request and the answer, which hold parameters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _parameters(
    batch: Batch, shard: Shard, parameters: Mapping[str, Any], share: tuple[int, int, int]
) -> dict[str, Any]:
    at_once, number, index = share
    sheet = str(parameters["sheet"]).strip()
    pacer = batch.studio.pacer
    return {
        **{name: value for name, value in parameters.items() if name not in ("rows", "csv_text")},
        # As every process on this machine sees it; on another one it has to be at the same path.
        "sheet": sheet if "://" in sheet else str(Path(sheet).absolute()),
        "max_concurrency": part_of(at_once or pacer.max_concurrency, number, index),
        "requests_per_second": pacer.requests_per_second / number,
        "max_failures": str(int(batch.most_failures)) if batch.options.max_failures.strip() else "",
        "fail_when": "never",
        "output": "",
        "project_events": False,
        "shards": "",
        "shard": shard.model_dump(mode="json"),
    }
