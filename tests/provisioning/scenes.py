"""Scenes: batches, what goes wrong with their requests, colleagues; how one is played, and what has to hold in all of them.

Batches run against the simulated Label Studio; the checks read the server's own log of requests and its end state, and
whether the reports tell the truth about it. Then the same sheet runs once more on a quiet day.
"""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import cast
from unittest.mock import AsyncMock, patch

from label_studio_stencil.access import Instance
from label_studio_stencil.batch import prepare
from label_studio_stencil.concurrency import until_stopped
from label_studio_stencil.engine.steps import StepRunner
from label_studio_stencil.engine.stop import CANCELLED
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Edition, Project
from label_studio_stencil.labelstudio.pacing import Pacer
from label_studio_stencil.options import Options
from label_studio_stencil.plans.marker import Standing, key_of, read_mark, standing
from label_studio_stencil.plans.pending import pending_of
from label_studio_stencil.plans.targets import Checked, check
from label_studio_stencil.policy import Patience, Retries
from label_studio_stencil.problems import StencilError
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report
from label_studio_stencil.rows.steps import Steps, TaskFile
from label_studio_stencil.sheet.sources import read_sheet
from tests.labelstudio.virtual import VirtualClock
from tests.provisioning import audit
from tests.provisioning.simulated import READS, Down, Fault, Imports, Request, SimulatedClient, SimulatedLabelStudio

COLOR = "#112233"
OTHER_COLOR = "#445566"
DESCRIPTION = "from the template"

#: The file is not read from a disk: on a clock that tests turn, no thread is waited for.
TASKS: list[JSON] = [{"text": "one"}, {"text": "two"}, {"text": "three"}]
STEPS = Steps(tasks=TaskFile("tasks.json", len(TASKS), "0" * 16), publish=True)

#: Small windows on small pages, so that few rows make many of them.
PATIENCE = Patience(window=6, overlap=3)
PAGE = 10

#: Seconds after which whatever was sent late has landed.
QUIET = 130.0


#: Seconds after which a batch has ended, once nothing goes wrong any more.
LONGEST_END = 1800.0


@dataclass(frozen=True)
class Start:
    """A batch: when it starts, the request or kind of request at which its process dies, and what it makes.

    `stops_at` is the request after which its process is stopped (SIGSTOP), and continued `stops_for` seconds later;
    `cancelled_at` those at which somebody presses Ctrl-C.
    """

    name: str
    at: float = 0.0
    dies_at: int = 0
    dies_on: str = ""
    stops_at: int = 0
    stops_for: float = 0.0
    cancelled_at: tuple[int, ...] = ()
    color: str = COLOR
    at_once: int = 1000


@dataclass(frozen=True)
class Visit:
    """What a colleague does as Label Studio gets its `request`th request."""

    request: int
    kind: str
    row: int


@dataclass(frozen=True)
class Scene:
    """Everything that happens, but for what follows from it."""

    rows: int = 1
    starts: tuple[Start, ...] = (Start("a"),)
    faults: tuple[tuple[str, str, int, Fault], ...] = ()
    share: float = 0.0
    seed: int = 0
    visits: tuple[Visit, ...] = ()
    lag: float = 0.0
    older: int = 0
    steps: bool = False
    imports: Imports | None = None
    order: str = ""
    left_out: float = 0.0
    down: tuple[Down, ...] = ()


@dataclass
class Stage:
    """A scene being played."""

    scene: Scene
    clock: VirtualClock
    server: SimulatedLabelStudio
    clients: list[SimulatedClient] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    left: dict[int, Project] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    disturbed: set[str] = field(default_factory=set)
    others: dict[int, Project] = field(default_factory=dict)
    refused: dict[str, StencilError] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    disturbed_until: float = 0.0

    def disturb(self, seconds: float = 0.0) -> None:
        """Something goes wrong now, or somebody else does something, and it is over so many seconds from now."""
        self.disturbed_until = max(self.disturbed_until, self.clock.now() + seconds)

    def ok(self, title: str) -> list[tuple[str, int | None]]:
        """The batches that report a row as ok, and its project."""
        rows = ((name, row) for name, report in self.reports.items() for row in report.rows if row.title == title)
        return [(name, row.project_id) for name, row in rows if row.outcome.ok]

    def rows(self, title: str) -> dict[str, Outcome]:
        """The outcomes of a row, by batch."""
        return {name: row.outcome for name, report in self.reports.items() for row in report.rows if row.title == title}


def title(row: int) -> str:
    return f"Project {row:04}"


