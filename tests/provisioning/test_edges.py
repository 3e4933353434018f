"""Edges of the protocol that a random scene seldom meets, one by one."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast
from unittest.mock import AsyncMock, patch

import pytest

from label_studio_stencil.access import Instance
from label_studio_stencil.batch import prepare
from label_studio_stencil.engine import completion, deletion
from label_studio_stencil.engine.context import RowsWaiting
from label_studio_stencil.engine.engine import Engine
from label_studio_stencil.engine.look import Look
from label_studio_stencil.engine.protocol import Twins, winner_of
from label_studio_stencil.engine.steps import StepRunner
from label_studio_stencil.engine.stop import PAUSED, Stopping
from label_studio_stencil.engine.ticket import Answer, Send, Ticket
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Edition, Project, ProjectPage
from label_studio_stencil.labelstudio.pacing import IMPORT, Pacer
from label_studio_stencil.options import Options
from label_studio_stencil.plans.marker import Mark, Standing, key_of, standing
from label_studio_stencil.plans.pending import with_pending
from label_studio_stencil.plans.targets import Checked, check
from label_studio_stencil.policy import Patience
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report
from label_studio_stencil.sheet.sources import read_sheet
from tests.labelstudio.virtual import VirtualClock
from tests.provisioning.scenes import (
    COLOR,
    DESCRIPTION,
    PAGE,
    PATIENCE,
    STEPS,
    TASKS,
    Scene,
    Start,
    Visit,
    one_batch,
    played,
    title,
)
from tests.provisioning.simulated import START, Fault, Faults, Imports, Request, SimulatedClient, SimulatedLabelStudio


def on_clock(call: Callable[[SimulatedLabelStudio], Awaitable[Any]], **label_studio: Any) -> Any:
    async def run() -> Any:
        clock = VirtualClock()
        async with clock.running():
            return await call(SimulatedLabelStudio(clock, page_size=PAGE, **label_studio))

    return asyncio.run(asyncio.wait_for(run(), 30))


def titles(number: int) -> list[str]:
    return [title(row) for row in range(number)]


def faults(**named: Fault) -> Faults:
    """What goes wrong with requests such as `POST_2`."""
    return lambda client, method, number: named.get(f"{method}_{number}") or named.get(method)


def batch(rows: int = 1, **named: Fault) -> tuple[SimulatedLabelStudio, SimulatedClient, Report]:
    """A batch of some rows, after its end."""

    async def run(server: SimulatedLabelStudio) -> tuple[SimulatedLabelStudio, SimulatedClient, Report]:
        client = server.client("a", faults(**named))
        return server, client, await one_batch(client, titles(rows))

    return cast("tuple[SimulatedLabelStudio, SimulatedClient, Report]", on_clock(run))


async def engine_of(client: SimulatedClient, rows: int = 1, patience: Patience = PATIENCE) -> Engine:
    options = Options(template="1", workspace="1")
    label_studio = Instance(
        cast("LabelStudio", client), Edition.ENTERPRISE, Pacer(clock=client.server.clock), "a simulated Label Studio"
    )
    checked = check(read_sheet([{"title": name, "color": COLOR} for name in titles(rows)]), options)
    return (await prepare(checked, options, label_studio, patience=patience)).engine


def marked(server: SimulatedLabelStudio, batch: str = "1" * 8, send: str = "2" * 8, **changed: Any) -> Project:
    mark = Mark(key_of(1, title(0)), "0" * 8, batch, send)
    return server.make(title(0), description=str(mark), user=1, **changed)


# Refusals


@pytest.mark.parametrize("fault", [Fault(status=409), Fault(status=400, field="title")], ids=["409", "names the title"])
def test_a_create_refused_for_its_title_is_looked_for_and_fails_alone(fault: Fault) -> None:
    _, client, report = batch(3, POST_2=fault)
    assert [row.outcome for row in report.rows] == [Outcome.CREATED, Outcome.FAILED, Outcome.CREATED]
    assert client.sent["POST"] == 3


def test_a_create_refused_for_its_title_yields_to_the_project_that_has_it() -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        def taken(client: str, method: str, number: int) -> Fault | None:
            if method != "POST":
                return None
            server.make(title(0))
            return Fault(status=409)

        return await one_batch(server.client("a", taken), titles(1))

    assert on_clock(run).rows[0].outcome is Outcome.EXISTS


def test_a_create_refused_after_a_lost_one_is_not_sent_again() -> None:
    _, client, report = batch(POST_1=Fault(lost="before"), POST=Fault(status=400))
    assert (report.rows[0].outcome, report.rows[0].error_code) == (Outcome.FAILED, "rejected")
    assert client.sent["POST"] == 2


def test_a_lost_create_that_lands_after_its_second_was_refused_is_finished_anyway() -> None:
    server, _, report = batch(POST_1=Fault(lost="late", seconds=30), POST=Fault(status=400))
    assert report.rows[0].outcome is Outcome.CREATED
    assert [project.description for project in server.of(title(0))] == [DESCRIPTION]


def test_a_refused_finish_whose_placeholder_was_deleted_without_an_answer_makes_no_second_placeholder() -> None:
    server, client, report = batch(PATCH=Fault(status=400), DELETE_1=Fault(lost="after"))
    assert report.rows[0].outcome is Outcome.FAILED
    assert (client.sent["POST"], server.of(title(0))) == (1, [])


def test_a_refused_finish_takes_the_copies_away_that_the_server_made() -> None:
    server, _, report = batch(POST_1=Fault(copies=3), PATCH=Fault(status=400))
    assert report.rows[0].outcome is Outcome.FAILED
    assert server.of(title(0)) == []


def test_a_finish_answered_503_and_carried_out_anyway_is_created() -> None:
    _, client, report = batch(PATCH_1=Fault(throttled=1.0, status=503, copies=1))
    assert report.rows[0].outcome is Outcome.CREATED
    assert client.sent["PATCH"] == 1


def test_a_project_to_which_the_studio_gave_another_title_is_said_and_not_made_again() -> None:
    _, client, report = batch(POST_1=Fault(title="Another title"))
    assert (report.rows[0].outcome, report.rows[0].error_code) == (Outcome.AMBIGUOUS, "renamed")
    assert report.rows[0].project_id is not None
    assert client.sent["POST"] == 1


def test_nothing_is_written_to_what_a_template_may_still_change() -> None:
    server, _, _ = batch()
    assert [entry.body for entry in server.log if entry.method == "PATCH"] == [
        {"color": COLOR, "description": DESCRIPTION}
    ]


def test_a_project_whose_mark_the_studio_did_not_keep_is_said_and_not_made_again() -> None:
    _, client, report = batch(POST_1=Fault(description="ours is better"))
    assert (report.rows[0].outcome, report.rows[0].error_code) == (Outcome.AMBIGUOUS, "mark-not-kept")
    assert client.sent["POST"] == 1


# Waits


def test_a_create_whose_answer_was_lost_is_looked_for_twice_and_ten_seconds_before_it_is_sent_again() -> None:
    server, _, _ = batch(POST_1=Fault(lost="before"))
    first, second = (request for request in server.requests if request.method == "POST")
    looks = [each for each in server.requests if each.method == "LIST" and first.ended < each.sent < second.sent]
    assert second.sent - first.ended >= sum(PATIENCE.unanswered)
    assert len(looks) == len(PATIENCE.unanswered)


def test_two_batches_that_see_each_others_placeholders_wait_before_one_is_finished() -> None:
    stage = played(Scene(starts=(Start("a"), Start("b"))))
    patches = [request.sent for request in stage.server.requests if request.method == "PATCH"]
    assert patches[0] - 1060 >= PATIENCE.rivals


def test_a_rival_that_was_finished_since_the_look_is_not_outrun() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[bool, bool]:
        rival, own = marked(server, "1" * 8), marked(server, "3" * 8)
        engine = await engine_of(server.client())
        ticket = ticket_of(engine, rival, own)
        ticket.rivals = {each.id: each.description for each in (rival, own)}
        before = await completion.unchanged(engine._context, ticket, own)
        server.put(replace(rival, description=DESCRIPTION), rival.id)
        return before, await completion.unchanged(engine._context, ticket, own)

    assert on_clock(run) == (True, False)


def test_a_finish_that_was_held_back_until_its_look_was_old_is_decided_anew() -> None:
    async def run(server: SimulatedLabelStudio) -> list[str]:
        client = server.client()
        server.visits[3] = lambda: client.pacer.pause(PATIENCE.fresh + 1)
        await one_batch(client, titles(1))
        return [request.method for request in server.requests]

    # The third request is the look: after it everything has to wait.
    assert on_clock(run) == ["LIST", "POST", "LIST", "LIST", "PATCH"]


def test_a_deletion_that_was_held_back_is_decided_by_a_new_reading() -> None:
    async def run(server: SimulatedLabelStudio) -> list[str]:
        client = server.client("a", faults(PATCH=Fault(status=400)))
        # The sixth request is the reading before the deletion, after plan, create, look, finish and the question who we are.
        server.visits[6] = lambda: client.pacer.pause(PATIENCE.read + 1)
        await one_batch(client, titles(1))
        return [request.method for request in server.requests if request.method in ("GET", "DELETE")]

    assert on_clock(run) == ["GET", "GET", "DELETE"]


def test_what_lands_after_its_row_was_made_by_a_second_create_is_removed_by_the_same_batch() -> None:
    server, _, report = batch(POST_1=Fault(lost="late", seconds=50))
    assert [project.id for project in server.of(title(0))] == [report.rows[0].project_id]


# Looks


def test_a_rival_made_between_the_plan_and_the_first_look_is_seen_however_far_down() -> None:
    # The first create takes two seconds, in which the rival makes all rows: several pages of them.
    slow = ("b", "POST", 1, Fault(delay=2.0))
    stage = played(Scene(rows=30, starts=(Start("a"), Start("b", at_once=1)), faults=(slow,)))
    assert stage.reports["a"].ok
    assert stage.reports["b"].ok


def test_a_rival_whose_low_id_is_committed_behind_the_looks_is_found_at_the_end() -> None:
    # The first create gets its id at once and its commit after three seconds; by then the rival has planned, past it, and it
    # makes that row itself, and nothing odd happens to any other.
    held = (("a", "POST", 1, Fault(delay=3.0)), ("b", "POST", 1, Fault(throttled=3.5)))
    stage = played(Scene(rows=30, starts=(Start("a"), Start("b", at=1.0)), faults=held))
    assert stage.reports["a"].rows[0].project_id == stage.reports["b"].rows[0].project_id


def test_a_list_that_shows_an_older_state_does_not_outrank_a_reading_by_id() -> None:
    async def run(server: SimulatedLabelStudio) -> list[str]:
        project = marked(server)
        server.lag = 5.0
        await server.clock.sleep(10)
        engine = await engine_of(server.client())
        server.put(replace(project, description="done"), project.id)
        await engine._looks.read(project.id)
        found = await engine._looks.siblings(key_of(1, title(0)), (), await engine._looks.look(0))
        return [each.description for each in found]

    assert on_clock(run) == ["done"]


def test_a_rivals_placeholder_of_which_a_list_leaves_a_key_out_is_read_by_its_id() -> None:
    async def run(server: SimulatedLabelStudio) -> list[Standing]:
        found = []
        for _ in range(8):
            engine = await engine_of(server.client())
            rival = marked(server)
            server.left_out = 1.0
            look = await engine._looks.look(0)
            found += await engine._looks.siblings(key_of(1, title(0)), (), look)
            server.put(None, rival.id)
            server.left_out = 0.0
        return [standing(project) for project in found]

    assert on_clock(run) == [Standing.MARKED] * 8


def test_nothing_is_deleted_while_a_look_of_our_own_reads_its_pages() -> None:
    refusals = tuple(("a", "PATCH", number, Fault(status=400)) for number in range(1, 40, 2))
    slow = tuple(("a", "POST", number, Fault(delay=number / 50)) for number in range(1, 40))
    stage = played(Scene(rows=40, starts=(Start("a", at_once=4),), faults=refusals + slow, older=25))
    assert any(request.method == "DELETE" and request.client == "a" for request in stage.server.requests)


def test_a_look_in_which_projects_vanish_is_read_again_and_given_up_in_the_end() -> None:
    async def run(server: SimulatedLabelStudio) -> str:
        for number in range(60):
            server.make(f"Older {number}")
        engine = await engine_of(server.client())
        for request in range(1, 200):
            server.visits[request] = lambda: server.put(None, max(server.projects))
        with pytest.raises(Exception, match="deleted each time") as raised:
            await engine._looks.look(0)
        return str(raised.value)

    assert on_clock(run)


def test_the_error_of_a_look_reaches_all_rows_that_wait_for_it() -> None:
    async def run(server: SimulatedLabelStudio) -> None:
        client = server.client()
        engine = await engine_of(client, 3)

        async def broken(*_: object, **__: object) -> ProjectPage:
            raise RuntimeError("broken")

        client.list_page = broken  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="broken"):
            await engine.attempt(engine.tickets)

    on_clock(run)


# The plan


def test_a_plan_sees_the_oldest_project_while_others_are_created() -> None:
    async def run(server: SimulatedLabelStudio) -> Report:
        server.make(title(0))
        for number in range(25):
            server.make(f"Older {number}")
        for request in range(2, 6):
            server.visits[request] = lambda: [server.make("New") for _ in range(PAGE)].clear()
        return await one_batch(server.client(), titles(5))

    assert on_clock(run).rows[0].outcome is Outcome.EXISTS


@pytest.mark.parametrize(
    ("rows", "others", "most"),
    [
        # The first page, and the look-ups; with their common beginning they would find everything.
        pytest.param([f"{row:02} of May" for row in range(20)], "Of April {}", 1 + 20, id="no common beginning"),
        pytest.param([f"May, {row:02}" for row in range(20)], "Of April {}", 1 + 1 + 2, id="a common beginning"),
        # Each is part of many other titles: the first eight show it, and then the 62 pages are read.
        pytest.param(
            [f"Of {row}" for row in range(1, 21)], "Of {0:03}, Of {0}{0}, Of 1", 8 + 1 + 62, id="short titles"
        ),
    ],
)
def test_a_plan_takes_the_way_of_fewest_requests(rows: list[str], others: str, most: int) -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, int]:
        for name in (*rows, *(others.format(number) for number in range(600))):
            server.make(name)
        await server.clock.sleep(1000)
        report = await one_batch(server.client(), rows)
        return report, sum(method == "LIST" for _, method, _ in server.asked)

    report, requests = on_clock(run)
    assert {row.outcome for row in report.rows} == {Outcome.EXISTS}
    assert requests <= most


def test_a_plan_of_a_list_that_never_holds_still_looks_titles_up() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[Report, set[str]]:
        server.make(title(0))
        others = [server.make(f"Older {number}") for number in range(60)]
        for request in range(1, 40):
            server.visits[request] = lambda: server.put(None, others.pop(0).id)
        report = await one_batch(server.client(), titles(9))
        return report, {request.title for request in server.requests if request.method == "LIST"}

    report, asked = on_clock(run)
    assert report.rows[0].outcome is Outcome.EXISTS
    assert asked != {""}


# Twins


def complete(server: SimulatedLabelStudio) -> Project:
    return server.make(title(0), description=DESCRIPTION, user=1, color=COLOR)


def ticket_of(engine: Engine, *known: Project) -> Ticket:
    ticket = engine.tickets[0]
    ticket.outcome, ticket.known = None, {project.id for project in known}
    return ticket


@pytest.mark.parametrize("gone", [False, True], ids=["its twin is there", "its twin was deleted meanwhile"])
def test_an_own_surplus_is_deleted_only_while_its_twin_is_there(gone: bool) -> None:
    async def run(server: SimulatedLabelStudio) -> set[int]:
        engine = await engine_of(server.client())
        twin, own = complete(server), complete(server)
        engine._looks.proven.add(own.id)
        if gone:
            server.put(None, twin.id)
        ticket = ticket_of(engine, twin, own)
        await engine._carry_out(ticket, Twins(own), Look(0.0))
        return {twin.id, own.id} - set(server.projects)

    # With the twin gone, the own project is the only one that is left.
    assert on_clock(run) == ({1} if gone else {2})


@pytest.mark.parametrize("change", [{"settings": {"color": "#000000"}}, {"tasks": 3}], ids=["settings", "tasks"])
def test_a_surplus_twin_that_somebody_has_worked_on_stays(change: dict[str, Any]) -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[set[int], Outcome | None]:
        engine = await engine_of(server.client())
        twin, own = complete(server), complete(server)
        engine._looks.proven.add(own.id)
        server.put(replace(own, **change), own.id)
        ticket = ticket_of(engine, twin, own)
        await engine._carry_out(ticket, Twins(own), Look(0.0))
        return set(server.projects), ticket.outcome

    assert on_clock(run) == ({1, 2}, Outcome.AMBIGUOUS)


def test_a_loser_stays_while_the_project_that_it_lost_to_is_gone() -> None:
    async def run(server: SimulatedLabelStudio) -> list[Project]:
        winner = complete(server)
        marked(server)
        engine = await engine_of(server.client())
        server.lag = 5.0
        await server.clock.sleep(10)
        # The list still shows it when the sweep begins.
        server.put(None, winner.id)
        await engine.sweep()
        return server.of(title(0))

    # What was left of another intent was removed once its lease was over, and the row made anew.
    assert [project.description for project in on_clock(run)] == [DESCRIPTION]


def test_a_list_that_still_shows_what_we_removed_does_not_bring_it_back() -> None:
    async def run(server: SimulatedLabelStudio) -> Counter[str]:
        marked(server)
        server.lag = 5.0
        await server.clock.sleep(400)
        client = server.client()
        await one_batch(client, titles(1))
        return client.sent

    sent = on_clock(run)
    assert (sent["POST"], sent["DELETE"]) == (1, 1)
    assert sent["GET"] < 6


@pytest.mark.parametrize("change", [{"tasks": 1}, {"description": " [mine]"}], ids=["annotated", "described"])
def test_a_placeholder_that_somebody_has_worked_on_before_the_look_is_left_and_nothing_else_is_made(
    change: Any,
) -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[SimulatedClient, Report]:
        def touch() -> None:
            create = server.of(title(0))[0]
            changed = {"tasks": 1} if "tasks" in change else {"description": create.description + change["description"]}
            server.put(replace(create, **changed), create.id)

        client = server.client()
        server.visits[3] = touch
        return client, await one_batch(client, titles(1))

    client, report = on_clock(run)
    assert report.rows[0].outcome is Outcome.AMBIGUOUS
    assert (client.sent["POST"], client.sent["PATCH"], client.sent["DELETE"]) == (1, 0, 0)


def test_a_title_that_somebody_made_by_hand_is_yielded_to_at_the_first_look() -> None:
    async def run(server: SimulatedLabelStudio) -> Ticket:
        engine = await engine_of(server.client())
        server.make(title(0))
        await engine.attempt(engine.tickets)
        return engine.tickets[0]

    assert on_clock(run).outcome is Outcome.EXISTS


def test_the_winner_of_replayed_copies_is_the_answered_one_and_of_a_sent_patch_the_patched_one() -> None:
    def made(number: int, send: str) -> Project:
        mark = str(Mark(key_of(1, title(0)), "0" * 8, "1" * 8, send))
        return Project(number, title(0), mark, 1, START, 1, 0)

    async def run(server: SimulatedLabelStudio) -> Ticket:
        return (await engine_of(server.client())).tickets[0]

    ticket = on_clock(run)
    ticket.sends = [Send("a" * 8, 0, START, answer=Answer.CREATED, project=6)]
    copies = (made(5, "a" * 8), made(6, "a" * 8), made(7, "a" * 8))
    assert winner_of(ticket, copies).id == 6
    assert winner_of(ticket, (*copies, made(9, "b" * 8))).id == 6
    assert winner_of(ticket, (made(2, "b" * 8), made(3, "b" * 8), *copies)).id == 3
    ticket.patched = {7}
    assert winner_of(ticket, (made(2, "b" * 8), *copies)).id == 7


# Ends


async def cut_off_after(sends: int, client: SimulatedClient, engine: Engine) -> None:
    """An attempt at all rows that is cancelled when it has sent so many requests."""
    attempt = asyncio.ensure_future(engine.attempt(engine.tickets))
    already = client.sent.total()
    while client.sent.total() <= already + sends and not attempt.done():  # noqa: ASYNC110 - it runs in this very loop
        await asyncio.sleep(0)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)


def test_a_cancelled_attempt_leaves_every_row_with_its_outcome_and_nothing_that_hangs() -> None:
    for sends in range(0, 40, 3):

        async def run(server: SimulatedLabelStudio, sends: int = sends) -> None:
            client = server.client()
            engine = await engine_of(client, 20)
            await cut_off_after(sends, client, engine)
            for ticket in engine.tickets:
                assert ticket.outcome in {Outcome.UNPROCESSED, Outcome.CREATED}
                created = any(send.project for send in ticket.sends)
                assert ticket.outcome is Outcome.CREATED or (ticket.project is not None) == created
            assert not engine._looks._creating
            assert engine._looks._places._value == 2 * PATIENCE.window

        on_clock(run)


def test_what_a_cancellation_cut_off_is_finished_and_nothing_else_is_made() -> None:
    for sends in range(3, 60, 4):

        async def run(server: SimulatedLabelStudio, sends: int = sends) -> None:
            client = server.client()
            engine = await engine_of(client, 40)
            await cut_off_after(sends, client, engine)
            created = [each for each in engine.tickets if any(send.answer is Answer.CREATED for send in each.sends)]
            creates = client.sent["POST"]
            engine.stopping.stop("cancelled")
            await engine.complete_placeholders()
            assert client.sent["POST"] == creates
            assert {ticket.outcome for ticket in created} <= {Outcome.CREATED}
            assert {ticket.outcome for ticket in engine.tickets} <= {Outcome.CREATED, Outcome.UNPROCESSED}

        on_clock(run)


def test_a_cancellation_before_any_row_had_its_turn_leaves_every_row_with_its_outcome() -> None:
    async def run(server: SimulatedLabelStudio) -> set[Outcome | None]:
        engine = await engine_of(server.client(), 5)
        attempt = asyncio.ensure_future(engine.attempt(engine.tickets))
        await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        return {ticket.outcome for ticket in engine.tickets}

    assert on_clock(run) == {Outcome.UNPROCESSED}


def test_no_look_begins_for_rows_that_were_cancelled() -> None:
    async def run(server: SimulatedLabelStudio) -> list[Request]:
        client = server.client()
        engine = await engine_of(client, 20)
        attempt = asyncio.ensure_future(engine.attempt(engine.tickets))
        while not (engine._looks._reader and engine._looks._waiting):  # noqa: ASYNC110 - it runs in this very loop
            await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        before = len(server.requests)
        await server.clock.sleep(60)
        return [request for request in server.requests[before:] if request.page == 1]

    assert on_clock(run) == []


def test_a_look_that_waits_for_the_list_ends_with_its_batch() -> None:
    """A program goes on after a batch that it has cancelled twice, and nothing of it asks Label Studio any more."""

    async def run(server: SimulatedLabelStudio) -> set[asyncio.Task[Any]]:
        engine = await engine_of(server.client(), 3)
        server.lag = 3600.0
        before = asyncio.all_tasks()
        attempt = asyncio.ensure_future(engine.attempt(engine.tickets))
        await server.clock.sleep(10)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        await asyncio.gather(*engine.cut(), return_exceptions=True)
        return asyncio.all_tasks() - before

    assert on_clock(run) == set()


def test_what_stops_a_paused_batch_is_not_forgotten_at_its_end() -> None:
    stopping = Stopping()
    stopping.stop(PAUSED)
    stopping.stop("the token is not taken")
    stopping.stop(PAUSED)
    stopping.go_on()
    assert stopping.reason == "the token is not taken"


def test_a_row_that_waits_for_another_try_has_a_report_if_the_batch_ends_there() -> None:
    async def run(server: SimulatedLabelStudio) -> Ticket:
        marked(server)
        engine = await engine_of(server.client())
        with pytest.raises(RowsWaiting):
            await engine.attempt(engine.tickets)
        return engine.tickets[0]

    ticket = on_clock(run)
    assert (ticket.outcome, ticket.project) == (None, 1)
    assert "a rerun finishes it" in ticket.error


def test_a_sweep_without_a_token_ends_at_once_and_says_so() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[float, Report]:
        report = await one_batch(
            server.client("a", faults(POST_1=Fault(copies=1), DELETE=Fault(status=401))), titles(2)
        )
        return server.clock.now() - 1000, report

    seconds, report = on_clock(run)
    assert seconds < 30
    assert report.stopped
    assert any("sweep" in note for note in report.notes)
    assert {row.outcome for row in report.rows} == {Outcome.CREATED}


@pytest.mark.parametrize("held_back", [0.0, 14.0], ids=["sent at once", "held back, as after a 429"])
def test_the_answer_to_a_finish_is_not_waited_for_longer_than_rivals_wait(held_back: float) -> None:
    """They wait from their look on, and so does it; by another clock than the loop's, which here stands still meanwhile."""

    async def run(server: SimulatedLabelStudio) -> tuple[Outcome | None, int]:
        client = server.client()
        engine = await engine_of(client, patience=replace(PATIENCE, patch=held_back + 0.5))
        update = client.update_project

        async def silent(*args: Any, **named: Any) -> Project:
            client.update_project = update  # type: ignore[method-assign]
            await server.clock.sleep(held_back)
            named["before"]()
            await asyncio.Event().wait()
            raise AssertionError

        client.update_project = silent  # type: ignore[method-assign]
        began = asyncio.get_running_loop().time()
        with pytest.raises(RowsWaiting, match="no answer to the PATCH"):
            await engine.attempt(engine.tickets)
        assert asyncio.get_running_loop().time() - began < 10
        await engine.attempt(engine.tickets)
        return engine.tickets[0].outcome, client.sent["PATCH"]

    assert on_clock(run) == (Outcome.CREATED, 1)


