"""A Label Studio in memory, with the faults that no real server produces on demand, on a clock that tests turn.

It speaks the client's language, not HTTP: what is tested with it is what the engine does about answers. Every request is in
`log`, in the order in which it took effect, and in `asked` (client, method, title) and `requests` in the order in which it was
sent.
"""

import asyncio
import contextlib
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from label_studio_stencil.labelstudio.errors import LabelStudioError, Rejected, Throttled, Unauthorized, Unsure
from label_studio_stencil.labelstudio.models import (
    Imported,
    ImportState,
    Project,
    ProjectPage,
    ProjectTemplate,
    User,
    Workspace,
)
from label_studio_stencil.labelstudio.outage import Outage
from label_studio_stencil.labelstudio.pacing import IMPORT, Pacer, Turn
from tests.labelstudio.virtual import VirtualClock

T = TypeVar("T")

#: Kinds of requests that change nothing.
READS = ("LIST", "GET", "WHOAMI", "STATE")

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `lost` is `unsent`, `before` or `after` the commit, or `late` (it commits `seconds` after the client gave up); `copies` are
    made before the one that is answered; `throttled` and `status` refuse it, `field` is what the refusal names; `delay` is how
    long a write takes to commit, once a create has got its id; `trickles` is how long its answer then takes; `title` and
    `description` are what Label Studio makes of those; `echo` is what is wrong with the answer alone: `stale` (as before the
    write, or without a description), or `other` (that of another request).
    """

    lost: str = ""
    seconds: float = 0.0
    copies: int = 0
    throttled: float = 0.0
    status: int = 0
    field: str = "color"
    delay: float = 0.0
    trickles: float = 0.0
    title: str = ""
    description: str = ""
    echo: str = ""


@dataclass(frozen=True)
class Down:
    """Label Studio is away for a while: `how` is `refused`, or what the proxy before it answers, or `silent`."""

    since: float
    seconds: float
    how: str = "refused"

    def check(self, now: float) -> None:
        if self.since <= now < self.since + self.seconds:
            if self.how == "refused":
                raise Unsure("no connection", reason="no connection", sent=False)
            raise Unsure(f"the server answered {self.how}", reason=self.how, status=int(self.how))


@dataclass(frozen=True)
class Imports:
    """How Enterprise carries out imports, which it has answered with an id: each takes up to `slowest` seconds, most of them
    far less, and a share of them `fails`. The tasks of the others are counted `counted` seconds after the import is over."""

    slowest: float = 0.0
    fails: float = 0.0
    counted: float = 0.0
    seed: int = 0

    def drawn(self, number: int) -> tuple[float, bool]:
        """How many seconds an import takes, and whether it fails."""
        chance = random.Random(self.seed * 1000 + number)
        return self.slowest * chance.random() ** 3, chance.random() < self.fails


@dataclass(frozen=True)
class Import:
    """An import that the server took on, and when it is over."""

    project: int
    begins: float
    ends: float
    fails: bool = False

    def state(self, now: float) -> str:
        if now < self.ends:
            return "created" if now < (self.begins + self.ends) / 2 else "in_progress"
        return "failed" if self.fails else "completed"


class ProcessClock:
    """The clock of one process: while that is stopped (SIGSTOP), time passes, and nothing of it runs."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock, self._until = clock, 0.0

    def now(self) -> float:
        return self._clock.now()

    def wall(self) -> datetime:
        return self._clock.wall()

    def stop(self, seconds: float) -> None:
        """Stop the process now, and continue it later."""
        self._until = self.now() + seconds

    async def running(self) -> None:
        """Return while the process runs."""
        while self.now() < self._until:
            await self._clock.sleep(self._until - self.now())

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self.running()


@dataclass
class Entry:
    """One request that took effect; `before` is the project as it was when the request was sent."""

    at: float
    client: str
    method: str
    project: int | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    before: Project | None = None
    sent: float = 0.0