async def one_batch(
    client: SimulatedClient,
    names: Sequence[str],
    color: str = COLOR,
    edition: Edition = Edition.ENTERPRISE,
    *,
    steps: bool = False,
    patience: Patience = PATIENCE,
) -> Report:
    options = Options(template="1", workspace="1", allow_lookalikes=True)
    pacer = Pacer(max_concurrency=8, clock=client.clock)
    label_studio = Instance(cast("LabelStudio", client), edition, pacer, "a simulated Label Studio")
    checked = check(read_sheet([{"title": name, "color": color} for name in names]), options)
    if steps:
        with_steps = (replace(request, steps=STEPS) for request in checked.requests)
        checked = Checked(checked.sheet, with_steps, checked.problems)
    batch = await prepare(checked, options, label_studio, patience=patience)
    try:
        await until_stopped(batch.run(Retries(jitter=0.0)), lambda: batch.stopping.stop(CANCELLED))
    except asyncio.CancelledError:
        if not client.cancelled_at:
            raise
    return batch.report()


# Faults and colleagues


def faults_of(stage: Stage) -> Callable[[str, str, int], Fault | None]:
    scene = stage.scene
    named = {(client, method, number): fault for client, method, number, fault in scene.faults}
    chance = random.Random(scene.seed)
    planned = 8 + 4 * (scene.rows + scene.older) // PAGE

    def fault(client: str, method: str, number: int) -> Fault | None:
        found = chosen(client, method, number)
        if found:
            stage.disturb(found.seconds + found.throttled + found.delay + found.trickles)
        return found

    def chosen(client: str, method: str, number: int) -> Fault | None:
        found = named.get((client, method, number))
        # The plan of a batch raises what it can't read: nothing was written yet.
        if method == "LIST" and number <= planned:
            return None
        if found or chance.random() >= scene.share:
            return found
        if method in READS:
            return Fault(lost="before") if chance.random() < 0.1 else None
        kind = chance.choice(
            ["before", "after", "late", "late", "unsent", "copies", "throttled", "slow", "busy", "echo", "forbidden"]
        )
        if kind == "copies":
            return Fault(copies=chance.randint(1, 4)) if method == "POST" else None
        if kind == "echo":
            return Fault(echo=chance.choice(["stale", "stale", "other"])) if method in ("POST", "PATCH") else None
        if kind == "forbidden":
            return Fault(status=403, copies=chance.randint(0, 1)) if method in ("POST", "PATCH") else None
        if kind == "throttled":
            return Fault(throttled=chance.choice([0.5, 3.0]))
        if kind == "busy":
            return Fault(throttled=1.0, status=503, copies=chance.randint(0, 1) if method == "POST" else 0)
        if kind == "slow":
            return Fault(delay=chance.uniform(0.01, 3))
        return Fault(lost=kind, seconds=chance.uniform(0.5, 50))

    return fault


def visit(stage: Stage, what: Visit) -> None:
    """A colleague at work."""
    stage.disturb()
    server, name = stage.server, title(what.row)
    projects = [project for project in server.of(name) if project.workspace == 1]
    found = projects[-1] if projects else None
    if what.kind == "shift":
        older = next((each for each in stage.others if each in server.projects and each not in stage.left), None)
        if older is not None:
            stage.others.pop(older)
            server.put(None, older)
        return
    if what.kind == "by hand":
        keep(stage, name, server.make(name))
    elif found is not None and what.kind == "delete":
        stage.disturbed.add(name)
        stage.left.pop(found.id, None)
        server.put(None, found.id)
    elif found is not None:
        changed = {
            "rename": replace(found, title=f"{name} of mine"),
            "move": replace(found, workspace=2),
            "describe": replace(found, description=f"{found.description} and mine"),
            "rewrite": replace(found, description="mine"),
            "annotate": replace(found, tasks=3),
        }[what.kind]
        server.put(changed, found.id)
        keep(stage, name, changed)


def keep(stage: Stage, name: str, project: Project) -> None:
    stage.disturbed.add(name)
    stage.left[project.id] = project
    stage.touched.add(project.id)


# Playing a scene