def test_a_whole_window_that_waits_and_a_batch_smaller_than_a_window_both_come_to_their_look() -> None:
    for rows in (1, 5, 6, 7, 12, 13, 25):
        assert batch(rows)[2].ok


def test_a_project_that_a_colleague_deletes_before_the_sweep_is_reported() -> None:
    # A second copy makes the row odd; then somebody deletes what is there.
    stage = played(
        Scene(faults=(("a", "POST", 1, Fault(copies=1)),), visits=(Visit(5, "delete", 0), Visit(6, "delete", 0)))
    )
    assert stage.rows(title(0))["a"] in {Outcome.FAILED, Outcome.CREATED}


def test_a_deletion_waits_for_the_last_page_of_a_look_that_is_under_way() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[float, float]:
        for number in range(60):
            server.make(f"Older {number}")
        project = marked(server)
        engine = await engine_of(server.client())
        before = len(server.requests)
        look = asyncio.ensure_future(engine._looks.look(0))
        while len(server.requests) == before:  # noqa: ASYNC110 - it runs in this very loop
            await asyncio.sleep(0)
        assert await deletion.remove(engine._context, project)
        await look
        sent = server.requests[before:]
        last_page = [request.ended for request in sent if request.method == "LIST"][-1]
        return last_page, next(request.sent for request in sent if request.method == "DELETE")

    last_page, deleted = on_clock(run)
    assert last_page <= deleted


