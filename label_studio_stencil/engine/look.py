"""Takes looks at Label Studio's newest projects; all rows that wait share one.

Rows whose create was answered share one listing, as transactions that commit together share one write to disk. A row asks for
a look that begins after its create, gives up its place, and is woken with the others.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterable, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass

from label_studio_stencil.concurrency import together
from label_studio_stencil.engine.stop import CANCELLED, Stopping
from label_studio_stencil.engine.ticket import Send, send_of
from label_studio_stencil.engine.waits import Waits
from label_studio_stencil.labelstudio.client import PAGE_SIZE, LabelStudio
from label_studio_stencil.labelstudio.errors import Rejected, Unsure
from label_studio_stencil.labelstudio.listing import (
    LOOK_FIELDS,
    MOST_READS,
    PAGES_AT_ONCE,
    ListUnusable,
    falls,
    never_held_still,
    whole_list,
)
from label_studio_stencil.labelstudio.models import Project, ProjectPage
from label_studio_stencil.labelstudio.pacing import Clock
from label_studio_stencil.plans.marker import key_of
from label_studio_stencil.policy import Patience

#: Windows at the same time: one window of rows is created while the look of the other is read.
WINDOWS = 2

#: Up to this many pages are read one after the other, which takes no longer.
_FEW_PAGES = 2
#: Most seconds between two readings of a list that does not show our own projects yet, and between two checks of whether the
#: batch is to stop.
_LONGEST_PAUSE = 30.0
_SLICE = 5.0
#: The readings of such a list at which missing projects are read by id, and at which the whole list is read.
_BY_ID, _ALL = 2, 3


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of the newest projects.

    Attributes:
        began: Monotonic seconds at which its first request was sent.
        shown: The ids that it showed.
    """

    began: float
    shown: Set[int] = frozenset()


@dataclass(slots=True)
class _Seen:
    """A project of the batch's keys as it was last seen.

    Attributes:
        project: The project.
        confirmed: Monotonic seconds at which it certainly was like that; minus infinity if a list has contradicted it since.
        exact: Whether it was read by its id or in the answer to a write, and not in a list.
    """

    project: Project
    confirmed: float
    exact: bool = False


class OutOfOrder(Exception):
    """The list is not sorted newest first, although it was requested so."""


class Stale(Exception):
    """The look behind a decision to write is too old by now: look again."""


