"""Looks at the studio's newest projects, shared by all rows that wait for one.

Databases share one write to disk among the transactions that commit together; here the rows whose create was answered
share one listing. A row asks for a look that begins after its create, gives its place up, and is woken with the rest.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stencil.labelstudio import LabelStudio, Project, ProjectPage, Rejected, Unsure
from stencil.labelstudio.client import PAGE_SIZE
from stencil.marks import key_of
from stencil.pacing import Clock
from stencil.provisioning.policy import Patience
from stencil.provisioning.tickets import Send, send_of
from stencil.together import together

#: What a look needs of a project; a page with these is a fortieth of a full one (measured on Community 1.23.2).
LOOK_FIELDS = ("id", "title", "description", "workspace", "created_at", "created_by", "task_number")

#: Windows under way: one is staked while the other's look is read.
WINDOWS = 2

#: Times that a look is begun again because projects vanished between two pages of it.
_MOST_READS = 5
#: Pages of a look that are asked for side by side.
_PAGES_AT_ONCE = 16
#: So many are as soon read one by one.
_FEW_PAGES = 2
#: Waits of a look for a list that does not show our own projects yet, in times of `Patience.lag`.
_LAGS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of the newest projects.

    Attributes:
        began: Monotonic seconds at which its first request was sent.
        lagging: Whether it still did not show projects of ours that an answer had named.
    """

    began: float
    lagging: bool = False


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


class Stale(Exception):
    """The look that a write was decided by is too old by now: look again."""