def test_the_sweep_waits_for_what_may_land_late_however_short_other_waits_are() -> None:
    async def run(server: SimulatedLabelStudio) -> int:
        patience = replace(PATIENCE, rivals=3.0, fresh=1.5, patch=2.0)
        engine = await engine_of(server.client("a", faults(POST_1=Fault(lost="late", seconds=50))), patience=patience)
        for _ in range(9):
            with contextlib.suppress(RowsWaiting):
                await engine.attempt(engine.tickets)
            await server.clock.sleep(2.0)
        await engine.sweep()
        await server.clock.sleep(60)
        server.land()
        return len(server.of(title(0)))

    assert on_clock(run) == 1


def test_a_stopped_batch_creates_nothing_more_and_completes_its_placeholders() -> None:
    async def run(server: SimulatedLabelStudio) -> tuple[int, set[Outcome | None]]:
        client = server.client()
        engine = await engine_of(client, 60)
        engine.when_done(lambda ticket: engine.stopping.stop("enough"))
        await engine.attempt(engine.tickets)
        assert not [project for project in server.projects.values() if "[stencil" in project.description]
        return client.sent["POST"], {ticket.outcome for ticket in engine.tickets}

    sent, outcomes = on_clock(run)
    assert sent <= 4 * PATIENCE.window
    assert outcomes == {Outcome.CREATED, Outcome.UNPROCESSED}