class Looks:
    """Reads Label Studio for a batch, and remembers the projects of the batch's keys as they were last seen.

    Attributes:
        covered: Highest id that was read so far; all projects below it were read by then, or by the plan.
        base: Highest id that existed when the batch was planned.
        reached: Id down to which looks have read since the last create was answered; infinity if none has.
        to_create: Number of rows for which no create was sent yet.
        proven: Ids of projects whose markers this process saw and removed.
        ordered: Whether the list is sorted newest first. If it is not, each look reads all of it.
        lag: Longest time, in seconds, by which the list was behind the writes.
        deletion_lost: Monotonic seconds at which the last deletion without an answer ended; it may still be carried out.
    """

    def __init__(
        self,
        label_studio: LabelStudio,
        clock: Clock,
        patience: Patience,
        *,
        keys: Iterable[str],
        workspaces: Iterable[int | None],
        covered: int,
        ordered: bool,
        to_create: int,
        stopping: Stopping,
        waits: Waits,
    ) -> None:
        """Start from the projects that the plan has read.

        Args:
            label_studio: An open client.
            clock: The clock of the batch.
            patience: Window, overlap and waits.
            keys: The batch's keys; other projects are not remembered.
            workspaces: Workspaces of the batch's rows.
            covered: Highest id that the plan has read.
            ordered: Whether the list that the plan read was sorted newest first.
            to_create: Number of rows that are going to be created.
            stopping: The flag that stops the batch.
            waits: Announces waits.
        """
        self._label_studio, self._clock, self._patience = label_studio, clock, patience
        self._stopping, self._waits = stopping, waits
        self._workspaces = frozenset(workspaces)
        self.ordered = ordered
        self.lag = 0.0
        self.deletion_lost = -math.inf
        self.covered = covered
        self.base = covered
        self.reached: float = covered
        self.to_create = to_create
        self._had_last = False
        self._places = asyncio.Semaphore(WINDOWS * patience.window)
        self._creating = self._created = 0
        self._waiting: list[tuple[float, asyncio.Future[Look]]] = []
        self._reader: asyncio.Task[None] | None = None
        self._quiet = asyncio.Lock()
        # There may be a hundred thousand, so little is kept of each.
        self._seen: dict[int, _Seen] = {}
        self._ids: dict[str, tuple[int, ...]] = dict.fromkeys(keys, ())
        self._gone: dict[int, float] = {}
        self._ours: dict[int, float] = {}
        # Ids of our projects that a list showed before their create was answered.
        self._shown: set[int] = set()
        # Ids that a list showed without fields that a decision needs.
        self._unknown: set[int] = set()
        # Those of them that were read by id and are not of the batch's keys.
        self._strangers: set[int] = set()
        self._sends: dict[str, Send] = {}
        self.proven: set[int] = set()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place in a window, from before a create until the look after it."""
        async with self._places:
            yield

    @asynccontextmanager
    async def creating(self, *, first: bool) -> AsyncIterator[None]:
        """Register a create that is under way. A look whose window is not full waits for it.

        Args:
            first: Whether it is the first create of its row.
        """
        while not self.ordered and self._reader is not None:
            # An unsorted list is complete only if no project is created while it is read.
            await asyncio.wait([self._reader])
        self._creating += 1
        self._created += 1
        self.to_create -= first
        self.reached = math.inf
        try:
            yield
        finally:
            self._creating -= 1
            self._start()

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Keep looks from running: a deletion between two of its pages would hide a project from a look."""
        async with self._quiet:
            yield

    def expect(self, send: Send) -> None:
        """Remember a send, so that its project is recognised when it is seen."""
        self._sends[send.name] = send

    def answered(self, project: Project) -> None:
        """Remember the project in the answer to a create: the next look must show it, unless one has already."""
        now = self._clock.now()
        if project.id not in self._shown:
            self._ours[project.id] = now
        self.remember(project, now)

    def remember(self, project: Project, confirmed: float) -> None:
        """Remember a project that was not read in a list, as of a time in monotonic seconds."""
        self._take(project, confirmed, exact=True)

    def remembered(self, key: str) -> list[Project]:
        """The projects of a key as they were last seen, lowest id first."""
        found = (self._seen.get(number) for number in sorted(self._ids.get(key, ())))
        return [seen.project for seen in found if seen is not None and _key(seen.project) == key]

    def forget(self, project: int) -> None:
        """Forget a project that is gone."""
        self._gone[project] = self.confirmed_at(project)
        self._drop(project)
        self._ours.pop(project, None)

    def confirmed_at(self, number: int) -> float:
        """Monotonic seconds at which a project certainly was as it is remembered; minus infinity if that is unknown."""
        seen = self._seen.get(number)
        return seen.confirmed if seen is not None else self._gone.get(number, -math.inf)

    def _drop(self, number: int) -> None:
        seen = self._seen.pop(number, None)
        if seen is not None:
            key = _key(seen.project)
            self._ids[key] = tuple(each for each in self._ids[key] if each != number)

    def _note_id(self, key: str, number: int) -> None:
        if number not in self._ids[key]:
            self._ids[key] = (*self._ids[key], number)

    def _take(self, project: Project, confirmed: float, *, exact: bool = False) -> None:
        self._gone.pop(project.id, None)
        before = self._seen.get(project.id)
        self._drop(project.id)
        key = _key(project)
        if key not in self._ids:
            return
        self._seen[project.id] = _Seen(project, confirmed, exact or (before is not None and before.exact))
        self._note_id(key, project.id)
        if self._sends:
            send = self._sends.pop(send_of(project), None)
            if send is not None:
                send.seen = True

    def _take_listed(self, project: Project, began: float) -> None:
        """Remember a project as a list shows it. Lists lag, so if it contradicts a reading by id, it is read by id again."""
        if project.id in self._gone:
            return
        known = self._seen.get(project.id)
        if self.lacking(project):
            if known is not None:
                # Its row reads it, once it decides.
                known.confirmed = -math.inf
            elif project.id not in self._strangers and self._may_be_ours(project):
                self._unknown.add(project.id)
            return
        if self._sends and send_of(project) in self._sends:
            self._shown.add(project.id)
        if known is None or not known.exact:
            self._take(project, began)
        elif _same(known.project, project):
            known.confirmed = max(began, known.confirmed)
        else:
            known.confirmed = -math.inf
            if _key(project) in self._ids:
                self._note_id(_key(project), project.id)

    def _may_be_ours(self, project: Project) -> bool:
        """Whether a project that a list showed without some fields may be of the batch's keys."""
        if "title" in project.lacks:
            return True
        places = self._workspaces if "workspace" in project.lacks else (project.workspace,)
        return any(key_of(place, project.title) in self._ids for place in places)

    async def look(self, floor: float = math.inf) -> Look:
        """Wait for a look that begins after this call and covers every id above `floor`, and all that no look has covered yet.

        Raises:
            LabelStudioError: Label Studio did not answer.
        """
        future: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._waiting.append((floor, future))
        self._start()
        return await future

    async def siblings(self, key: str, known: Iterable[int], look: Look) -> list[Project]:
        """The current projects of a key: those that the look showed, and others read one by one.

        Args:
            key: The row's key.
            known: Ids of further projects of the row.
            look: The look behind the decision.

        Raises:
            LabelStudioError: Label Studio did not answer.
        """
        for number in sorted({*self._ids.get(key, ()), *known}):
            if self.confirmed_at(number) < look.began:
                await self.read(number)
        return self.remembered(key)

    async def read(self, number: int, *, before: Callable[[], None] = lambda: None) -> Project | None:
        """Read a project by its id, which outranks any list. Returns None if it is gone.

        Args:
            number: Its id.
            before: Called each time just before the request is sent.

        Raises:
            LabelStudioError: Label Studio did not answer, or left out fields that decisions need.
        """
        began = self._clock.now()

        def leaves() -> None:
            nonlocal began
            before()
            began = self._clock.now()

        try:
            project = await self._label_studio.project(number, before=leaves)
            if lacking := self.lacking(project):
                reason = f"the answer about project {number} lacks its {' and '.join(lacking)}"
                raise Unsure(reason, method="GET", path=f"/api/projects/{number}/", reason=reason)
        except Rejected as rejected:
            if rejected.status != 404:
                raise
            self.forget(number)
            return None
        self.remember(project, began)
        return project

    def lacking(self, project: Project) -> tuple[str, ...]:
        """Fields that the answer about a project lacks and that decisions need. They are unknown, not empty."""
        if self._workspaces == {None}:
            return tuple(name for name in project.lacks if name != "workspace")
        return project.lacks

    def check_fresh(self, look: Look) -> None:
        """Raise `Stale` if the look is too old to write by."""
        if self._clock.now() - look.began > self._patience.fresh:
            raise Stale

    def _start(self) -> None:
        # Drop callers that were cancelled.
        self._waiting = [each for each in self._waiting if not each[1].done()]
        # The writes that follow from a look have to be sent while it is fresh.
        window = min(self._patience.window, self._label_studio.pacer.rate * self._patience.fresh / 2)
        full = len(self._waiting) >= window and self.ordered
        if self._reader is None and self._waiting and (full or not self._creating):
            self._reader = asyncio.create_task(self._serve())

    def _start_last(self) -> None:
        """Start the look that the sweep needs, at all projects since the plan, while the settings of the last rows are applied.

        Only if it takes few pages, and only once: if another create follows, something was odd and the sweep looks anyway.
        """
        few = self.covered - self.base <= PAGES_AT_ONCE * PAGE_SIZE
        due = self.to_create <= 0 and not self._creating and self.reached > self.base
        if self._reader is None and due and few and not self._had_last:
            self._had_last = True
            self._reader = asyncio.create_task(self._serve())

    async def at_rest(self) -> None:
        """Return when no look is under way."""
        if self._reader is not None:
            await asyncio.wait([self._reader])

    def cut(self) -> list[asyncio.Task[None]]:
        """Cancel the look that is under way, because the batch ends, and return it."""
        self._had_last = True
        under_way = [] if self._reader is None else [self._reader]
        for task in under_way:
            task.cancel()
        return under_way

    async def _serve(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            look = await self._read(min((floor for floor, _ in waiting), default=self.base))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - every waiting row has to get it, and Prefect raises its signal anywhere
            if not isinstance(error, Exception):
                self._stopping.stop(CANCELLED)
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            for _, future in waiting:
                if not future.done():
                    future.set_result(look)
        finally:
            for _, future in waiting:
                future.cancel()
            self._reader = None
            self._start()
            self._start_last()

    async def _read(self, floor: float) -> Look:
        """Read until the list shows all projects that our creates returned; otherwise, it may lack those of others too.

        Raises:
            ListUnusable: The list is too far behind.
            LabelStudioError: Label Studio did not answer.
        """
        async with self._quiet:
            first, readings, pause = self._clock.now(), 0, self._patience.lag
            since = missed = first
            ever: set[int] = set()
            while True:
                began, readings = self._clock.now(), readings + 1
                answered = dict(self._ours)
                shown, missing = await self._read_once(floor if readings != _ALL else 0, began, answered_by=first)
                due = await self._still_there(missing) if missing and readings >= _BY_ID else missing
                ever = (ever - missing) | due
                if not due:
                    # If Label Studio was unavailable since the reading that missed them, the list was not behind all that time.
                    seen = min(began, missed + self._patience.rivals)
                    self.lag = max(self.lag, 0.0, *(seen - answered[number] for number in ever if number in answered))
                    return Look(began, shown)
                missed = began
                if self._clock.now() - began > self._patience.rivals:
                    since = self._clock.now()
                await self._wait_for_list(since, pause, len(due))
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _wait_for_list(self, first: float, pause: float, missing: int) -> None:
        until = self._clock.now() + pause
        while True:
            behind = self._clock.now() - first
            limit = self._patience.longest_lag_at_stop if self._stopping else self._patience.longest_lag
            if behind > limit:
                raise ListUnusable(
                    f"the project list of this Label Studio is more than {behind:.0f} s behind its writes: it does not show "
                    f"{missing} projects that were made, so it may hide others too"
                )
            left = until - self._clock.now()
            if left <= 0:
                return
            if behind > self._waits.shortest:
                self._waits.say(
                    f"the project list is {behind:.0f} s behind the writes ({missing} projects are missing)"
                )
            await self._clock.sleep(min(left, _SLICE))

    async def _still_there(self, missing: set[int]) -> set[int]:
        """Those of the missing projects that the list ought to show: they are neither gone nor archived nor unreadable."""
        found = await together(self._is_there(number) for number in missing)
        there = {number for number, is_there in zip(missing, found, strict=True) if is_there}
        # Later looks must not wait for the others.
        self._ours = {number: at for number, at in self._ours.items() if number not in missing - there}
        return there

    async def _is_there(self, number: int) -> bool:
        try:
            project = await self.read(number)
        except Rejected:
            # Its own row reports the error when it reads the project.
            return False
        return project is not None and not project.archived and _key(project) in self._ids

    async def _read_once(self, floor: float, began: float, *, answered_by: float) -> tuple[set[int], set[int]]:
        """Read the list down to a floor. Returns the ids that it showed, and our ids that it should have shown."""
        # At least down to the last look, or a rival's project between the two would never be seen.
        due = {number for number, answered in self._ours.items() if answered <= answered_by}
        floor = min(floor, self.covered, *due) - self._patience.overlap
        created = None if self._creating else self._created
        self._unknown.clear()
        seen = await self._pages(floor, began)
        unknown = sorted(self._unknown)
        await together(self._read_unknown(number) for number in unknown)
        self.covered = max(self.covered, *seen) if seen else self.covered
        if created == self._created:
            self.reached = min(self.reached, floor)
        self._ours = {number: at for number, at in self._ours.items() if number not in seen}
        return seen, due - seen

    async def _read_unknown(self, number: int) -> None:
        # If it is not ours, it doesn't matter that it can't be read.
        with contextlib.suppress(Rejected):
            await self.read(number)
        if number not in self._seen:
            self._strangers.add(number)

    async def _pages(self, floor: float, began: float) -> set[int]:
        """Remember the projects above a floor. Returns their ids.

        Raises:
            Unsure: The list changed during each reading.
            ListUnusable: The list shows fewer projects than it counts.
        """
        if self.ordered:
            try:
                return await self._newest(floor, began)
            except OutOfOrder:
                self._waits.tell("The project list is not sorted newest first: each look reads all of it.")
                self.ordered = False
        projects, self.ordered = await whole_list(self._label_studio, LOOK_FIELDS)
        for project in projects:
            self._take_listed(project, began)
        return {project.id for project in projects}

    async def _newest(self, floor: float, began: float) -> set[int]:
        """Read the projects above a floor, newest first. Returns their ids.

        If the count falls between two pages, a project was deleted, and others may have moved to a page that was already read.
        Then the list is read again.

        Raises:
            OutOfOrder: The list is not sorted newest first.
            Unsure: The list changed during each reading.
        """
        for _ in range(MOST_READS):
            seen: set[int] = set()
            number, count, pages = 0, -1, [await self._page(1)]
            newest = pages[0].projects[0].id if pages[0].projects else 0
            start, lowest = pages[0].count, math.inf
            while pages and pages[0].count >= count:
                for page in pages:
                    lowest = _checked(page, seen, lowest, made=page.count - start)
                    for project in page.projects:
                        self._take_listed(project, began)
                        seen.add(project.id)
                # If pages had to be read one by one, the list is busy.
                most = PAGES_AT_ONCE if number == 0 or len(pages) > 1 else 1
                number, count, last = number + len(pages), pages[-1].count, pages[-1]
                pages = await self._next_pages(pages[-1], number, floor, most, newest)
            if pages:
                continue
            if not last.has_next and start == count and len(seen) != count:
                # The list was read to its end.
                raise OutOfOrder
            return seen
        raise never_held_still()

    async def _next_pages(
        self, page: ProjectPage, number: int, floor: float, most: int, newest: int
    ) -> list[ProjectPage]:
        """Read the next pages. Returns none if the list ends or is below the floor.

        As a rule this is one page, and always while this batch creates: if pages are read one by one, newest first, new
        projects only make others appear twice. If pages are read at the same time, new projects may push others past them, and
        a deletion elsewhere may hide that from the count. So the newest page is read again afterwards, and must be the same.
        """
        if not page.has_next or page.projects[-1].id <= floor:
            return []
        several = 1 if self._creating else min(most, _pages_left(page, number, floor))
        if several > _FEW_PAGES:
            found = await together(self._page(number + each) for each in range(1, several + 1))
            again = await self._page(1)
            if {each.count for each in (*found, again)} == {page.count} and again.projects[0].id == newest:
                return list(found)
        return [await self._page(number + 1)]

    async def _page(self, number: int) -> ProjectPage:
        return await self._label_studio.list_page(number, ordering="-id", fields=LOOK_FIELDS)


def _checked(page: ProjectPage, seen: Set[int], lowest: float, *, made: int) -> float:
    """Check that a page continues the one before it. Returns the lowest id so far.

    Args:
        page: The page.
        seen: Ids on the pages before it, some of which may appear again if projects were created meanwhile.
        lowest: The lowest of them.
        made: Number of projects that were created meanwhile; so many ids may be higher than `lowest`.

    Raises:
        OutOfOrder: The page does not continue the one before it.
    """
    above = sum(project.id > lowest for project in page.projects if project.id not in seen)
    if not falls(page.projects) or above > max(0, made):
        raise OutOfOrder
    return min(lowest, *(project.id for project in page.projects)) if page.projects else lowest


def _pages_left(page: ProjectPage, number: int, floor: float) -> int:
    """Estimate how many pages lead down to the floor, if ids are as dense there as on this page."""
    first, last, size = page.projects[0].id, page.projects[-1].id, len(page.projects)
    reach = math.ceil((last - floor) / (first - last + 1))
    return max(1, min(reach, math.ceil(page.count / size) - number))


def _key(project: Project) -> str:
    return key_of(project.workspace, project.title)


def _same(one: Project, other: Project) -> bool:
    return (one.title, one.description, one.workspace, one.tasks) == (
        other.title,
        other.description,
        other.workspace,
        other.tasks,
    )
