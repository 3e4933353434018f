"""Storms: any sheet, any faults, any concurrency, up to three batches, a kill, colleagues; then a rerun on a quiet day.

What the protocol promises is checked on the server's own log and end state, and against what the reports say.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stencil.labelstudio import Project
from stencil.marks import Standing, standing
from stencil.provisioning import Patience
from stencil.report import Outcome, Report
from tests.labelstudio.virtual import VirtualClock
from tests.provisioning.simulated import Fault, SimulatedClient, SimulatedStudio
from tests.provisioning.test_engine import COLOR, batch, titles

#: Examples of one run: some hundred for everybody, ten thousand in `make soak`.
EXAMPLES = int(os.environ.get("STENCIL_STORMS", "300"))

WELL = {outcome for outcome in Outcome if outcome.well}
SETTLED_BY_US = {Outcome.CREATED, Outcome.FINISHED}


@dataclass(frozen=True)
class Weather:
    """One storm: everything else follows from the seed."""

    seed: int
    rows: int
    batches: int
    share: float
    lag: float
    killed: bool
    colleagues: bool


weathers = st.builds(
    Weather,
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 2, 7, 30, 130]),
    batches=st.sampled_from([1, 1, 2, 3]),
    share=st.sampled_from([0.0, 0.05, 0.2, 0.5]),
    lag=st.sampled_from([0.0, 0.0, 1.0]),
    killed=st.booleans(),
    colleagues=st.booleans(),
)


class Storm:
    """The faults of one storm, drawn in the order in which requests arrive."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.random = random.Random(weather.seed)

    def fault(self, client: str, method: str, number: int) -> Fault | None:
        # Reads are repeated by the client below the engine, so one of them fails but rarely, and the plan's never.
        share = self.weather.share if method not in ("LIST", "GET") else self.weather.share / 20 * (number > 3)
        if self.random.random() >= share:
            return None
        kind = self.random.choice(["before", "after", "late", "late", "copies", "throttled"])
        if kind == "copies":
            return Fault(copies=self.random.randint(1, 4)) if method == "POST" else None
        if kind == "throttled":
            return Fault(throttled=self.random.choice([0.5, 3.0])) if method in ("POST", "PATCH") else None
        return Fault(lost=kind, seconds=self.random.uniform(0.5, 50))


@dataclass(frozen=True)
class Left:
    """A project as a colleague left it, and when."""

    project: Project
    at: float

    @property
    def title(self) -> str:
        return self.project.title


async def colleague(server: SimulatedStudio, storm: Storm) -> dict[int, Left]:
    """Works in half-made projects and makes titles by hand; gives the projects as they were left."""
    left: dict[int, Left] = {}
    for _ in range(3):
        await server.clock.sleep(storm.random.uniform(0.01, 3))
        if server.projects and storm.random.random() < 0.7:
            chosen = storm.random.choice(sorted(server.projects))
            project = server.projects[chosen]
            touched = storm.random.choice(
                [replace(project, tasks=5), replace(project, description=f"{project.description} and mine")]
            )
            server.put(touched, chosen)
        else:
            touched = server.make(storm.random.choice(titles(storm.weather.rows)))
        left[touched.id] = Left(touched, server.clock.now())
    return left


async def die(client: SimulatedClient, names: Sequence[str], after: int) -> None:
    """A batch that dies when it has sent some requests."""
    dying = asyncio.ensure_future(batch(client, names))
    while client.sent.total() < after and not dying.done():  # noqa: ASYNC110 - it runs in this very loop
        await asyncio.sleep(0)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)