@dataclass
class Request:
    """One request that was sent.

    `found` is what the project was then or, for a read, what was answered; `shown` the ids of a list, `answered` the id that a
    create gave; `imported` the import that the server took on, and `refused` whether its answer says that it took on none.
    """

    client: str
    method: str
    sent: float
    project: int | None = None
    title: str = ""
    page: int = 0
    found: Project | None = None
    ended: float = math.inf
    shown: frozenset[int] = frozenset()
    answered: int | None = None
    imported: int | None = None
    refused: bool = False


Faults = Callable[[str, str, int], Fault | None]


def no_faults(client: str, method: str, number: int) -> None:
    """Nothing goes wrong."""


class SimulatedLabelStudio:
    """The server: its projects, their history, and its log."""

    def __init__(self, clock: VirtualClock, *, lag: float = 0.0, latency: float = 0.02, page_size: int = 100) -> None:
        self.clock, self.lag, self.latency, self.page_size = clock, lag, latency, page_size
        self.projects: dict[int, Project] = {}
        self.history: list[tuple[float, int, Project | None]] = []
        #: Whose request made each state of the history; nobody's where it was a person.
        self.writers: list[str] = []
        self.log: list[Entry] = []
        self.asked: list[tuple[str, str, str]] = []
        self.requests: list[Request] = []
        self.visits: dict[int, Callable[[], None]] = {}
        self.next_id = 1
        #: How lists are ordered: as asked, `oldest` first, `shuffled`, or with `pinned` ones before all others.
        self.order = ""
        #: Share of the items of lists that lack a key.
        self.left_out = 0.0
        self.down: Sequence[Down] = ()
        #: How imports are carried out; as on Community, within the request, where it is nothing.
        self.importing: Imports | None = None
        self.imports: dict[int, Import] = {}
        self.pending: list[tuple[float, Callable[[], None]]] = []

    def client(self, name: str = "a", faults: Faults = no_faults, user: int = 1) -> "SimulatedClient":
        """A client of one process."""
        return SimulatedClient(self, name, faults, user)

    def put(self, project: Project | None, number: int, by: str = "") -> None:
        """Commit a state of a project; `None` removes it."""
        if project is None:
            self.projects.pop(number, None)
        else:
            self.projects[number] = project
        self.history.append((self.clock.now(), number, project))
        self.writers.append(by)

    def make(
        self,
        title: str,
        *,
        description: str = "",
        workspace: int | None = 1,
        user: int = 2,
        number: int | None = None,
        by: str = "",
        **settings: Any,
    ) -> Project:
        """A project that somebody made by hand."""
        number = number or self.new_number()
        created = START + timedelta(seconds=self.clock.now())
        project = Project(number, title, description, workspace, created, user, 0, settings)
        self.put(project, number, by)
        return project

    def new_number(self) -> int:
        """The id of the next project."""
        number, self.next_id = self.next_id, self.next_id + 1
        return number

    def land(self) -> None:
        """Carry out the late commits that are due."""
        due = [each for each in self.pending if each[0] <= self.clock.now()]
        self.pending = [each for each in self.pending if each[0] > self.clock.now()]
        for _, commit in sorted(due, key=lambda each: each[0]):
            # Nobody is there any more to be told that the project is gone.
            with contextlib.suppress(Rejected):
                commit()

    def listed(self) -> dict[int, Project]:
        """The projects as lists show them, which may lag behind."""
        if not self.lag:
            return dict(self.projects)
        seen: dict[int, Project] = {}
        for at, number, project in self.history:
            if at > self.clock.now() - self.lag:
                break
            if project is None:
                seen.pop(number, None)
            else:
                seen[number] = project
        return seen

    def take_on(self, project: int, number_of_tasks: int, by: str) -> int:
        """The id of an import of tasks, which are in the project once it is over."""
        number, now = len(self.imports) + 1, self.clock.now()
        seconds, fails = self.importing.drawn(number) if self.importing else (0.0, False)
        counted = seconds + (self.importing.counted if self.importing else 0.0)
        self.imports[number] = Import(project, now, now + seconds, fails)

        def done() -> None:
            if not fails and project in self.projects:
                found = self.projects[project]
                self.put(replace(found, tasks=found.tasks + number_of_tasks), project, by)

        if counted:
            self.pending.append((now + counted, done))
        else:
            done()
        return number

    def page(self, page: int, ordering: str, title: str, ids: Collection[int] = ()) -> ProjectPage:
        """One page of the list."""
        found = [each for each in self.listed().values() if title.lower() in each.title.lower()]
        found = [each for each in found if not ids or each.id in ids]
        found.sort(key=lambda project: project.id, reverse=ordering == "-id" and self.order != "oldest")
        if self.order == "shuffled":
            found.sort(key=lambda project: project.id * 7919 % 1009)
        if self.order == "pinned":
            found.sort(key=lambda project: project.id % 5 != 0)
        size = self.page_size
        shown = [self._as_listed(project) for project in found[size * (page - 1) : size * page]]
        return ProjectPage(count=len(found), projects=shown, has_next=size * page < len(found))

    def _as_listed(self, project: Project) -> Project:
        # Numbers hash alike in each process.
        chance = hash((project.id, len(self.requests))) & 0xFFFFFF
        if chance % 1000 >= 1000 * self.left_out:
            return replace(project, settings={})
        key = ("description", "title", "workspace", "tasks")[chance // 1000 % 4]
        empty = {"description": "", "title": "", "workspace": None, "tasks": 0}[key]
        return replace(project, settings={}, lacks=(key,), **{key: empty})  # type: ignore[arg-type]

    def of(self, title: str) -> list[Project]:
        """The projects with a title."""
        return [project for project in self.projects.values() if project.title == title]


class SimulatedClient:
    """What the engine calls, for one process of one user."""

    def __init__(self, server: SimulatedLabelStudio, name: str, faults: Faults, user: int) -> None:
        self.server, self.name, self.faults, self.user = server, name, faults, user
        self.url = "http://studio"
        self.clock = ProcessClock(server.clock)
        self.pacer = Pacer(max_concurrency=1000, clock=self.clock)
        self.outage = Outage(self.clock, self._probe)
        self.dies_at, self.dies_on = 0, ""
        self.stops_at, self.stops_for = 0, 0.0
        self.cancelled_at: Sequence[int] = ()
        self.cancel: Callable[[], object] = lambda: None
        self.dead, self._never = asyncio.Event(), asyncio.Event()
        self.sent: Counter[str] = Counter()

    @property
    def requests_sent(self) -> int:
        return self.sent.total()

    def server_time(self) -> datetime:
        return START + timedelta(seconds=self.server.clock.now())

    def token_note(self) -> str:
        return ""

    async def project_templates(self) -> list[ProjectTemplate]:
        return [ProjectTemplate(id=1, name="Sentiment", project_settings={"description": "from the template"})]

    async def workspaces(self) -> list[Workspace]:
        return [Workspace(id=1, title="North"), Workspace(id=2, title="South")]

    async def whoami(self) -> User:
        return await self._read(Turn.NEXT, self._whoami)

    async def _whoami(self) -> User:
        await self._once(Request(self.name, "WHOAMI", self.server.clock.now()))
        return User(id=self.user, email="a@example.com")

    async def _probe(self) -> None:
        try:
            await self._whoami()
        finally:
            await self.clock.running()

    async def list_page(
        self,
        page: int,
        *,
        ordering: str = "-id",
        fields: Collection[str] = (),
        title: str = "",
        ids: Collection[int] = (),
        **_: Any,
    ) -> ProjectPage:
        async def listed() -> ProjectPage:
            self.server.asked.append((self.name, "LIST", ""))
            request = await self._once(Request(self.name, "LIST", self.server.clock.now(), None, title, page))
            self._note("LIST", None)
            found = self.server.page(page, ordering, title, ids)
            request.shown = frozenset(project.id for project in found.projects)
            return found

        return await self._read(Turn.NEXT, listed)

    async def project(self, number: int, *, before: Callable[[], None] = lambda: None) -> Project:
        async def read() -> Project:
            before()
            request = await self._once(Request(self.name, "GET", self.server.clock.now(), number))
            self._note("GET", number)
            request.found = self.server.projects.get(number)
            return self._found(number)

        return await self._read(Turn.NEXT, read)

    async def create_from_template(
        self,
        template: int,
        *,
        title: str,
        description: str,
        workspace: int | None,
        before: Callable[[], None] = lambda: None,
    ) -> Project:
        return await self._create({"title": title, "description": description, "workspace": workspace}, before)

    async def create_project(self, fields: Mapping[str, Any], *, before: Callable[[], None] = lambda: None) -> Project:
        return await self._create(fields, before)

    async def update_project(
        self,
        number: int,
        fields: Mapping[str, Any],
        *,
        before: Callable[[], None] = lambda: None,
        turn: Turn = Turn.SOON,
    ) -> Project:
        async with self._passing(turn):
            before()
            seen, now = self.server.projects.get(number), self.server.clock.now()
            echo: list[Project] = []

            def commit() -> None:
                self._note("PATCH", number, fields, seen, now)
                found = self._found(number)
                settings = {**found.settings, **{key: value for key, value in fields.items() if key != "description"}}
                description = fields.get("description", found.description)
                self.server.put(replace(found, settings=settings, description=description), number, self.name)
                echo.append(self._found(number))

            fault = await self._carry_out(Request(self.name, "PATCH", now, number, found=seen), commit)
            return seen if fault.echo and seen is not None else echo[-1]

    async def import_tasks(
        self, number: int, tasks: list[Any], *, before: Callable[[], None] = lambda: None
    ) -> Imported:
        async with self._passing(Turn.NOW, IMPORT.replace("*", str(number))):
            before()
            request = Request(self.name, "IMPORT", self.server.clock.now(), number)

            def commit() -> None:
                self._note("IMPORT", number)
                request.imported = self.server.take_on(self._found(number).id, len(tasks), self.name)

            try:
                await self._carry_out(request, commit)
            except (Rejected, Unauthorized):
                request.refused = True
                raise
            except (Throttled, Unsure) as error:
                request.refused = not error.sent if isinstance(error, Unsure) else error.status == 429
                raise
            if self.server.importing is None:
                return Imported(task_count=len(tasks))
            return Imported.model_validate({"import": request.imported})

    async def import_state(self, number: int, imported: int) -> ImportState:
        async def read() -> ImportState:
            await self._once(Request(self.name, "STATE", self.server.clock.now(), number))
            found = self.server.imports.get(imported)
            if found is None or found.project != self._found(number).id:
                raise Rejected("No ProjectImport matches the given query.", status=404)
            state = found.state(self.server.clock.now())
            return ImportState(status=state, error="it does not fit" if state == "failed" else "")

        return await self._read(Turn.NEXT, read)

    async def delete_project(self, number: int, *, before: Callable[[], None] = lambda: None) -> None:
        async with self._passing(Turn.NOW):
            before()
            seen, now = self.server.projects.get(number), self.server.clock.now()

            def commit() -> None:
                self._note("DELETE", number, before=seen, sent=now)
                self._found(number)
                self.server.put(None, number, self.name)

            await self._carry_out(Request(self.name, "DELETE", now, number, found=seen), commit)

    async def _create(self, fields: Mapping[str, Any], before: Callable[[], None]) -> Project:
        self.server.asked.append((self.name, "POST", fields["title"]))
        made: list[Project] = []

        def commit(number: int | None = None, title: str = "", description: str = "") -> None:
            rest = {key: value for key, value in fields.items() if key not in ("title", "description", "workspace")}
            project = self.server.make(
                title or fields["title"],
                description=description or fields["description"],
                workspace=fields.get("workspace"),
                user=self.user,
                number=number,
                by=self.name,
                **{"is_published": False, **rest},
            )
            self._note("POST", project.id, fields)
            made.append(project)

        async with self._passing(Turn.LATER):
            before()
            request = Request(self.name, "POST", self.server.clock.now(), title=fields["title"])
            fault = await self._carry_out(request, commit)
            if fault.echo == "other":
                return self.server.projects[min(self.server.projects)]
            request.answered = made[-1].id
            if fault.echo:
                return replace(made[-1], description="", lacks=("description",))
            return made[-1]

    @contextlib.asynccontextmanager
    async def _passing(self, turn: Turn, path: str = "") -> AsyncIterator[None]:
        """A place among the requests that are out, as the client has it; what became of the request is noted."""
        create = turn is Turn.LATER
        async with self.pacer.slot(turn, path), self.outage.passage(create=create):
            try:
                yield
            except Unsure as unsure:
                await self.clock.running()
                self.outage.failed(unsure.reason)
                raise
            except LabelStudioError:
                await self.clock.running()
                self.outage.answered(create=create)
                raise
            await self.clock.running()
            self.outage.answered(create=create)

    async def _read(self, turn: Turn, call: Callable[[], Awaitable[T]]) -> T:
        """Send a read, up to four times, as the client does."""
        for wait in (0.5, 1.0, 2.0, 0.0):
            try:
                async with self._passing(turn):
                    return await call()
            except Unsure:
                if not wait:
                    raise
            await self.clock.sleep(wait)
        raise AssertionError

    async def _once(self, request: Request) -> Request:
        try:
            await self._reach(request)
        finally:
            if not self.dead.is_set():
                request.ended = self.server.clock.now()
        return request

    async def _carry_out(self, request: Request, commit: Callable[..., None]) -> Fault:
        """Send a write, and let go wrong with it what the test asks for; what that was."""
        try:
            fault = await self._reach(request) or Fault()
            await self._take_effect(fault, commit, create=request.method == "POST")
        finally:
            if not self.dead.is_set():
                request.ended = self.server.clock.now()
        return fault

    async def _take_effect(self, fault: Fault, commit: Callable[..., None], *, create: bool) -> None:
        if fault.lost == "unsent":
            raise Unsure("no connection", reason="no connection", sent=False)
        for _ in range(fault.copies):
            commit()
        if fault.throttled:
            await self.server.clock.sleep(fault.throttled)
            status = fault.status or 429
            raise Throttled("asked too fast", retry_after=fault.throttled, status=status)
        if fault.status == 401:
            raise Unauthorized("the token is not taken", status=401)
        if fault.status:
            raise Rejected("no", status=fault.status, detail="no", fields={fault.field: ["no"]})
        if create:
            # The id is given before the commit.
            commit = partial(commit, self.server.new_number(), fault.title, fault.description)
        if fault.delay:
            await self.server.clock.sleep(fault.delay)
        if fault.lost == "late":
            self.server.pending.append((self.server.clock.now() + fault.seconds, commit))
        elif fault.lost != "before":
            commit()
        await self.server.clock.sleep(self.server.latency / 2 + fault.trickles)
        if fault.lost:
            raise Unsure("the answer was lost", reason="the answer was lost")

    async def _reach(self, request: Request) -> Fault | None:
        """Travel to the server; the fault of this request."""
        method = request.method
        if method == self.dies_on or (self.dies_at and self.sent.total() >= self.dies_at):
            self.dead.set()
        if self.dead.is_set():
            await self._never.wait()
        self.server.requests.append(request)
        self.sent[method] += 1
        number = self.sent[method]
        if self.sent.total() == self.stops_at:
            self.clock.stop(self.stops_for)
        if self.sent.total() in self.cancelled_at:
            asyncio.get_running_loop().call_soon(self.cancel)
        await self.server.clock.sleep(self.server.latency / 2)
        for down in self.server.down:
            down.check(self.server.clock.now())
        self.server.land()
        visit = self.server.visits.pop(len(self.server.requests), None)
        if visit:
            visit()
        fault = self.faults(self.name, method, number)
        if fault is not None and fault.lost and self.dies_on == "LOST":
            self.dead.set()
        if method in READS and fault is not None and fault.throttled:
            # The client waits and asks again.
            await self.server.clock.sleep(fault.throttled)
        if method in READS and fault is not None and fault.lost:
            raise Unsure("the answer was lost", reason="the answer was lost")
        return fault

    def _found(self, number: int) -> Project:
        found = self.server.projects.get(number)
        if found is None:
            raise Rejected(
                "No Project matches the given query.", status=404, detail="No Project matches the given query."
            )
        return found

    def _note(
        self,
        method: str,
        number: int | None,
        body: Mapping[str, Any] | None = None,
        before: Project | None = None,
        sent: float = 0.0,
    ) -> None:
        self.server.log.append(Entry(self.server.clock.now(), self.name, method, number, body or {}, before, sent))