def test_a_stopped_batch_says_that_it_did_not_sweep_though_nothing_was_odd() -> None:
    async def run(server: SimulatedLabelStudio) -> list[str]:
        engine = await engine_of(server.client(), 60)
        engine.when_done(lambda ticket: engine.stopping.stop("enough"))
        await engine.attempt(engine.tickets)
        assert not engine._sweeper.odd()
        await engine.sweep()
        return engine.notes

    (note,) = on_clock(run)
    assert "stopped before its sweep" in note


@pytest.mark.parametrize(("rate", "rows"), [(1, 60), (0.5, 30), (3, 60)])
def test_a_batch_at_a_low_rate_sets_up_its_projects_while_their_look_is_fresh(rate: float, rows: int) -> None:
    """After a single request nothing tells how fast it goes, and creates that go first would make every look too old."""

    async def run(server: SimulatedLabelStudio) -> tuple[Report, float]:
        server.page_size, began = 100, server.clock.now()
        client = server.client()
        client.pacer = Pacer(max_concurrency=4, requests_per_second=rate, clock=server.clock)
        return await one_batch(client, titles(rows), patience=Patience()), server.clock.now() - began

    report, seconds = on_clock(run)
    assert report.ok
    assert seconds < 1.5 * 2 * rows / rate


# Steps