async def play(scene: Scene) -> Stage:
    clock = VirtualClock()
    async with clock.running():
        before = asyncio.all_tasks()
        server = SimulatedLabelStudio(clock, lag=scene.lag, page_size=PAGE)
        server.order, server.left_out, server.importing = scene.order, scene.left_out, scene.imports
        stage = Stage(scene, clock, server)
        names = [title(row) for row in range(scene.rows)]
        others = [server.make(f"Older {number}") for number in range(scene.older)]
        others += [server.make(names[0], workspace=2), server.make(f"{names[0]}x"), server.make(names[0].lower())]
        stage.others = {other.id: other for other in others}
        await clock.sleep(60)
        for what in scene.visits:
            server.visits[what.request] = lambda what=what: visit(stage, what)  # type: ignore[misc]
        server.down = [replace(down, since=down.since + clock.now()) for down in scene.down]
        for down in server.down:
            stage.disturb(down.since + down.seconds - clock.now())
        faults = faults_of(stage)
        abandoned = []

        async def start(what: Start) -> None:
            await clock.sleep(what.at)
            client = server.client(what.name, faults)
            client.dies_on = what.dies_on
            client.dies_at, client.pacer.max_concurrency = what.dies_at, what.at_once
            client.stops_at, client.stops_for = what.stops_at, what.stops_for
            client.cancelled_at = what.cancelled_at
            stage.clients.append(client)
            stage.disturb(what.stops_for)
            batch = asyncio.ensure_future(one_batch(client, names, what.color, steps=scene.steps))
            client.cancel = batch.cancel
            death = asyncio.ensure_future(client.dead.wait())
            await asyncio.wait([batch, death], return_when=asyncio.FIRST_COMPLETED)
            death.cancel()
            if not batch.done():
                stage.disturb()
                abandoned.append(batch)
                return
            stage.ended[what.name] = clock.now()
            try:
                stage.reports[what.name] = batch.result()
            except StencilError as error:
                stage.refused[what.name] = error
            except asyncio.CancelledError:
                # In its plan.
                stage.refused[what.name] = StencilError("cancelled")

        await asyncio.gather(*(start(what) for what in scene.starts))
        await clock.sleep(QUIET)
        server.land()
        last_import = max((each.ends for each in server.imports.values()), default=0.0)
        last_import += scene.imports.counted if scene.imports else 0.0
        stage.disturb(last_import - clock.now())
        await clock.sleep(last_import - clock.now())
        server.land()
        server.visits.clear()
        server.down, server.lag = (), min(server.lag, 1.0)
        if scene.imports:
            server.importing = replace(scene.imports, slowest=min(scene.imports.slowest, 5.0), fails=0.0)
        await clock.sleep(1 + server.lag)
        check_end(stage)

        rerun = server.client("r")
        stage.clients.append(rerun)
        stage.reports["r"] = await one_batch(rerun, names, scene.starts[-1].color, steps=scene.steps)
        await clock.sleep(1 + server.lag)
        check_rerun(stage)
        check_requests(stage)
        check_liveness(stage)
        check_audit(stage)
        for batch in abandoned:
            # The first cancellation would have it complete what it has begun.
            while not batch.done():
                batch.cancel()
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before, asyncio.all_tasks() - before
        return stage


def played(scene: Scene) -> Stage:
    """The scene after its rerun, with every invariant checked."""
    with patch.object(StepRunner, "_tasks", AsyncMock(return_value=TASKS)):
        return asyncio.run(asyncio.wait_for(play(scene), 60))


# Invariants


def of_key(server: SimulatedLabelStudio, name: str, kind: Standing) -> list[Project]:
    return [each for each in server.of(name) if each.workspace == 1 and standing(each) is kind]


def check_end(stage: Stage) -> None:
    """One finished project for each row, or a report that says that it can't be told; reports tell the truth."""
    colors = {start.name: start.color for start in stage.scene.starts}
    # A stopped batch does not sweep; what was committed behind its looks the rerun finds.
    unswept = any(report.stopped for report in stage.reports.values())
    for row in range(stage.scene.rows):
        name = title(row)
        if name in stage.disturbed:
            continue
        complete = of_key(stage.server, name, Standing.COMPLETE)
        said = stage.rows(name)
        unclear = Outcome.AMBIGUOUS in said.values() or unswept
        # Batches that died may leave two, of which nobody is there to tell; the rerun does.
        assert len(complete) <= 1 or unclear or not said, (name, complete, said)
        assert complete or all(deleted_later(stage, *each) for each in stage.ok(name)), (name, said)
    for who, report in stage.reports.items():
        assert [each.title for each in report.rows] == [title(row) for row in range(stage.scene.rows)]
        for each in report.rows:
            assert each.outcome is not Outcome.UNPROCESSED or report.stopped, each
            assert each.outcome.ok or each.error, each
            named = each.project_id is not None or "a create was not answered" in each.error
            assert named or not left_marked(stage, who, each.title), each
            if not each.outcome.ok or each.title in stage.disturbed:
                continue
            if each.project_id not in stage.server.projects and deleted_later(stage, who, each.project_id):
                continue
            project = stage.server.projects[each.project_id or 0]
            assert standing(project) is Standing.COMPLETE
            assert (project.title, project.workspace) == (each.title, 1)
            assert project in of_key(stage.server, each.title, Standing.COMPLETE)
            check_steps(stage, project, claimed=was_claimed_late(stage, project))
            if each.outcome is not Outcome.EXISTS:
                pending = pending_of(project.description, key_of(project.workspace, project.title))
                final = pending.description if pending else project.description
                assert (project.settings["color"], final) == (colors[who], DESCRIPTION)
    ids_of: dict[str, set[int | None]] = {}
    for report in stage.reports.values():
        for each in report.rows:
            others = stage.rows(each.title).values()
            if each.outcome.ok and Outcome.AMBIGUOUS not in others and each.title not in stage.disturbed:
                ids_of.setdefault(each.title, set()).add(each.project_id)
    assert unswept or all(len(ids) == 1 for ids in ids_of.values()), ids_of