class Looker:
    """Reads the studio for a batch, and remembers the projects of the batch's keys as they were last seen.

    Attributes:
        covered: Highest id that was read so far; whatever the studio had below it was read then, or when the batch was planned.
        base: Highest id that existed when the batch was planned.
        reached: Id down to which looks have read since the last create was answered; infinite where none has.
        to_stake: Rows of which no create was sent yet.
        proven: Ids of projects whose marks this process saw and took off itself.
    """

    def __init__(
        self,
        studio: LabelStudio,
        clock: Clock,
        patience: Patience,
        *,
        keys: Iterable[str],
        covered: int,
        to_stake: int,
    ) -> None:
        """Start from what the plan has read.

        Args:
            studio: Where to look.
            clock: What time it is.
            patience: Window, overlap and waits.
            keys: The batch's keys; other projects are not remembered.
            covered: Highest id that the plan has read.
            to_stake: Rows that the plan will have created.
        """
        self._studio, self._clock, self._patience = studio, clock, patience
        self.covered = covered
        self.base = covered
        self.reached: float = covered
        self.to_stake = to_stake
        self._had_last = False
        self._places = asyncio.Semaphore(WINDOWS * patience.window)
        self._staking = self._staked = 0
        self._waiting: list[tuple[float, asyncio.Future[Look]]] = []
        self._reader: asyncio.Task[None] | None = None
        self._quiet = asyncio.Lock()
        # There may be a hundred thousand, so what is kept of each is little.
        self._seen: dict[int, _Seen] = {}
        self._ids: dict[str, tuple[int, ...]] = dict.fromkeys(keys, ())
        self._gone: dict[int, float] = {}
        self._ours: dict[int, float] = {}
        self._sends: dict[str, Send] = {}
        self.proven: set[int] = set()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in a window: held from before a create until the look after it."""
        async with self._places:
            yield

    @asynccontextmanager
    async def staking(self, *, first: bool) -> AsyncIterator[None]:
        """Says that a create is under way, for which a look that is not full yet is worth waiting.

        Args:
            first: Whether it is the first one of its row.
        """
        self._staking += 1
        self._staked += 1
        self.to_stake -= first
        self.reached = math.inf
        try:
            yield
        finally:
            self._staking -= 1
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
        """Remember the project that an answer of ours gave: the next look must show it."""
        now = self._clock.now()
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
        self._gone[project] = self._confirmed(project)
        self._drop(project)
        self._ours.pop(project, None)

    def _confirmed(self, number: int) -> float:
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
        if known is None or not known.exact:
            self._take(project, began)
        elif _same(known.project, project):
            known.confirmed = max(began, known.confirmed)
        else:
            known.confirmed = -math.inf
            if _key(project) in self._ids:
                self._note_id(_key(project), project.id)

    async def look(self, floor: float = math.inf) -> Look:
        """A look that begins after this call, and covers all that no look has covered yet, and every id above `floor`.

        Raises:
            LabelStudioError: The studio did not answer.
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
            LabelStudioError: The studio did not answer.
        """
        for number in sorted({*self._ids.get(key, ()), *known}):
            if self._confirmed(number) < look.began:
                await self.read(number)
        return self.remembered(key)

    async def read(self, number: int) -> Project | None:
        """The project by its id, which outranks any list; `None` where it is gone.

        Raises:
            LabelStudioError: The studio did not answer.
        """
        began = self._clock.now()
        try:
            project = await self._studio.project(number)
        except Rejected as rejected:
            if rejected.status != 404:
                raise
            self.forget(number)
            return None
        self.remember(project, began)
        return project

    def check_fresh(self, look: Look) -> None:
        """Raise `Stale` where the look is too old to write by."""
        if self._clock.now() - look.began > self._patience.fresh:
            raise Stale

    def _start(self) -> None:
        # Whoever was cancelled waits no more.
        self._waiting = [each for each in self._waiting if not each[1].done()]
        # What a look decides has to be written while it is fresh.
        window = min(self._patience.window, self._studio.pacer.rate * self._patience.fresh / 2)
        full = len(self._waiting) >= window
        if self._reader is None and self._waiting and (full or not self._staking):
            self._reader = asyncio.create_task(self._serve())

    def _start_last(self) -> None:
        """Look at all that the batch has made, for nobody who waits, while its last rows are finished: the sweep needs it.

        Only where that takes a few pages; and once: where another create follows, something was odd, and it looks anyway.
        """
        few = self.covered - self.base <= _PAGES_AT_ONCE * PAGE_SIZE
        due = self.to_stake <= 0 and not self._staking and self.reached > self.base
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
        async with self._quiet:
            for wait in (*_LAGS, 0):
                began = self._clock.now()
                missing = await self._read_once(floor, began)
                if missing and wait == _LAGS[1]:
                    missing = {number for number in missing if await self.read(number) is not None}
                if not missing or not wait:
                    break
                await self._clock.sleep(wait * self._patience.lag)
            # What the list does not show by now it never will: it holds up no other look.
            self._ours = {number: at for number, at in self._ours.items() if number not in missing}
            return Look(began, lagging=bool(missing))

    async def _read_once(self, floor: float, began: float) -> set[int]:
        """Read the list down to a floor; the ids that our answers gave and that it did not show."""
        # Down to what an earlier look has read, too: a rival's project between the two would else never be seen.
        floor = min(floor, self.covered) - self._patience.overlap
        staked = None if self._staking else self._staked
        seen = await self._pages(floor, began)
        self.covered = max(self.covered, *seen) if seen else self.covered
        if staked == self._staked:
            self.reached = min(self.reached, floor)
        due = {number for number, answered in self._ours.items() if number > floor and answered <= began}
        self._ours = {number: at for number, at in self._ours.items() if number not in seen}
        return due - seen

    async def _pages(self, floor: float, began: float) -> set[int]:
        """The ids of the projects above a floor, which are taken in.

        Where the count falls between two pages, something was deleted, and what followed it moved up, past us: then the list is
        read again.

        Raises:
            Unsure: It never held still.
        """
        for _ in range(_MOST_READS):
            seen: set[int] = set()
            number, count, pages = 0, -1, [await self._page(1)]
            newest = pages[0].projects[0].id if pages[0].projects else 0
            while pages and pages[0].count >= count:
                for project in (project for page in pages for project in page.projects):
                    self._take_listed(project, began)
                    seen.add(project.id)
                # Where pages had to be read one by one, the list is busy.
                most = _PAGES_AT_ONCE if number == 0 or len(pages) > 1 else 1
                number, count = number + len(pages), pages[-1].count
                pages = await self._next_pages(pages[-1], number, floor, most, newest)
            if not pages:
                return seen
        reason = "projects were deleted each time that the list was read"
        raise Unsure(reason, method="GET", path="/api/projects/", reason=reason)

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
        several = 1 if self._staking else min(most, _pages_left(page, number, floor))
        if several > _FEW_PAGES:
            found = await together(self._page(number + each) for each in range(1, several + 1))
            again = await self._page(1)
            if {each.count for each in (*found, again)} == {page.count} and again.projects[0].id == newest:
                return list(found)
        return [await self._page(number + 1)]

    async def _page(self, number: int) -> ProjectPage:
        return await self._studio.list_page(number, ordering="-id", fields=LOOK_FIELDS)


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
