"""A Label Studio that differs from what one would expect: whatever its lists, answers and outages, rows are made once.

The scenes draw all of these at random, and together; here is each alone, as it was first seen to go wrong.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import pytest

from label_studio_stencil.access import Instance
from label_studio_stencil.batch import provision
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.listing import ListUnusable
from label_studio_stencil.labelstudio.models import Edition, ProjectPage
from label_studio_stencil.options import Mode, Options
from label_studio_stencil.plans.marker import Standing, standing
from label_studio_stencil.plans.targets import check
from label_studio_stencil.policy import Retries
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report
from label_studio_stencil.sheet.sources import read_sheet
from tests.labelstudio.virtual import VirtualClock
from tests.provisioning.scenes import COLOR, DESCRIPTION, PATIENCE, Scene, Start, played
from tests.provisioning.simulated import Down, Fault, Request, SimulatedClient, SimulatedLabelStudio

Run = Callable[[SimulatedLabelStudio], Awaitable[Any]]


def on_clock(call: Run, **server: Any) -> Any:
    async def run() -> Any:
        clock = VirtualClock()
        async with clock.running():
            return await call(SimulatedLabelStudio(clock, **server))

    return asyncio.run(asyncio.wait_for(run(), 30))


def titles(number: int) -> list[str]:
    return [f"Project {each:04}" for each in range(number)]


async def batch(client: SimulatedClient, names: Sequence[str], at_once: int = 8, **options: Any) -> Report:
    client.pacer.max_concurrency = at_once
    chosen = Options(template="1", workspace="1", max_concurrency=at_once, **options)
    checked = check(read_sheet([{"title": name, "color": COLOR} for name in names]), chosen)
    label_studio = Instance(cast("LabelStudio", client), Edition.ENTERPRISE, client.pacer, "a simulated Label Studio")
    return await provision(checked, chosen, label_studio, patience=PATIENCE, retries=Retries(jitter=0.0))


def outcomes(report: Report) -> set[Outcome]:
    return {row.outcome for row in report.rows}


def assert_one_each(server: SimulatedLabelStudio, names: Sequence[str]) -> None:
    for name in names:
        (found,) = server.of(name)
        assert (standing(found), found.settings["color"]) == (Standing.COMPLETE, COLOR)
        assert found.description == DESCRIPTION


# Lists that lag


def test_a_rerun_by_a_list_two_minutes_behind_makes_nothing_a_second_time() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, Report]:
        first = await batch(server.client("a"), titles(40))
        server.lag = 120.0
        second = await batch(server.client("b"), titles(40))
        assert_one_each(server, titles(40))
        assert len(server.projects) == 40
        return first, second

    first, second = on_clock(run)
    assert outcomes(second) == {Outcome.EXISTS}
    assert [row.project_id for row in first.rows] == [row.project_id for row in second.rows]


def test_a_list_that_stays_behind_stops_the_batch_before_anything_is_set_up() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, SimulatedClient]:
        client = server.client()
        return await batch(client, titles(40)), client

    report, client = on_clock(run, lag=3600.0)
    assert outcomes(report) == {Outcome.UNPROCESSED}
    assert "behind its writes" in report.stopped
    assert client.sent["PATCH"] == 0
    assert client.sent["POST"] < 40
    assert all("a rerun finishes it" in row.error for row in report.rows if row.project_id)


def test_the_lag_that_was_seen_is_added_to_the_waits_for_rivals() -> None:
    async def run(server: SimulatedLabelStudio) -> float:
        others = asyncio.ensure_future(batch(server.client("b"), ["Project"]))
        await batch(server.client("a"), ["Project"])
        await others
        patches = [request.sent for request in server.requests if request.method == "PATCH"]
        return patches[0] - min(request.ended for request in server.requests if request.method == "POST")

    # The look has to wait for the list, and its row then for the rival and the list together.
    assert on_clock(run, lag=20.0) >= 20 + PATIENCE.rivals + 20


def test_a_project_that_was_deleted_holds_up_no_look() -> None:
    async def run(server: SimulatedLabelStudio) -> float:
        # The plan, and the creates; then somebody deletes one, and the list does not show it.
        server.visits[7] = lambda: server.put(None, min(server.projects))
        report = await batch(server.client(), titles(5))
        assert report.ok
        return server.clock.now() - 1000

    assert on_clock(run) < PATIENCE.longest_lag


# Lists in another order, or without all that they count


@pytest.mark.parametrize("order", ["oldest", "shuffled", "pinned"])
@pytest.mark.parametrize("there", [0, 150, 1100])
def test_a_list_in_another_order_hides_no_project(order: str, there: int) -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        server.order = order
        others = [server.make(f"Other {number}") for number in range(there)]
        mine = server.make("Project 0002", description=DESCRIPTION, color=COLOR)
        for number in range(there // 2):
            server.make(f"Newer {number}")
        await server.clock.sleep(3600)
        report = await batch(server.client(), titles(15))
        assert_one_each(server, titles(15))
        assert report.rows[2].project_id == mine.id
        assert all(server.projects[other.id] == other for other in others)
        return report

    report = on_clock(run)
    assert outcomes(report) == ({Outcome.CREATED, Outcome.EXISTS})


@pytest.mark.parametrize("there", [3, 150])
def test_a_list_that_counts_more_than_it_shows_is_refused_before_the_first_write(there: int) -> None:
    async def run(server: SimulatedLabelStudio) -> None:
        for number in range(there):
            server.make(f"Other {number}")
        await server.clock.sleep(3600)
        client, page = server.client(), server.page

        def hiding(*args: Any) -> ProjectPage:
            shown = page(*args)
            return replace(shown, projects=[project for project in shown.projects if project.id != 2])

        server.page = hiding  # type: ignore[method-assign, assignment]
        with pytest.raises(ListUnusable, match=f"counts {there} projects, but shows {there - 1}"):
            await batch(client, titles(200))
        assert set(client.sent) == {"LIST"}

    on_clock(run)


@pytest.mark.parametrize("order", ["oldest", "shuffled", "pinned"])
def test_a_list_that_shows_its_order_only_once_it_is_long_hides_no_rival(order: str) -> None:
    stage = played(Scene(rows=24, starts=(Start("a", at_once=4), Start("b", at=0.03, at_once=4)), order=order))
    assert all(stage.reports[name].ok for name in "ab")


# What answers leave out, or say wrongly


@pytest.mark.parametrize("share", [0.13, 1.0])
@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_list_that_leaves_keys_out_makes_no_row_exist_that_is_not_set_up(share: float, mode: Mode) -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, Report]:
        server.left_out = share
        reports = (
            await batch(server.client("a"), titles(40), mode=mode),
            await batch(server.client("b"), titles(40), mode=mode),
        )
        assert_one_each(server, titles(40))
        return reports

    first, second = on_clock(run)
    assert outcomes(first) == {Outcome.CREATED}
    assert outcomes(second) == {Outcome.EXISTS if mode == "create" else Outcome.UNCHANGED}


def faulty(method: str, fault: Fault, *numbers: int) -> Callable[[str, str, int], Fault | None]:
    """Something goes wrong with all requests of a kind, or with some."""
    return lambda _, asked, number: fault if asked == method and (not numbers or number in numbers) else None


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_answer_that_is_a_stale_copy_is_checked_by_reading_the_project(method: str) -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        report = await batch(server.client("a", faulty(method, Fault(echo="stale"))), titles(40))
        assert_one_each(server, titles(40))
        return report

    assert outcomes(on_clock(run)) == {Outcome.CREATED}


def test_an_update_whose_answer_is_a_stale_copy_is_checked_by_reading_the_project() -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        server.make("Project 0000", color="#FFFFFF", description=DESCRIPTION)
        return await batch(server.client("a", faulty("PATCH", Fault(echo="stale"))), titles(1), mode="update")

    assert outcomes(on_clock(run)) == {Outcome.UPDATED}


def test_an_answer_that_belongs_to_another_request_loses_no_project() -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        theirs = server.make("Somebody's own", description="by hand")
        report = await batch(server.client("a", faulty("POST", Fault(echo="other"), 3, 7)), titles(10))
        assert_one_each(server, titles(10))
        assert server.projects[theirs.id] == theirs
        return report

    report = on_clock(run)
    assert outcomes(report) == {Outcome.CREATED}
    assert not report.stopped


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_403_to_what_was_carried_out_anyway_leaves_nothing_incomplete(method: str) -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        report = await batch(server.client("a", faulty(method, Fault(status=403, copies=1))), titles(10))
        assert_one_each(server, titles(10))
        return report

    assert outcomes(on_clock(run)) == {Outcome.CREATED}


def test_a_403_to_what_was_not_carried_out_is_a_refusal() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, int]:
        client = server.client("a", faulty("POST", Fault(status=403)))
        return await batch(client, titles(10)), client.sent["POST"]

    report, sent = on_clock(run)
    assert ({row.error_code for row in report.rows}, outcomes(report), sent) == ({"rejected"}, {Outcome.FAILED}, 10)


# Outages


@pytest.mark.parametrize("how", ["refused", "502", "504"])
@pytest.mark.parametrize("seconds", [48.0, 510.0])
def test_an_outage_is_waited_for_and_costs_no_row(how: str, seconds: float) -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, list[Request], float]:
        back = server.clock.now() + 0.1 + seconds
        server.down = [Down(back - seconds, seconds, how)]
        report = await batch(server.client(), titles(80), at_once=4)
        assert_one_each(server, titles(80))
        return report, [request for request in server.requests if request.method == "POST"], back

    report, creates, back = on_clock(run)
    assert outcomes(report) == {Outcome.CREATED}
    assert sum(back - seconds <= each.sent < back for each in creates) <= 5
    first, second = [each for each in creates if each.sent >= back][:2]
    # One goes first, and the others follow its answer.
    assert second.sent >= first.ended


def test_an_outage_that_lasts_too_long_stops_the_batch_and_only_lost_creates_are_unclear() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, SimulatedClient, int, float]:
        began = server.clock.now()
        server.down = [Down(began + 0.1, 1e9, "502")]
        client = server.client()
        report = await batch(client, titles(80), at_once=4)
        lost = [each for each in server.requests if each.method == "POST" and each.sent >= began + 0.09]
        return report, client, len(lost), server.clock.now() - began

    report, client, lost, seconds = on_clock(run)
    assert "Label Studio was unavailable for 60" in report.stopped
    assert 0 < report.counts[Outcome.AMBIGUOUS] <= lost <= 5
    assert outcomes(report) <= {Outcome.CREATED, Outcome.AMBIGUOUS, Outcome.UNPROCESSED}
    # Probes, 1 to 30 seconds apart.
    assert client.sent["WHOAMI"] <= 30
    assert 600 <= seconds < 700


def test_a_batch_that_is_to_stop_does_not_wait_for_the_end_of_an_outage() -> None:
    async def run(server: SimulatedLabelStudio) -> float:
        client = server.client()
        server.down = [Down(server.clock.now() + 0.1, 1e9, "502")]
        under_way = asyncio.ensure_future(batch(client, titles(80), longest_outage=86_400))
        await server.clock.sleep(100)
        began = server.clock.now()
        client.outage.is_hurried = lambda: True
        await under_way
        return server.clock.now() - began

    assert on_clock(run) < 60


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "label_studio_stencil")

    async def run(server: SimulatedLabelStudio) -> None:
        server.down = [Down(server.clock.now() + 0.1, 48.0, "502")]
        await batch(server.client(), titles(80), at_once=8)

    on_clock(run)
    said = [record.message for record in caplog.records if "Label Studio" in record.message]
    assert [line.partition(" (")[0].partition(",")[0] for line in said] == [
        "Label Studio is unavailable",
        "Label Studio answers again",
    ]


# Look-alikes


@pytest.mark.parametrize("title", ["\u200bProject", "project", "\uff30roject", "Pro\u00adject"], ids=ascii)
def test_a_project_that_only_looks_like_the_rows_makes_it_ambiguous(title: str) -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, Report]:
        there = server.make(title)
        refused = await batch(server.client("a"), ["Project"])
        assert server.projects == {there.id: there}
        assert refused.rows[0].project_id == there.id
        return refused, await batch(server.client("b"), ["Project"], allow_lookalikes=True)

    refused, allowed = on_clock(run)
    assert (outcomes(refused), refused.rows[0].error_code) == ({Outcome.AMBIGUOUS}, "lookalike")
    assert outcomes(allowed) == {Outcome.CREATED}


def test_a_project_of_the_very_title_counts_and_a_lookalike_beside_it_is_noted() -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        server.make("\u200bProject")
        server.make("Project")
        server.make("project", workspace=2)
        return await batch(server.client(), ["Project"])

    report = on_clock(run)
    assert (outcomes(report), report.rows[0].project_id) == ({Outcome.EXISTS}, 2)
    assert any("line 2: project 1" in note for note in report.notes)


# A process that is stopped, and goes on


@pytest.mark.parametrize("stops_at", range(2, 30, 3))
@pytest.mark.parametrize("stops_for", [40.0, 400.0])
def test_a_process_that_is_stopped_while_another_one_makes_its_rows_makes_no_duplicates(
    stops_at: int, stops_for: float
) -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, Report]:
        stopped = server.client("a")
        stopped.stops_at, stopped.stops_for = stops_at, stops_for

        async def later() -> Report:
            await server.clock.sleep(5)
            return await batch(server.client("b"), titles(12))

        reports = await asyncio.gather(batch(stopped, titles(12)), later())
        assert_one_each(server, titles(12))
        return reports[0], reports[1]

    first, second = on_clock(run)
    assert first.ok
    assert second.ok
    assert [row.project_id for row in first.rows] == [row.project_id for row in second.rows]


def test_a_wait_of_more_than_five_seconds_says_for_what(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "label_studio_stencil")

    async def run(server: SimulatedLabelStudio) -> None:
        others = asyncio.ensure_future(batch(server.client("b"), titles(40)))
        await batch(server.client("a"), titles(40))
        await others

    on_clock(run)
    waits = [record.message for record in caplog.records if record.message.startswith("Waiting: ")]
    assert "Waiting: another batch is making the same project (up to 30 s)" in waits
    # Forty rows that wait for the same are one line for each batch.
    assert len(waits) < 8