async def weathered(weather: Weather) -> None:
    storm, names = Storm(weather), titles(weather.rows)
    clock = VirtualClock()
    async with clock.running():
        server = SimulatedStudio(clock, lag=weather.lag)
        others = [server.make(names[0], workspace=2), server.make(f"{names[0]}x"), server.make(names[0].lower())]
        if weather.killed:
            await die(server.client("k", storm.fault), names, storm.random.randint(1, 2 * weather.rows + 2))

        async def one(name: str) -> Report:
            await clock.sleep(storm.random.choice([0.0, 0.01, 0.5, 5.0, 40.0]))
            return await batch(server.client(name, storm.fault), names)

        visit = asyncio.ensure_future(colleague(server, storm)) if weather.colleagues else None
        reports = await asyncio.gather(*(one(name) for name in "abc"[: weather.batches]))
        touched = await visit if visit else {}
        await clock.sleep(Patience().late + 70)
        server.land()
        await clock.sleep(1 + weather.lag)
        check_end(server, weather, reports, touched)

        rerun = await batch(server.client("r"), names)
        check_rerun(server, weather, rerun)
        check_log(server, weather, touched)
        assert [server.projects.get(other.id) for other in others if other.id not in touched] == [
            other for other in others if other.id not in touched
        ]


def finished(server: SimulatedStudio, title: str) -> list[Project]:
    own = (project for project in server.of(title) if project.workspace == 1)
    return [project for project in own if standing(project) is Standing.FINISHED]


def check_end(server: SimulatedStudio, weather: Weather, reports: Sequence[Report], touched: dict[int, Left]) -> None:
    spoken_of = {row.title for report in reports for row in report.rows if not row.outcome.well}
    disturbed = {project.title for project in touched.values()}
    for title in titles(weather.rows):
        if title not in spoken_of | disturbed:
            assert len(finished(server, title)) == 1, title
    for report in reports:
        assert len(report.rows) == weather.rows
        for row in report.rows:
            if not row.outcome.well or row.title in disturbed:
                continue
            project = server.projects[row.project_id or 0]
            assert standing(project) is Standing.FINISHED
            if row.outcome in SETTLED_BY_US:
                assert project.settings["color"] == COLOR
                assert project.description == "from the template"
    ids: dict[str, set[int | None]] = {}
    for report in reports:
        for row in report.rows:
            if row.outcome in WELL and row.title not in disturbed:
                ids.setdefault(row.title, set()).add(row.project_id)
    assert all(len(same) == 1 for same in ids.values())


def check_rerun(server: SimulatedStudio, weather: Weather, rerun: Report) -> None:
    for row in rerun.rows:
        if row.outcome.well:
            assert len(finished(server, row.title)) == 1, row
            assert not [each for each in server.of(row.title) if standing(each) is Standing.MARKED]


def check_log(server: SimulatedStudio, weather: Weather, touched: dict[int, Left]) -> None:
    single = weather.batches == 1 and not weather.killed
    posted: dict[str, set[str]] = {}
    for client, method, title in server.asked:
        sent = posted.setdefault(client, set())
        if method == "LIST":
            sent.clear()
        else:
            assert title not in sent, "sent again without a look"
            sent.add(title)
    for entry in server.log:
        if entry.before is None:
            continue
        if entry.method == "PATCH" and standing(entry.before) is Standing.FINISHED:
            # Two owners of one project may write the same to it at the same moment.
            assert not single, "wrote to a finished project"
            assert all(
                entry.before.settings.get(name, entry.before.description) == entry.body[name] for name in entry.body
            )
        if entry.method == "DELETE":
            assert entry.before.created_by == 1, "deleted another user's project"
            assert not entry.before.tasks, "deleted a project with tasks"
            assert standing(entry.before) is not Standing.TOUCHED
            assert not single or standing(entry.before) is Standing.MARKED, "deleted a finished project"
    for entry in server.log:
        left = touched.get(entry.project or 0)
        if left is None or entry.before != left.project or standing(left.project) is Standing.MARKED:
            continue
        # What was decided by a look is carried out while it is fresh, a deletion at once after a read.
        gap = Patience().fresh + 1 if entry.method == "PATCH" else 0.1
        assert entry.sent - left.at <= gap, "changed or removed what somebody has worked on"


# No shrinking: a storm is as small as its seed, and to find a smaller one takes longer than to look into this one.
@given(weather=weathers)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 300,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(7200)
def test_one_project_per_row_whatever_the_weather(weather: Weather) -> None:
    asyncio.run(asyncio.wait_for(weathered(weather), 120))
