"""The engine against a simulated label_studio: one project per row, whatever the answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import httpx
import pytest

from label_studio_stencil.access import Instance
from label_studio_stencil.batch import provision
from label_studio_stencil.labelstudio import answers
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Rejected
from label_studio_stencil.labelstudio.models import Edition, Project
from label_studio_stencil.labelstudio.pacing import Pacer
from label_studio_stencil.options import Mode, Options
from label_studio_stencil.plans.marker import Mark, Standing, intent_of, key_of, standing
from label_studio_stencil.plans.targets import check
from label_studio_stencil.policy import Patience, Retries
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report
from label_studio_stencil.sheet.sources import read_sheet
from tests.labelstudio.virtual import VirtualClock
from tests.provisioning.simulated import Fault, Faults, SimulatedClient, SimulatedLabelStudio

COLOR = "#112233"


async def batch(
    client: SimulatedClient,
    titles: Sequence[str],
    *,
    mode: Mode = "create",
    edition: Edition = Edition.ENTERPRISE,
    max_failures: str = "",
    **row: Any,
) -> Report:
    options = Options(template="1", workspace="1", mode=mode, max_concurrency=8, max_failures=max_failures)
    rows = [{"title": title, "color": COLOR, **row} for title in titles]
    pacer = Pacer(max_concurrency=8, clock=client.server.clock)
    label_studio = Instance(cast("LabelStudio", client), edition, pacer, "a simulated Label Studio")
    return await provision(check(read_sheet(rows), options), options, label_studio, retries=Retries(jitter=0.0))


async def on_clock(call: Callable[[VirtualClock], Awaitable[Any]]) -> Any:
    clock = VirtualClock()
    async with clock.running():
        return await call(clock)


def titles(number: int) -> list[str]:
    return [f"Project {each:04}" for each in range(number)]


def outcomes(report: Report) -> set[Outcome]:
    return {row.outcome for row in report.rows}


def once(method: str, number: int, fault: Fault) -> Faults:
    """One request of a kind goes wrong."""
    return lambda client, asked, count: fault if (asked, count) == (method, number) else None


def assert_one_each(server: SimulatedLabelStudio, names: Sequence[str]) -> None:
    for name in names:
        found = server.of(name)
        assert len(found) == 1, (name, found)
        assert standing(found[0]) is Standing.COMPLETE
        assert found[0].settings["color"] == COLOR
        assert found[0].description == "from the template"


def assert_log_keeps_the_protocol(server: SimulatedLabelStudio) -> None:
    """No delete without a read just before, and no write to a finished project."""
    for before, entry in pairwise(server.log):
        if entry.method == "DELETE":
            assert (before.method, before.project) == ("GET", entry.project)
    for entry in server.log:
        if entry.method == "PATCH" and entry.before is not None:
            assert standing(entry.before) is not Standing.COMPLETE, entry


async def test_a_row_costs_one_create_one_patch_and_a_share_of_a_look() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        client = server.client()
        report = await batch(client, titles(500))
        assert outcomes(report) == {Outcome.CREATED}
        assert_one_each(server, titles(500))
        assert (client.sent["POST"], client.sent["PATCH"]) == (500, 500)
        assert client.requests_sent <= 2.04 * 500

    await on_clock(run)


async def test_a_second_batch_of_the_same_sheet_writes_nothing() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        await batch(server.client(), titles(30))
        second = server.client("b")
        report = await batch(second, titles(30))
        assert outcomes(report) == {Outcome.EXISTS}
        assert set(second.sent) == {"LIST"}

    await on_clock(run)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(lost="before"), id="lost before the commit"),
        pytest.param(Fault(lost="after"), id="lost after the commit"),
        pytest.param(Fault(lost="late", seconds=1), id="landing after a second"),
        pytest.param(Fault(lost="late", seconds=25), id="landing after a re-send"),
        pytest.param(Fault(throttled=3.0), id="throttled"),
    ],
)
async def test_a_lost_answer_makes_no_twin_and_loses_no_row(method: str, fault: Fault) -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        report = await batch(server.client(faults=once(method, 3, fault)), titles(10))
        assert outcomes(report) <= {Outcome.CREATED, Outcome.EXISTS}
        assert_one_each(server, titles(10))
        assert_log_keeps_the_protocol(server)

    await on_clock(run)


async def test_a_server_that_replays_every_create_leaves_one_project_per_row() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        replay: Faults = lambda client, method, number: Fault(copies=3) if method == "POST" else None  # noqa: E731
        report = await batch(server.client(faults=replay), titles(20))
        assert outcomes(report) == {Outcome.CREATED}
        assert_one_each(server, titles(20))
        assert {row.project_id for row in report.rows} == set(server.projects)
        assert_log_keeps_the_protocol(server)

    await on_clock(run)


async def test_a_create_that_is_never_answered_and_never_seen_is_ambiguous_after_three_sends() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        lost: Faults = lambda client, method, number: Fault(lost="before") if method == "POST" else None  # noqa: E731
        client = server.client(faults=lost)
        report = await batch(client, ["Project"])
        assert outcomes(report) == {Outcome.AMBIGUOUS}
        assert client.sent["POST"] == 3
        assert any("project did not appear" in note for note in report.notes)

    await on_clock(run)


async def test_a_rejected_row_fails_with_the_servers_words_and_the_others_are_made() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        report = await batch(server.client(faults=once("POST", 2, Fault(status=400))), titles(5))
        assert report.counts[Outcome.FAILED] == 1
        assert report.counts[Outcome.CREATED] == 4

    await on_clock(run)


async def test_a_refused_finish_takes_its_own_placeholder_away() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        report = await batch(server.client(faults=once("PATCH", 2, Fault(status=400))), titles(5))
        assert report.counts[Outcome.FAILED] == 1
        assert len(server.projects) == 4
        assert_log_keeps_the_protocol(server)

    await on_clock(run)


async def test_an_unauthorized_answer_stops_the_batch() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        refuse: Faults = lambda client, method, number: Fault(status=401) if method == "POST" and number > 9 else None  # noqa: E731
        report = await batch(server.client(faults=refuse), titles(300))
        assert report.stopped
        assert outcomes(report) == {Outcome.CREATED, Outcome.UNPROCESSED}
        assert len(server.projects) == report.counts[Outcome.CREATED]

    await on_clock(run)


@pytest.mark.parametrize("lag", [0.0, 1.0], ids=["prompt list", "list one second behind"])
@pytest.mark.parametrize("behind", [0.0, 0.05, 2.0], ids=["in lockstep", "just behind", "well behind"])
async def test_two_batches_of_one_sheet_make_one_project_per_row_and_name_the_same(lag: float, behind: float) -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock, lag=lag)

        async def late() -> Report:
            await clock.sleep(behind)
            return await batch(server.client("b"), titles(40))

        first, second = await asyncio.gather(batch(server.client("a"), titles(40)), late())
        assert_one_each(server, titles(40))
        assert first.ok
        assert second.ok
        assert [row.project_id for row in first.rows] == [row.project_id for row in second.rows]

    await on_clock(run)


async def test_what_a_killed_batch_left_is_finished_by_a_rerun() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        dying = asyncio.ensure_future(batch(server.client(), titles(60)))
        while sum(entry.method == "PATCH" for entry in server.log) < 20:  # noqa: ASYNC110 - it runs in this very loop
            await asyncio.sleep(0)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        report = await batch(server.client("b"), titles(60))
        assert outcomes(report) == {Outcome.EXISTS, Outcome.RESUMED}
        assert_one_each(server, titles(60))

    await on_clock(run)


async def test_a_incomplete_project_that_somebody_changed_is_left_alone_and_said() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        mark = Mark(key_of(1, "Project"), "0" * 8, "1" * 8, "2" * 8)
        mine = server.make("Project", description=f"{mark} and my own words")
        report = await batch(server.client(), ["Project"])
        assert outcomes(report) == {Outcome.AMBIGUOUS}
        assert server.projects == {mine.id: mine}

    await on_clock(run)


async def test_a_project_of_the_same_title_elsewhere_or_of_a_longer_title_is_not_touched() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        others = [server.make("Project", workspace=2), server.make("Project 1")]
        report = await batch(server.client(), ["Project"])
        assert outcomes(report) == {Outcome.CREATED}
        assert [server.projects[other.id] for other in others] == others

    await on_clock(run)


async def test_a_title_made_by_hand_during_the_batch_is_yielded_to() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)

        def by_hand(client: str, method: str, number: int) -> Fault | None:
            if (method, number) == ("POST", 1):
                server.make("Project")
            return None

        report = await batch(server.client(faults=by_hand), ["Project"])
        assert outcomes(report) == {Outcome.EXISTS}
        assert [project.created_by for project in server.of("Project")] == [2]

    await on_clock(run)


async def test_an_abandoned_placeholder_of_another_intent_is_removed_once_its_lease_is_over() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        mark = Mark(key_of(1, "Project"), "0" * 8, "1" * 8, "2" * 8)
        server.make("Project", description=str(mark), user=1)
        report = await batch(server.client(), ["Project"])
        assert outcomes(report) == {Outcome.CREATED}
        assert_one_each(server, ["Project"])
        assert clock.now() > Patience().lease
        assert_log_keeps_the_protocol(server)

    await on_clock(run)


async def test_a_placeholder_of_another_user_is_never_removed() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        theirs = server.make("Project", description=str(Mark(key_of(1, "Project"), "0" * 8, "1" * 8, "2" * 8)), user=7)
        report = await batch(server.client(), ["Project"])
        assert outcomes(report) == {Outcome.AMBIGUOUS}
        assert server.projects == {theirs.id: theirs}

    await on_clock(run)


async def test_update_writes_only_what_differs() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        same = server.make("Same", color=COLOR, maximum_annotations=2)
        other = server.make("Other", color="#FFFFFF", maximum_annotations=2, description="mine")
        report = await batch(server.client(), ["Same", "Other"], mode="update", maximum_annotations=2)
        assert [row.outcome for row in report.rows] == [Outcome.UNCHANGED, Outcome.UPDATED]
        assert server.projects[same.id] == same
        assert server.projects[other.id] == replace(other, settings={**other.settings, "color": COLOR})
        assert [entry.body for entry in server.log if entry.method == "PATCH"] == [{"color": COLOR}]

    await on_clock(run)


@pytest.mark.parametrize(
    ("change", "reading", "outcome", "code"),
    [
        ({"title": "Kept for the audit"}, 1, Outcome.AMBIGUOUS, "renamed"),
        ({"title": "Kept for the audit"}, 2, Outcome.AMBIGUOUS, "renamed"),
        ({"workspace": 2}, 2, Outcome.AMBIGUOUS, "renamed"),
        (None, 1, Outcome.FAILED, "removed"),
        (None, 2, Outcome.FAILED, "removed"),
        ({"settings": {"color": COLOR, "maximum_annotations": 1}}, 2, Outcome.UNCHANGED, ""),
        ({"description": "An hour of work"}, 2, Outcome.UPDATED, ""),
    ],
)
async def test_an_update_reads_the_project_again_and_writes_to_no_other(
    change: dict[str, Any] | None, reading: int, outcome: Outcome, code: str
) -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        there = server.make("Mine", color="#FFFFFF", maximum_annotations=1, description="Mine")
        left: Project | None = there

        def colleague(_client: str, method: str, number: int) -> Fault | None:
            """Change the project before the plan, or the update, reads it by its id."""
            nonlocal left
            if left is there and (method == "PATCH" or (method, number) == ("GET", reading)):
                left = None if change is None else replace(there, **change)
                server.projects.pop(there.id)
                if left is not None:
                    server.put(left, there.id, "a colleague")
            return None

        report = await batch(server.client("a", colleague), ["Mine"], mode="update")
        assert (report.rows[0].outcome, report.rows[0].error_code) == (outcome, code)
        patches = [entry.body for entry in server.log if entry.method == "PATCH"]
        assert patches == ([{"color": COLOR}] if outcome is Outcome.UPDATED else [])
        if left is not None and not patches:
            assert server.projects[there.id] == left

    await on_clock(run)


async def test_a_row_that_could_not_be_updated_is_not_ok_because_of_the_leftover_beside_it() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        server.make("Mine", color="#FFFFFF", description="mine")
        server.make("Mine", description=str(Mark(key_of(1, "Mine"), "0" * 8, "1" * 8, "2" * 8)), user=1)
        await clock.sleep(3600)
        client = server.client("a", lambda _, method, __: Fault(lost="before") if method == "PATCH" else None)
        report = await batch(client, ["Mine"], mode="update")
        assert (report.rows[0].outcome, report.rows[0].error_code) == (Outcome.AMBIGUOUS, "gave-up")

    await on_clock(run)


# What exists, while others work


async def test_a_deletion_that_a_creation_hides_from_the_plan_hides_no_project() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock, page_size=10)
        for each in range(60):
            server.make(f"Older {each}")
        there = server.make("Mine", description="by hand")
        for each in range(60):
            server.make(f"Newer {each}")
        await clock.sleep(3600)

        def meanwhile() -> None:
            server.make("Another new one")
            server.put(None, 1)

        server.visits[8] = meanwhile
        client = server.client()
        client.pacer.max_concurrency = 1
        report = await batch(client, ["Mine", *titles(20)])
        assert (report.rows[0].outcome, report.rows[0].project_id) == (Outcome.EXISTS, there.id)

    await on_clock(run)


async def test_a_deletion_amid_the_list_of_one_title_hides_no_project() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock, page_size=10)
        there = server.make("Project 1", description="by hand")
        others = [server.make(f"Project 1{each:03}") for each in range(20)]
        for each in range(40):
            server.make(f"Newer {each}")
        await clock.sleep(3600)
        client = server.client()
        listed, asked = client.list_page, []

        async def list_page(page: int, **named: Any) -> Any:
            asked.append(named.get("title"))
            if asked.count("Project 1") == 3 and page == 3:
                server.put(None, others[-1].id)
            return await listed(page, **named)

        client.list_page = list_page  # type: ignore[method-assign]
        report = await batch(client, ["Project 1"])
        assert asked.count("Project 1") > 3
        assert (report.rows[0].outcome, report.rows[0].project_id) == (Outcome.EXISTS, there.id)

    await on_clock(run)


# What stops a batch, and what does not


async def test_a_studio_that_drops_marks_stops_the_batch() -> None:
    async def run(clock: VirtualClock) -> None:
        client = SimulatedLabelStudio(clock).client("a", lambda *_: Fault(description="ours is better"))
        client.pacer.max_concurrency = 8
        report = await batch(client, titles(300))
        assert "does not keep the description" in report.stopped
        assert client.sent["POST"] < 30
        assert {row.error_code for row in report.rows} == {"mark-not-kept", "stopped"}

    await on_clock(run)


async def test_a_row_counts_once_among_those_that_failed() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)

        def faults(_: str, method: str, number: int) -> Fault | None:
            if (method, number) == ("POST", 1):
                # Somebody makes two of that title by hand.
                server.make(titles(1)[0])
                server.make(titles(1)[0])
            return None

        report = await batch(server.client("a", faults), titles(10), max_failures="1")
        assert report.counts[Outcome.AMBIGUOUS] == 1
        assert not report.stopped

    await on_clock(run)


async def test_a_project_that_may_not_be_read_keeps_the_sweep_from_its_own_row_alone() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        client = server.client("a", lambda _, method, __: Fault(copies=1) if method == "POST" else None)
        read = client.project

        async def project(number: int, **named: Any) -> Any:
            if number == 1:
                raise Rejected("no permission (403)", status=403, detail="no permission")
            return await read(number, **named)

        client.project = project  # type: ignore[method-assign]
        await batch(client, titles(6))
        assert [len(server.of(name)) for name in titles(6)[1:]] == [1] * 5

    await on_clock(run)


async def test_a_proxys_page_in_place_of_a_project_makes_no_second_one() -> None:
    async def run(clock: VirtualClock) -> None:
        server = SimulatedLabelStudio(clock)
        client = server.client()
        update, pages = client.update_project, 2

        async def update_project(number: int, fields: Any, **named: Any) -> Any:
            nonlocal pages
            if pages:
                pages -= 1
                page = httpx.Response(404, headers={"content-type": "text/html"}, text="<h1>Not Found</h1>")
                answers.read(answers.Call("PATCH", f"/api/projects/{number}/"), page)
            return await update(number, fields, **named)

        client.update_project = update_project  # type: ignore[method-assign]
        report = await batch(client, titles(5))
        assert outcomes(report) == {Outcome.CREATED}
        assert_one_each(server, titles(5))

    await on_clock(run)


def test_the_intent_changes_with_template_overrides_and_description() -> None:
    base = intent_of("template:1:a", {"color": COLOR}, "")
    assert base != intent_of("template:2:a", {"color": COLOR}, "")
    assert base != intent_of("template:1:a", {"color": "#000000"}, "")
    assert base != intent_of("template:1:a", {"color": COLOR}, "said")