def check_steps(stage: Stage, project: Project, *, claimed: bool = False) -> None:
    """A row that is ok has its steps done, once; a late claim of a batch that died or gave up may bring the line back."""
    if stage.scene.steps:
        assert (project.tasks, project.settings.get("is_published")) == (len(TASKS), True), project
        pending = pending_of(project.description, key_of(project.workspace, project.title))
        assert pending is None or (claimed and pending.claim is not None), project


def left_marked(stage: Stage, who: str, name: str) -> bool:
    """Whether a batch was told the id of a placeholder of a row that is there at the end."""
    made = {each.answered for each in stage.server.requests if each.client == who and each.title == name}
    return any(project.id in made for project in of_key(stage.server, name, Standing.MARKED))


def was_claimed_late(stage: Stage, project: Project) -> bool:
    """Whether the project's last state was written by a batch that died or gave the row up, after its steps had been done."""
    history = [
        (state, by)
        for (_, number, state), by in zip(stage.server.history, stage.server.writers, strict=True)
        if number == project.id and state is not None
    ]
    states, last = [state for state, _ in history], history[-1][1]
    done = any(
        standing(each) is Standing.COMPLETE
        and pending_of(each.description, key_of(each.workspace, each.title)) is None
        and each.settings.get("is_published") is True
        for each in states
    )
    dead = {client.name for client in stage.clients if client.dead.is_set()}
    return done and (last in dead or stage.rows(project.title).get(last) is Outcome.FAILED)


def is_unsure(stage: Stage, complete: Sequence[Project]) -> bool:
    """Whether tasks were about to be sent into the project, and nobody can know whether they were: none is there."""
    pending = (
        pending_of(complete[0].description, key_of(complete[0].workspace, complete[0].title)) if complete else None
    )
    sent = pending.sent if pending else None
    return sent is not None and sent.number is None and not sent.refused and not complete[0].tasks


def deleted_later(stage: Stage, who: str, project: int | None) -> bool:
    """Whether another batch's deletion was carried out when this one had looked for the last time: it can't tell of that."""
    requests = [each for each in stage.server.requests if each.project == project]
    own = [each.sent for each in requests if each.client == who and each.method == "GET"]
    last_look = max([stage.ended[who] - stage.scene.lag - 1.0, *own])
    return any(
        each.method == "DELETE" and each.client != who and each.sent < stage.ended[who] and last_look < at
        for each in requests
        for at, number, state in stage.server.history
        if number == project and state is None
    )


def check_rerun(stage: Stage) -> None:
    """On a quiet day every row is well, or a person has to look; nothing half-made is left, and nobody else's has changed."""
    for each in stage.reports["r"].rows:
        complete = of_key(stage.server, each.title, Standing.COMPLETE)
        if each.outcome.ok:
            assert [project.id for project in complete] == [each.project_id], each
            assert not of_key(stage.server, each.title, Standing.MARKED), each
            if each.title not in stage.disturbed:
                check_steps(stage, complete[0])
        elif each.error_code == "step-failed":
            # What a colleague did, or another sheet left, is for a person to look at.
            edited = len({start.color for start in stage.scene.starts}) > 1
            assert edited or each.title in stage.disturbed or is_unsure(stage, complete), each
        else:
            assert each.outcome is Outcome.AMBIGUOUS, each
            assert len(complete) > 1 or of_key(stage.server, each.title, Standing.TOUCHED), each
    for number, other in stage.others.items():
        assert stage.server.projects.get(number) == other


def check_liveness(stage: Stage) -> None:
    """Once nothing goes wrong any more, each batch comes to its end; one that was refused before it has written nothing."""
    for name, ended in stage.ended.items():
        assert ended - stage.disturbed_until <= LONGEST_END + 10 * stage.scene.lag, (
            name,
            ended - stage.disturbed_until,
        )
    for client in stage.clients:
        if client.name in stage.refused:
            assert set(client.sent) <= {"LIST", "GET"}, stage.refused[client.name]


