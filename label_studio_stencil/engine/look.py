"""Looks at Label Studio's newest projects, shared by all rows that wait for one.

Databases share one write to disk among the transactions that commit together; here the rows whose create was answered
share one listing. A row asks for a look that begins after its create, gives its place up, and is woken with the rest.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterable, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass

from label_studio_stencil.concurrency import together
from label_studio_stencil.engine.stop import Stopping
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

#: Windows under way: one is created while the other's look is read.
WINDOWS = 2

#: So many are as soon read one by one.
_FEW_PAGES = 2
#: Seconds at most between two readings of a list that does not show our own projects yet, and between two checks of whether
#: the batch is to stop meanwhile.
_LONGEST_PAUSE = 30.0
_SLICE = 5.0
#: At which reading of such a list the missing projects are read by id, and all of it, in case it is in another order.
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
        project: What was seen.
        confirmed: Monotonic seconds at which that was certainly so; before all time where a list has contradicted it since.
        exact: Whether it was read by its id, or came with an answer.
    """

    project: Project
    confirmed: float
    exact: bool = False


class OutOfOrder(Exception):
    """The list does not come newest first, though it was asked to."""


class Stale(Exception):
    """The look that a write was decided by is too old by now: look again."""


class Looks:
    """Reads Label Studio for a batch, and remembers the projects of the batch's keys as they were last seen.

    Attributes:
        covered: Highest id that was read so far; everything below it was read then, or when the batch was planned.
        base: Highest id that existed when the batch was planned.
        reached: Id down to which looks have read since the last create was answered; infinite where none has.
        to_create: Rows of which no create was sent yet.
        proven: Ids of projects whose marks this process saw and took off itself.
        ordered: Whether the list comes newest first. Where it does not, each look reads all of it.
        lag: Seconds that the list was seen to be behind what was written, at most.
        deletion_lost: Monotonic seconds at which the answer to a deletion was lost last; it may still be carried out.
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
        """Start from what the plan has read.

        Args:
            label_studio: Where to look.
            clock: What time it is.
            patience: Window, overlap and waits.
            keys: The batch's keys; other projects are not remembered.
            workspaces: Where its rows have their projects.
            covered: Highest id that the plan has read.
            ordered: Whether the plan saw the list newest first.
            to_create: Rows that the plan will have created.
            stopping: Whether the batch is to stop.
            waits: Says what is waited for.
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
        # There may be a hundred thousand, so what is kept of each is little.
        self._seen: dict[int, _Seen] = {}
        self._ids: dict[str, tuple[int, ...]] = dict.fromkeys(keys, ())
        self._gone: dict[int, float] = {}
        self._ours: dict[int, float] = {}
        # Ids of projects of ours that a list showed before the answer that gave them.
        self._shown: set[int] = set()
        # Ids that a list showed without what they would have to be decided by.
        self._unknown: set[int] = set()
        # Those of them that were read by id and are no project of the batch's keys.
        self._strangers: set[int] = set()
        self._sends: dict[str, Send] = {}
        self.proven: set[int] = set()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in a window: held from before a create until the look after it."""
        async with self._places:
            yield

    @asynccontextmanager
    async def creating(self, *, first: bool) -> AsyncIterator[None]:
        """Says that a create is under way, for which a look that is not full yet is worth waiting.

        Args:
            first: Whether it is the first one of its row.
        """
        while not self.ordered and self._reader is not None:
            # A list without an order is whole only while nothing is made.
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
        """No look of ours is under way: a delete between two of its pages would hide a project from it."""
        async with self._quiet:
            yield

    def expect(self, send: Send) -> None:
        """Remember a send, so that its project is known for it when it is seen."""
        self._sends[send.name] = send

    def answered(self, project: Project) -> None:
        """Remember the project that an answer of ours gave: the next look must show it, unless one has already."""
        now = self._clock.now()
        if project.id not in self._shown:
            self._ours[project.id] = now
        self.remember(project, now)

    def remember(self, project: Project, confirmed: float) -> None:
        """Take in a project as an answer about it alone showed it at a time (monotonic seconds)."""
        self._take(project, confirmed, exact=True)

    def remembered(self, key: str) -> list[Project]:
        """The projects of a key as they were last seen, lowest id first."""
        found = (self._seen.get(number) for number in sorted(self._ids.get(key, ())))
        return [seen.project for seen in found if seen is not None and _key(seen.project) == key]

    def forget(self, project: int) -> None:
        """Take a project out that is gone."""
        self._gone[project] = self.confirmed_at(project)
        self._drop(project)
        self._ours.pop(project, None)

    def confirmed_at(self, number: int) -> float:
        """Monotonic seconds at which a project was certainly as it is remembered; before all time where that is unknown."""
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
        """Take in a project as a list shows it; lists lag, so one that contradicts a reading by id only makes us read again."""
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
        """Whether a project of which a list did not say all may be one of the batch's keys."""
        if "title" in project.lacks:
            return True
        places = self._workspaces if "workspace" in project.lacks else (project.workspace,)
        return any(key_of(place, project.title) in self._ids for place in places)

    async def look(self, floor: float = math.inf) -> Look:
        """A look that begins after this call, and covers all that no look has covered yet, and every id above `floor`.

        Raises:
            LabelStudioError: Label Studio did not answer.
        """
        future: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._waiting.append((floor, future))
        self._start()
        return await future

    async def siblings(self, key: str, known: Iterable[int], look: Look) -> list[Project]:
        """The projects of a key as they are now: what the look showed, the others read one by one.

        Args:
            key: The row's key.
            known: Ids that the row knows of besides.
            look: The look that the row decides by.

        Raises:
            LabelStudioError: Label Studio did not answer.
        """
        for number in sorted({*self._ids.get(key, ()), *known}):
            if self.confirmed_at(number) < look.began:
                await self.read(number)
        return self.remembered(key)

    async def read(self, number: int) -> Project | None:
        """The project by its id, which outranks any list; `None` where it is gone.

        Raises:
            LabelStudioError: Label Studio did not answer, or left out what decisions are made by.
        """
        began = self._clock.now()

        def leaves() -> None:
            nonlocal began
            began = self._clock.now()

        try:
            project = await self._label_studio.project(number, before=leaves)
            if lacking := self.lacking(project):
                reason = f"the answer about project {number} does not say its {' and '.join(lacking)}"
                raise Unsure(reason, method="GET", path=f"/api/projects/{number}/", reason=reason)
        except Rejected as rejected:
            if rejected.status != 404:
                raise
            self.forget(number)
            return None
        self.remember(project, began)
        return project

    def lacking(self, project: Project) -> tuple[str, ...]:
        """What an answer about a project would have to say of it, and does not; that is unknown, and not empty."""
        if self._workspaces == {None}:
            return tuple(name for name in project.lacks if name != "workspace")
        return project.lacks

    def check_fresh(self, look: Look) -> None:
        """Raise `Stale` where the look is too old to write by."""
        if self._clock.now() - look.began > self._patience.fresh:
            raise Stale

    def _start(self) -> None:
        # Whoever was cancelled waits no more.
        self._waiting = [each for each in self._waiting if not each[1].done()]
        # What a look decides has to be written while it is fresh.
        window = min(self._patience.window, self._label_studio.pacer.rate * self._patience.fresh / 2)
        full = len(self._waiting) >= window and self.ordered
        if self._reader is None and self._waiting and (full or not self._creating):
            self._reader = asyncio.create_task(self._serve())

    def _start_last(self) -> None:
        """Look at all that the batch has made, for nobody who waits, while its last rows are finished: the sweep needs it.

        Only where that takes a few pages; and once: where another create follows, something was odd, and it looks anyway.
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

    async def _serve(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            look = await self._read(min((floor for floor, _ in waiting), default=self.base))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it; nobody may wait for ever
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
        """A look that shows all projects that answers of ours have named: one that does not shows nobody else's either.

        Raises:
            ListUnusable: The list is too far behind.
            LabelStudioError: Label Studio did not answer.
        """
        async with self._quiet:
            first, readings, pause = self._clock.now(), 0, self._patience.lag
            ever: set[int] = set()
            while True:
                began, readings = self._clock.now(), readings + 1
                answered = dict(self._ours)
                shown, missing = await self._read_once(floor if readings != _ALL else 0, began, answered_by=first)
                due = await self._still_there(missing) if missing and readings >= _BY_ID else missing
                ever = (ever - missing) | due
                if not due:
                    self.lag = max(self.lag, 0.0, *(began - answered[number] for number in ever if number in answered))
                    return Look(began, shown)
                await self._wait_for_list(first, pause, len(due))
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _wait_for_list(self, first: float, pause: float, missing: int) -> None:
        until = self._clock.now() + pause
        while True:
            behind = self._clock.now() - first
            limit = self._patience.longest_lag_at_stop if self._stopping else self._patience.longest_lag
            if behind > limit:
                raise ListUnusable(
                    f"the project list of this Label Studio is more than {behind:.0f} s behind its writes: it does not show "
                    f"{missing} projects that were made, so it can't be told what else it hides"
                )
            left = until - self._clock.now()
            if left <= 0:
                return
            if behind > self._waits.shortest:
                self._waits.say(
                    f"the project list is {behind:.0f} s behind what was written ({missing} projects are missing)"
                )
            await self._clock.sleep(min(left, _SLICE))

    async def _still_there(self, missing: set[int]) -> set[int]:
        """Those of the missing that the list ought to show: not what is gone, archived or may not be read any more."""
        found = await together(self._is_there(number) for number in missing)
        there = {number for number, is_there in zip(missing, found, strict=True) if is_there}
        # What the list need not show holds up no other look.
        self._ours = {number: at for number, at in self._ours.items() if number not in missing - there}
        return there

    async def _is_there(self, number: int) -> bool:
        try:
            project = await self.read(number)
        except Rejected:
            # Its own row is told, once it reads it.
            return False
        return project is not None and not project.archived and _key(project) in self._ids

    async def _read_once(self, floor: float, began: float, *, answered_by: float) -> tuple[set[int], set[int]]:
        """Read the list down to a floor: the ids that it showed, and those that it lacked though answers had given them."""
        # Down to what an earlier look has read, too: a rival's project between the two would else never be seen.
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
        # Which it may not be ours at all, and then is nobody's affair.
        with contextlib.suppress(Rejected):
            await self.read(number)
        if number not in self._seen:
            self._strangers.add(number)

    async def _pages(self, floor: float, began: float) -> set[int]:
        """The ids of the projects above a floor, which are taken in.

        Raises:
            Unsure: The list never held still.
            ListUnusable: It does not show all that it counts.
        """
        if self.ordered:
            try:
                return await self._newest(floor, began)
            except OutOfOrder:
                self._waits.tell("The project list does not come newest first: all of it is read at each look.")
                self.ordered = False
        projects, self.ordered = await whole_list(self._label_studio, LOOK_FIELDS)
        for project in projects:
            self._take_listed(project, began)
        return {project.id for project in projects}

    async def _newest(self, floor: float, began: float) -> set[int]:
        """The ids of the projects above a floor, newest first.

        Where the count falls between two pages, something was deleted, and what followed it moved up, past us: then the list is
        read again.

        Raises:
            OutOfOrder: They do not come newest first.
            Unsure: The list never held still.
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
                # Where pages had to be read one by one, the list is busy.
                most = PAGES_AT_ONCE if number == 0 or len(pages) > 1 else 1
                number, count, last = number + len(pages), pages[-1].count, pages[-1]
                pages = await self._next_pages(pages[-1], number, floor, most, newest)
            if pages:
                continue
            if not last.has_next and start == count and len(seen) != count:
                # It was read to its end.
                raise OutOfOrder
            return seen
        raise never_held_still()

    async def _next_pages(
        self, page: ProjectPage, number: int, floor: float, most: int, newest: int
    ) -> list[ProjectPage]:
        """The pages that follow, as far as they were read at once; none where the list ends, or is below the floor.

        One, as a rule, and always while we create: newest first, what is made meanwhile only shows projects twice. Read side by
        side, what is made pushes some from a page that is not read yet to one that was, and a deletion elsewhere may keep the
        count as it was: so the newest page is read once more, and has to be the same.
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
    """The lowest id so far, after a page that goes on where the one before it ended.

    Args:
        page: The page.
        seen: Ids on the pages before it. What is made meanwhile shows some of them once more.
        lowest: The lowest of them.
        made: Projects that were made meanwhile: so many new ones may stand above it.

    Raises:
        OutOfOrder: The page does not go on there.
    """
    above = sum(project.id > lowest for project in page.projects if project.id not in seen)
    if not falls(page.projects) or above > max(0, made):
        raise OutOfOrder
    return min(lowest, *(project.id for project in page.projects)) if page.projects else lowest


def _pages_left(page: ProjectPage, number: int, floor: float) -> int:
    """How many pages to ask for, to come down to the floor, if ids stand there as they do on this page."""
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
