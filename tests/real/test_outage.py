"""The real Community server goes away amid a batch: each row has one project all the same, and its report says so."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import prepare
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet
from scripts.label_studio import Instance, copy_of, free_port, running
from tests.real.test_ten_runs import DESCRIPTION, TEMPLATE, projects

# It may be away for as long as a create is waited for, and a batch then waits for whatever may still land.
pytestmark = [pytest.mark.real, pytest.mark.soak, pytest.mark.timeout(1200)]

ROWS, AT_ONCE = 60, 4
TITLES = [f"Outage row {number:02}" for number in range(ROWS)]


class Server:
    """A Label Studio server that can go away and come back; `amid` is set as a third of the creates has been sent to it."""

    def __init__(self, executable: Path, data: Path, servers: ExitStack) -> None:
        self._executable, self._data, self._servers, self._port = executable, data, servers, free_port()
        self.amid, self.noticed = asyncio.Event(), asyncio.Event()
        self.sent: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.instance: Instance

    async def start(self) -> None:
        server = running(self._executable, self._data, self._port)
        self.instance = await asyncio.to_thread(self._servers.enter_context, server)

    def signal(self, number: int) -> None:
        os.killpg(self.instance.process.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await asyncio.to_thread(self.instance.process.wait)

    async def carry_out(self, longest_outage: float = 600.0) -> Report:
        options = Options(template=str(TEMPLATE), max_concurrency=AT_ONCE, longest_outage=longest_outage)
        sheet = [{"title": title, "maximum_annotations": "3"} for title in TITLES]
        settings = LabelStudioSettings(self.instance.url, SecretStr(self.instance.token))
        async with open_label_studio(settings, options) as label_studio:
            batch = await prepare(check(read_sheet(sheet), options), options, label_studio)
            batch.tell = lambda text: self.noticed.set() if "is unavailable" in text else None
            await batch.carry_out()
            return batch.report()

    def assert_one_project_for_each_row(self, report: Report) -> None:
        made = projects(self.instance)
        assert Counter(project["title"] for project in made) == Counter(TITLES)
        assert {(project["description"], project["maximum_annotations"]) for project in made} == {(DESCRIPTION, 3)}
        assert {row.title: row.project_id for row in report.rows} == {each["title"]: each["id"] for each in made}


@asynccontextmanager
async def amid_a_batch(server: Server, longest_outage: float = 600.0) -> AsyncIterator["asyncio.Task[Report]"]:
    """A batch that has sent a third of its creates; it is over at the end of the block, unless that fails."""
    batch = asyncio.create_task(server.carry_out(longest_outage))
    try:
        await first(server.amid, batch)
        yield batch
        await batch
    finally:
        batch.cancel()


async def first(event: asyncio.Event, batch: "asyncio.Task[Report]") -> None:
    """Return as the event is set; a batch that ends before it has failed."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({waiting, batch}, return_when=asyncio.FIRST_COMPLETED)
    assert waiting.done(), batch.result()


@pytest.fixture(name="server")
async def a_server(
    label_studio_executable: Path,
    community_data_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Server]:
    create = LabelStudio.create_project

    async def create_project(
        client: LabelStudio, fields: Mapping[str, Any], *, before: Callable[[], None] = lambda: None
    ) -> Project:
        title = str(fields["title"])

        def leaves() -> None:
            before()
            server.sent[title] += 1
            if len(server.sent) == ROWS // 3:
                server.amid.set()

        project = await create(client, fields, before=leaves)
        server.answered.add(title)
        return project

    monkeypatch.setattr(LabelStudio, "create_project", create_project)
    with ExitStack() as servers:
        server = Server(label_studio_executable, copy_of(community_data_template, tmp_path / "data"), servers)
        await server.start()
        yield server


async def test_a_server_that_dies_and_is_started_again(server: Server) -> None:
    async with amid_a_batch(server) as batch:
        await server.kill()
        await first(server.noticed, batch)
        await server.start()
    report = batch.result()
    assert {row.outcome for row in report.rows} == {Outcome.CREATED}
    server.assert_one_project_for_each_row(report)


async def test_a_server_that_hangs_and_carries_requests_out_after_their_timeout(server: Server) -> None:
    async with amid_a_batch(server) as batch:
        server.signal(signal.SIGSTOP)
        await first(server.noticed, batch)
        server.signal(signal.SIGCONT)
    report = batch.result()
    assert {row.outcome for row in report.rows} == {Outcome.CREATED}
    server.assert_one_project_for_each_row(report)


async def test_a_server_that_is_away_for_longer_than_is_waited_for(server: Server) -> None:
    async with amid_a_batch(server, longest_outage=5.0) as batch:
        await server.kill()
    report = batch.result()
    assert report.stopped
    assert {row.outcome for row in report.rows} <= {Outcome.CREATED, Outcome.UNPROCESSED, Outcome.AMBIGUOUS}
    unsure = {row.title for row in report.rows if row.outcome is Outcome.AMBIGUOUS}
    assert unsure <= set(server.sent) - server.answered
    # Those under way, and those that leave until three have failed.
    assert len(unsure) <= AT_ONCE + 2

    await server.start()
    report = await server.carry_out()
    assert report.ok
    server.assert_one_project_for_each_row(report)