@pytest.mark.parametrize(("rate", "at_once"), [(3, 16), (10, 64), (0.5, 4)])
def test_steps_are_done_at_a_low_rate_too(rate: float, at_once: int) -> None:
    """What a reading has decided is sent before it is too old for it, however many wait to read."""

    async def run(server: SimulatedLabelStudio) -> tuple[Report, int]:
        client = server.client()
        client.pacer = Pacer(max_concurrency=at_once, requests_per_second=rate, clock=server.clock)
        with patch.object(StepRunner, "_tasks", AsyncMock(return_value=TASKS)):
            return await one_batch(client, titles(40), steps=True), client.sent["GET"]

    report, reads = on_clock(run)
    assert report.ok
    assert reads < 5 * 40


@pytest.mark.parametrize(("rate", "at_once", "imports"), [(1, 4, 0), (3, 16, 0), (5, 16, 0), (15, 4, 0), (15, 4, 1)])
def test_rows_with_tasks_cost_less_than_five_requests_at_any_rate(rate: float, at_once: int, imports: float) -> None:
    """A row whose reading is too old when its turn comes reads again, and so do the others behind it."""

    async def run(server: SimulatedLabelStudio) -> tuple[Report, int, float]:
        server.page_size, began = 100, server.clock.now()
        client = server.client()
        client.pacer = Pacer(
            max_concurrency=at_once, requests_per_second=rate, path_rates={IMPORT: imports}, clock=server.clock
        )
        with patch.object(StepRunner, "_tasks", AsyncMock(return_value=TASKS)):
            report = await one_batch(client, titles(100), steps=True, patience=Patience())
        return report, sum(client.sent.values()), server.clock.now() - began

    report, requests, seconds = on_clock(run)
    assert report.ok
    assert requests < 5 * 100
    assert seconds < 1.3 * max(4 * 100 / rate, 100 / (imports or rate))


