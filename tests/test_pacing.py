"""The pacer, against a clock turned by hand and servers with limits of their own."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from label_studio_stencil.labelstudio.pace import FEW
from label_studio_stencil.labelstudio.pacing import IMPORT, Pacer, SystemClock, Turn
from tests.labelstudio.virtual import VirtualClock

LIMIT = 15


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with VirtualClock().running() as clock:
        yield clock


class LateClock(VirtualClock):
    """Wakes its sleepers late, as a busy machine does."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + random.Random(len(self.slept)).uniform(0, 0.03))


class SlidingLimit:
    """Takes `LIMIT` requests in any second."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def take(self, now: float) -> bool:
        self.taken = [at for at in self.taken if at > now - 1]
        if len(self.taken) < LIMIT:
            self.taken.append(now)
            return True
        return False


class FixedLimit:
    """Takes `LIMIT` requests in each second of the clock."""

    def __init__(self) -> None:
        self.second, self.taken = 0, 0

    def take(self, now: float) -> bool:
        if int(now) != self.second:
            self.second, self.taken = int(now), 0
        self.taken += 1
        return self.taken <= LIMIT


class BucketLimit:
    """Refills at `LIMIT` a second, and holds as many."""

    def __init__(self) -> None:
        self.left, self.at = float(LIMIT), 0.0

    def take(self, now: float) -> bool:
        self.left, self.at = min(LIMIT, self.left + (now - self.at) * LIMIT), now
        if self.left < 1:
            return False
        self.left -= 1
        return True


Limit = SlidingLimit | FixedLimit | BucketLimit


async def send_all(pacer: Pacer, clock: VirtualClock, requests: int, latency: float = 0.0) -> list[float]:
    """When each of `requests` left."""
    times: list[float] = []

    async def send() -> None:
        async with pacer.slot():
            times.append(clock.now())
            await clock.sleep(latency)

    await asyncio.gather(*(send() for _ in range(requests)))
    return times


async def outlast(limit: Limit, pacer: Pacer, clock: VirtualClock, rows: int) -> tuple[int, int]:
    """How many requests were refused, and how many sent, until each of `rows` rows had two taken."""
    refused = sent = 0

    async def row() -> None:
        nonlocal refused, sent
        taken = 0
        while taken < 2:
            async with pacer.slot():
                sent += 1
                await clock.sleep(0.01)
                if limit.take(clock.now()):
                    taken += 1
                else:
                    refused += 1
                    pacer.pause(1)

    await asyncio.gather(*(row() for _ in range(rows)))
    return refused, sent


def most_in_a_second(times: list[float]) -> int:
    return max(sum(1 for other in times if start <= other < start + 1) for start in times)


async def test_no_more_requests_are_out_than_allowed(clock: VirtualClock) -> None:
    out = most = 0

    async def send(pacer: Pacer) -> None:
        nonlocal out, most
        async with pacer.slot():
            out += 1
            most = max(most, out)
            await clock.sleep(1)
            out -= 1

    pacer = Pacer(max_concurrency=3, clock=clock)
    await asyncio.gather(*(send(pacer) for _ in range(10)))
    assert most == 3
    assert clock.now() == 1004


@pytest.mark.parametrize(("max_reads", "seconds"), [(0, 8), (4, 2)])
async def test_reads_may_be_side_by_side_where_writes_may_not(
    clock: VirtualClock, max_reads: int, seconds: float
) -> None:
    pacer = Pacer(max_concurrency=1, max_reads=max_reads, clock=clock)
    began = clock.now()

    async def read() -> None:
        async with pacer.slot(Turn.NEXT):
            await clock.sleep(1)

    await asyncio.gather(*(read() for _ in range(8)))
    assert clock.now() - began == seconds


@pytest.mark.parametrize("turn", [Turn.NOW, Turn.SOON, Turn.LATER])
async def test_no_write_is_beside_reads_that_need_more_places_than_it_may_have(clock: VirtualClock, turn: Turn) -> None:
    pacer = Pacer(max_concurrency=1, max_reads=4, clock=clock)
    out: list[Turn] = []
    seen: set[tuple[Turn, ...]] = set()

    async def send(each: Turn, after: float) -> None:
        await clock.sleep(after)
        async with pacer.slot(each):
            out.append(each)
            seen.add(tuple(out))
            await clock.sleep(1)
            out.remove(each)

    reads = [send(Turn.NEXT, number / 4) for number in range(12)]
    await asyncio.gather(*reads, send(turn, 0.6), send(turn, 1.1))
    assert {each for each in seen if turn in each} == {(turn,)}
    assert max(map(len, seen)) == 4


async def test_a_write_that_goes_first_waits_for_no_read_that_came_after_it(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=1, max_reads=2, clock=clock)
    order: list[str] = []

    async def send(name: str, turn: Turn, after: float) -> None:
        await clock.sleep(after)
        async with pacer.slot(turn):
            order.append(name)
            await clock.sleep(1)

    reads = [send(f"read {number}", Turn.NEXT, number / 2) for number in range(6)]
    await asyncio.gather(*reads, send("deletion", Turn.NOW, 0.75))
    assert order.index("deletion") == 2


async def test_first_come_is_first_served(clock: VirtualClock) -> None:
    order: list[int] = []

    async def send(pacer: Pacer, number: int) -> None:
        async with pacer.slot():
            order.append(number)
            await clock.sleep(0.5)

    pacer = Pacer(max_concurrency=2, requests_per_second=7, clock=clock)
    await asyncio.gather(*(send(pacer, number) for number in range(12)))
    assert order == list(range(12))


#: Requests in the order in which they ask for a place.
ORDERED = [("out", Turn.LATER), ("create", Turn.LATER), ("finish", Turn.SOON), ("look", Turn.NEXT)]


async def test_of_those_that_wait_each_goes_in_its_turn(clock: VirtualClock) -> None:
    order: list[str] = []

    async def send(pacer: Pacer, name: str, turn: Turn) -> None:
        async with pacer.slot(turn):
            order.append(name)
            await clock.sleep(1)

    pacer = Pacer(max_concurrency=1, clock=clock)
    asked = [("out", Turn.LATER)]
    asked += [(f"{turn.name} {number}", turn) for number in (1, 2) for turn in (Turn.LATER, Turn.SOON, Turn.NEXT)]
    await asyncio.gather(*(send(pacer, name, turn) for name, turn in asked))
    assert order == ["out", "NEXT 1", "NEXT 2", "SOON 1", "SOON 2", "LATER 1", "LATER 2"]


async def test_whose_turn_it_is_is_decided_when_a_request_may_leave(clock: VirtualClock) -> None:
    """One that ends work goes before those that came earlier, however many places were free for them."""
    order: list[str] = []

    async def send(name: str, turn: Turn) -> None:
        async with pacer.slot(turn):
            order.append(name)

    pacer = Pacer(max_concurrency=16, requests_per_second=2, clock=clock)
    sending = asyncio.gather(*(send(f"create {number}", Turn.LATER) for number in range(5)))
    await clock.sleep(0.6)
    await asyncio.gather(send("finish", Turn.SOON), sending)
    assert order.index("finish") == 3


async def test_an_eager_pacer_lets_creates_go_before_what_ends_work(clock: VirtualClock) -> None:
    order: list[str] = []

    async def send(name: str, turn: Turn) -> None:
        async with pacer.slot(turn):
            order.append(name)
            await clock.sleep(1)

    pacer = Pacer(max_concurrency=1, clock=clock)
    sending = [asyncio.create_task(send(name, turn)) for name, turn in ORDERED]
    await clock.sleep(0.5)
    pacer.eager = True
    await asyncio.gather(*sending)
    assert order == ["out", "look", "create", "finish"]


async def test_the_backlog_is_in_seconds(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=2, clock=clock)
    assert pacer.backlog() == math.inf
    sending = asyncio.create_task(send_all(pacer, clock, 26, latency=1))
    await clock.sleep(3.5)
    # Eight left in 3.5 s, two at a time, and 18 wait.
    assert pacer.backlog() == pytest.approx(18 * 3.5 / 8)
    await sending


async def test_places_that_are_added_are_given_to_those_that_wait(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=1, clock=clock)
    sending = asyncio.create_task(send_all(pacer, clock, 4, latency=10))
    await clock.sleep(1)
    pacer.max_concurrency = 3
    assert await sending == pytest.approx([1000, 1001, 1001, 1010])


async def test_places_that_are_taken_away_are_not_given_again(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=3, clock=clock)
    sending = asyncio.create_task(send_all(pacer, clock, 5, latency=10))
    await clock.sleep(1)
    pacer.max_concurrency = 1
    assert await sending == pytest.approx([1000, 1000, 1000, 1010, 1020])
    with pytest.raises(ValueError, match="at least 1"):
        pacer.max_concurrency = 0


async def test_a_place_given_to_one_that_is_cancelled_goes_to_the_next(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=1, clock=clock)
    async with pacer.slot():
        cancelled = asyncio.create_task(send_all(pacer, clock, 1))
        next_one = asyncio.create_task(send_all(pacer, clock, 1))
        await clock.sleep(1)
    # The place has been given, but its taker has not run yet.
    cancelled.cancel()
    assert await next_one == [1001]
    assert cancelled.cancelled()


async def test_a_failed_or_cancelled_request_gives_its_place_back(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=1, requests_per_second=1, clock=clock)
    with pytest.raises(RuntimeError):
        async with pacer.slot():
            raise RuntimeError
    waiting = asyncio.create_task(send_all(pacer, clock, 1))
    await asyncio.sleep(0)
    waiting.cancel()
    assert len(await send_all(pacer, clock, 3)) == 3


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 15, 100], ids=str)
async def test_requests_leave_evenly_spaced(rate: float, clock: VirtualClock) -> None:
    times = await send_all(Pacer(requests_per_second=rate, clock=clock), clock, 50)
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 0.999 / rate
    assert max(gaps) <= 1.03 / rate + 0.011
    assert times[-1] - times[0] == pytest.approx(49 / rate, rel=0.031)


async def test_late_timers_are_made_up_for_without_breaking_the_limit() -> None:
    async with LateClock().running() as clock:
        times = await send_all(Pacer(requests_per_second=20, clock=clock), clock, 200)
    assert most_in_a_second(times) <= 20
    assert times[-1] - times[0] == pytest.approx(199 / 20, rel=0.07)


@pytest.mark.parametrize("limit", [SlidingLimit, FixedLimit, BucketLimit])
async def test_a_server_is_never_asked_faster_than_the_rate_that_was_set(
    limit: type[Limit], clock: VirtualClock
) -> None:
    pacer = Pacer(requests_per_second=LIMIT, clock=clock)
    refused, sent = await outlast(limit(), pacer, clock, rows=100)
    assert (refused, sent) == (0, 200)
    assert clock.now() - 1000 <= 1.035 * 200 / LIMIT


async def test_idle_time_is_not_saved_up(clock: VirtualClock) -> None:
    pacer = Pacer(requests_per_second=10, clock=clock)
    await send_all(pacer, clock, 5)
    await clock.sleep(60)
    assert most_in_a_second(await send_all(pacer, clock, 30)) <= 10


async def test_a_pause_holds_back_everything_that_has_not_left(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=2, clock=clock)
    async with pacer.slot():
        pacer.pause(30)
        waiting = asyncio.create_task(send_all(pacer, clock, 3))
        await clock.sleep(29.9)
        assert not waiting.done()
    assert (await waiting)[0] == pytest.approx(1030)


async def test_a_pause_that_begins_while_others_wait_their_turn_counts_for_them(clock: VirtualClock) -> None:
    pacer = Pacer(requests_per_second=1, clock=clock)
    waiting = asyncio.create_task(send_all(pacer, clock, 2))
    await clock.sleep(0.5)
    pacer.pause(10)
    assert (await waiting)[1] == pytest.approx(1010.5)


async def test_of_two_pauses_the_one_that_ends_later_counts_and_time_counts_once(clock: VirtualClock) -> None:
    pacer = Pacer(clock=clock)
    pacer.pause(10)
    pacer.pause(4)
    await clock.sleep(5)
    pacer.pause(10)
    assert (await send_all(pacer, clock, 1))[0] == pytest.approx(1015)
    assert pacer.paused_for == pytest.approx(15)


@pytest.mark.parametrize("limit", [SlidingLimit, FixedLimit, BucketLimit])
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_an_unknown_limit_is_found_and_kept(limit: type[Limit], concurrency: int, clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=concurrency, clock=clock)
    refused, sent = await outlast(limit(), pacer, clock, rows=300)
    assert refused / sent < 0.02
    assert clock.now() - 1000 <= 1.15 * 600 / LIMIT


# A path with a pace of its own


IMPORT_OF_7 = IMPORT.replace("*", "7")


async def import_all(pacer: Pacer, clock: VirtualClock, imports: int, *, most: int = 0) -> tuple[list[float], int]:
    """When each import was taken by a server that takes one a second, and how many were refused."""
    taken: list[float] = []
    refused = 0
    answering = asyncio.Semaphore(most or imports)

    async def send() -> None:
        nonlocal refused
        while True:
            async with answering, pacer.slot(Turn.NOW, IMPORT_OF_7):
                await clock.sleep(0.02)
                if not taken or clock.now() - taken[-1] >= 1:
                    taken.append(clock.now())
                    return
                refused += 1
                pacer.pause(1, IMPORT_OF_7)

    await asyncio.gather(*(send() for _ in range(imports)))
    return taken, refused


async def test_a_path_keeps_to_its_own_rate_and_leaves_the_others_theirs(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=4, requests_per_second=10, path_rates={IMPORT: 1}, clock=clock)
    (taken, refused), others = await asyncio.gather(import_all(pacer, clock, 20), send_all(pacer, clock, 180, 0.02))
    assert (len(taken), refused) == (20, 0)
    assert taken[-1] - taken[0] == pytest.approx(19, rel=0.035)
    assert others[-1] - others[0] == pytest.approx(199 / 10, rel=0.05)


async def test_a_refused_path_slows_down_alone(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=4, clock=clock)
    await import_all(pacer, clock, 2)
    assert pacer.rate == math.inf
    pacer.pause(30, IMPORT_OF_7)
    waiting = asyncio.create_task(import_all(pacer, clock, 1))
    began = clock.now()
    assert (await send_all(pacer, clock, 20))[-1] == began
    assert (await waiting)[0][0] >= began + 30


@pytest.mark.parametrize("concurrency", [4, 16])
async def test_an_unknown_limit_of_a_path_is_found_and_kept(concurrency: int, clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=concurrency, clock=clock)
    taken, refused = await import_all(pacer, clock, 40)
    assert refused <= 2
    assert taken[-1] - taken[0] <= 1.1 * 39


async def test_imports_go_side_by_side_where_nothing_limits_them(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=4, clock=clock)
    times: list[float] = []

    async def send() -> None:
        async with pacer.slot(Turn.NOW, IMPORT_OF_7):
            times.append(clock.now())
            await clock.sleep(1)

    await asyncio.gather(*(send() for _ in range(10)))
    assert times == [1000, 1001, *[1002] * 4, *[1003] * 4]


async def test_a_path_that_is_refused_while_one_of_it_waits_for_a_place_waits_again(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=1, clock=clock)
    async with pacer.slot():
        waiting = asyncio.create_task(import_all(pacer, clock, 1))
        await clock.sleep(1)
        pacer.pause(30, IMPORT_OF_7)
    assert await send_all(pacer, clock, 1) == [1001]
    assert (await waiting)[0] == [pytest.approx(1031.02)]


async def test_a_cancelled_import_gives_its_place_in_the_line_back(clock: VirtualClock) -> None:
    pacer = Pacer(clock=clock)
    pacer.pause(30, IMPORT_OF_7)
    cancelled = asyncio.create_task(import_all(pacer, clock, 1))
    await clock.sleep(1)
    cancelled.cancel()
    assert (await import_all(pacer, clock, 1))[0] == [pytest.approx(1030.02)]


async def test_several_refusals_of_one_moment_slow_down_once(clock: VirtualClock) -> None:
    pacer = Pacer(max_concurrency=4, requests_per_second=20, clock=clock)
    await send_all(pacer, clock, 40)
    pacer.pause(1)
    once = pacer.rate
    for _ in range(3):
        pacer.pause(1)
    assert pacer.rate == once


async def test_a_rate_that_is_no_whole_number_is_slowed_from_where_it_was(clock: VirtualClock) -> None:
    pacer = Pacer(requests_per_second=2.9, clock=clock)
    await send_all(pacer, clock, 20)
    await clock.sleep(0.3)
    before = pacer.rate
    pacer.pause(1)
    assert pacer.rate == pytest.approx(0.95 * before)


async def test_a_first_refusal_that_says_nothing_about_our_rate_only_pauses(clock: VirtualClock) -> None:
    pacer = Pacer(clock=clock)
    async with pacer.slot():
        pacer.pause(2)
    assert (await send_all(pacer, clock, 50, latency=0.1))[-1] == pytest.approx(1002 + 12 * 0.1)


@pytest.mark.parametrize(("rate", "kept"), [(10, 10), (0, FEW)])
async def test_a_refusal_at_the_start_or_after_a_pause_hardly_slows_down_unless_the_next_comes_as_early(
    rate: float, kept: float, clock: VirtualClock
) -> None:
    pacer = Pacer(requests_per_second=rate, clock=clock)
    await send_all(pacer, clock, 2)
    pacer.pause(1)
    assert pacer.rate == pytest.approx(0.95 * kept, rel=0.05)
    await send_all(pacer, clock, 2)
    pacer.pause(1)
    assert pacer.rate == pytest.approx(0.95 * 3)


@pytest.mark.parametrize("limit", [SlidingLimit, FixedLimit, BucketLimit])
async def test_a_batch_that_starts_while_another_uses_the_limit_up_is_hardly_slower(
    limit: type[Limit], clock: VirtualClock
) -> None:
    shared = limit()
    while shared.take(clock.now()):
        pass
    refused, _ = await outlast(shared, Pacer(max_concurrency=4, requests_per_second=10, clock=clock), clock, rows=100)
    assert clock.now() - 1000 <= 1.1 * 200 / 10 + 1
    assert refused <= 4


async def test_a_refusal_is_forgotten_in_time_but_never_the_rate_that_was_set(clock: VirtualClock) -> None:
    pacer = Pacer(requests_per_second=20, clock=clock)
    await send_all(pacer, clock, 40)
    before = pacer.rate
    pacer.pause(1)
    slowed = pacer.rate
    await clock.sleep(20)
    assert slowed < pacer.rate < before
    await clock.sleep(1000)
    assert pacer.rate == before


@pytest.mark.parametrize(
    "limits",
    [{"max_concurrency": 0}, {"requests_per_second": -1}, {"requests_per_second": float("nan")}],
    ids=["concurrency", "negative", "nan"],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Pacer(**limits)  # type: ignore[arg-type]


async def test_the_system_clock_goes_forward() -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0)
    assert clock.now() >= before
    assert clock.wall().tzinfo is not None


async def test_each_request_pays_a_toll_before_it_leaves_and_one_at_a_time(clock: VirtualClock) -> None:
    paying: list[float] = []

    async def toll() -> None:
        paying.append(clock.now())
        await clock.sleep(0.5)

    pacer = Pacer(max_concurrency=8, clock=clock, toll=toll)
    left: list[float] = []

    async def request() -> None:
        async with pacer.slot():
            left.append(clock.now())

    began = clock.now()
    await asyncio.gather(*(request() for _ in range(3)))
    assert [at - began for at in paying] == [0.0, 0.5, 1.0]
    assert [at - began for at in left] == [0.5, 1.0, 1.5]