def check_audit(stage: Stage) -> None:
    """The second opinion: what it finds wrong is wrong, and two projects of a row are reported."""
    events = [
        audit.Event(
            each.client,
            each.method,
            each.sent,
            each.ended,
            each.project,
            each.title,
            each.page,
            plain(each.found),
            each.shown,
            each.answered,
            each.imported,
            each.refused,
        )
        for each in stage.server.requests
    ]
    imports = [
        audit.Import(number, each.project, each.ends, each.fails) for number, each in stage.server.imports.items()
    ]
    history = zip(stage.server.history, stage.server.writers, strict=True)
    states = [audit.State(at, number, plain(project), by) for (at, number, project), by in history]
    wrong = audit.violations(events, states, imports, user=1)
    assert not wrong, wrong
    unclear = {row.title for row in stage.reports["r"].rows if row.outcome is Outcome.AMBIGUOUS}
    assert audit.set_up_twice(states) <= unclear
    half_made = {stage.server.projects[number].title for number in audit.left_half_made(states)}
    assert half_made <= unclear


def plain(project: Project | None) -> dict[str, object] | None:
    """A project as the second opinion takes it."""
    if project is None:
        return None
    names = ("title", "workspace", "description", "tasks")
    return {**{name: getattr(project, name) for name in names}, "creator": project.created_by}


def check_requests(stage: Stage) -> None:
    for client in stage.clients:
        own = [request for request in stage.server.requests if request.client == client.name]
        no_create_twice_without_a_look(own)
        no_delete_during_a_look(own)
        for request in own:
            if request.method == "PATCH":
                no_write_to_what_is_finished_or_touched(stage, own, request)
            elif request.method == "DELETE":
                no_delete_but_of_what_was_just_read_and_is_ours(stage, own, request)


def no_create_twice_without_a_look(own: Sequence[Request]) -> None:
    lists = [request for request in own if request.method == "LIST" and request.page == 1]
    for name in {request.title for request in own if request.method == "POST"}:
        posts = [request for request in own if request.method == "POST" and request.title == name]
        for first, second in pairwise(posts):
            assert any(look.sent >= first.ended and look.ended <= second.sent for look in lists), (first, second)


def no_delete_during_a_look(own: Sequence[Request]) -> None:
    deletes = [request for request in own if request.method == "DELETE"]
    looks = [request for request in own if request.method == "LIST" and not request.title]
    for first, second in pairwise(looks):
        if second.page > 1 and second.ended < math.inf:
            assert not any(first.sent < delete.ended and delete.sent < second.ended for delete in deletes)


def no_write_to_what_is_finished_or_touched(stage: Stage, own: Sequence[Request], request: Request) -> None:
    """A PATCH goes only to a placeholder of its key or to a project whose steps are not done, but for what another batch, or a
    lost request, did meanwhile."""
    seen = request.found
    if seen is None or is_unfinished(seen):
        return
    history = [(at, state) for at, number, state in stage.server.history if number == request.project]
    last = [at for at, state in history if at <= request.sent and state and is_unfinished(state)]
    assert last, "wrote to a project that never was a placeholder"
    changed = next(at for at, state in history if at > last[-1] or (at == last[-1] and state == seen))
    assert request.sent - changed <= PATIENCE.fresh + stage.scene.lag, (request, changed)
    again = any(
        each.method == "PATCH" and each.project == request.project and each.ended <= request.sent for each in own
    )
    assert again or len(stage.scene.starts) > 1 or request.project in stage.touched, request


def is_unfinished(project: Project) -> bool:
    """Whether it is a placeholder, or its steps are not done, and is where it was made."""
    pending = pending_of(project.description, key_of(project.workspace, project.title))
    return standing(project) is Standing.MARKED or pending is not None


def no_delete_but_of_what_was_just_read_and_is_ours(stage: Stage, own: Sequence[Request], request: Request) -> None:
    reads = [each for each in own if each.method == "GET" and each.project == request.project and each.found]
    read = [each for each in reads if each.ended <= request.sent][-1]
    assert request.sent - read.ended <= PATIENCE.read
    project = cast("Project", read.found)
    assert project.created_by == 1
    assert not project.tasks
    if standing(project) is Standing.MARKED:
        assert read_mark(project.description)
        return
    assert standing(project) is Standing.COMPLETE
    assert any(each.method == "PATCH" and each.project == request.project for each in own), "finished by another"
    assert len(stage.scene.starts) > 1 or stage.disturbed, "one batch alone deleted a finished project"