def test_imports_that_take_minutes_are_not_asked_about_at_the_expense_of_other_rows() -> None:
    """More than a hundred are under way at the same time, at the pace of the vendor's cloud."""

    class Slow(Imports):
        def drawn(self, number: int) -> tuple[float, bool]:
            return 500.0, False

    async def run(server: SimulatedLabelStudio) -> tuple[Report, int, float]:
        server.page_size, server.importing, began = 100, Slow(), server.clock.now()
        client = server.client()
        client.pacer = Pacer(max_concurrency=4, requests_per_second=10, path_rates={IMPORT: 1}, clock=server.clock)
        with patch.object(StepRunner, "_tasks", AsyncMock(return_value=TASKS)):
            report = await one_batch(client, titles(150), steps=True, patience=Patience())
        return report, sum(client.sent.values()), server.clock.now() - began

    report, requests, seconds = on_clock(run)
    assert report.ok
    assert requests < 25 * 150
    assert seconds < 1.2 * (150 + 500)


def test_a_stopped_batch_says_of_what_another_made_that_its_steps_are_not_known_to_be_done() -> None:
    """That one may have died before them."""

    async def run(server: SimulatedLabelStudio) -> Report:
        key = key_of(1, title(0))
        server.make(title(0), description=with_pending(DESCRIPTION, key, "0" * 8), color=COLOR)
        client = server.client()
        options = Options(template="1", workspace="1")
        label_studio = Instance(
            cast("LabelStudio", client), Edition.ENTERPRISE, client.pacer, "a simulated Label Studio"
        )
        checked = check(read_sheet([{"title": title(0), "color": COLOR}]), options)
        steps = (replace(request, steps=STEPS) for request in checked.requests)
        stopped = await prepare(
            Checked(checked.sheet, steps, checked.problems), options, label_studio, patience=PATIENCE
        )
        stopped.stopping.stop("the token is not taken")
        await stopped.carry_out_steps()
        return stopped.report()

    (row,) = on_clock(run).rows
    assert (row.outcome, row.error_code) == (Outcome.FAILED, "step-failed")
    assert "not known to be done" in row.error
