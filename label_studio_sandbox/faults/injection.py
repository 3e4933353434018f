"""Between a route and its handler: which faults a request gets, and their being carried out.

    request -> number on its route -> refused if its token expired -> faults, the first outermost -> handler

What is decided depends on the seed and the numbers alone; what is waited for, on the clock of the running event loop.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from starlette.responses import Response

from label_studio_sandbox._json import dumps, loads
from label_studio_sandbox.calls import Call, Proceed
from label_studio_sandbox.errors import Refusal, Unauthenticated
from label_studio_sandbox.faults.answers import Slow, Trickle, Truncated, answer_of, refused
from label_studio_sandbox.faults.model import BadFaults, Fault, Faults, route_of
from label_studio_sandbox.faults.parsing import from_header
from label_studio_sandbox.imports import finish_import
from label_studio_sandbox.interceptors import Throttle
from label_studio_sandbox.listing import PARAMETERS
from label_studio_sandbox.projects import get_project

#: The header in which a request asks for faults of its own.
HEADER = b"x-sandbox-fault"


class Injector:
    """Carries out the faults of one sandbox, and those that requests ask for in their headers.

    Args:
        faults: The faults of the sandbox.
        keeps_past: Whether its store keeps earlier states.
    """

    def __init__(self, faults: Faults, *, keeps_past: bool) -> None:
        self._faults = faults
        self._keeps_past = keeps_past
        self._seen: Counter[str] = Counter()
        self._given: Counter[int] = Counter()
        self._expired: dict[str, int] = {}
        self._kept: dict[tuple[int | None, str], tuple[float, Response]] = {}
        self._outages = {
            position: _Outage(fault) for position, fault in enumerate(faults.faults) if fault.moment == "down"
        }
        self._throttles = {
            position: Throttle(fault.parameter("rate"), header=bool(fault.parameter("header")))
            for position, fault in enumerate(faults.faults)
            if fault.kind == "rate-limit"
        }
        self._writes = _UnderWay()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """Answer a request, with the faults that it gets."""
        route = route_of(call.method, call.path)
        self._seen[route] += 1
        now = asyncio.get_running_loop().time()
        if (refusal := self._refuse_expired(call)) is not None:
            call.trace.faults.append("401")
            return refusal
        if (asked := call.headers.get(HEADER)) is not None:
            try:
                chosen = self._asked_for(asked.decode("latin-1"))
            except BadFaults as exc:
                return refused(Refusal(400, f"X-Sandbox-Fault: {exc}."))
            call.skew = _skew(chosen)
            for fault in reversed(chosen):
                proceed = self._wrapped(fault, call, proceed)
            return await proceed()
        hits = self._faults.hits(route, self._seen[route])
        hits = [hit for hit in hits if hit not in self._outages or self._outages[hit].has_come(now)]
        call.skew = _skew(tuple(self._faults.faults[hit] for hit in hits))
        for position in reversed(hits):
            proceed = self._wrapped(self._faults.faults[position], call, proceed, position)
        return await proceed()

    def settle(self, seconds: float) -> bool:
        """Wait until no late write is left. Returns False if the time was too short. May be called from any thread."""
        return self._writes.none_left(seconds)

    def recover(self) -> None:
        """End every outage that has begun."""
        for outage in self._outages.values():
            outage.end()

    def _asked_for(self, text: str) -> tuple[Fault, ...]:
        faults = from_header(text).faults
        if not self._keeps_past and any(fault.kind == "list-lag" for fault in faults):
            raise BadFaults("list-lag needs a sandbox that keeps its past: start it with the fault list-lag=0")
        return faults

    def _wrapped(self, fault: Fault, call: Call, proceed: Proceed, position: int | None = None) -> Proceed:
        async def step() -> Response:
            if position in self._throttles:
                return await self._throttles[position](call, proceed)
            if position is not None:
                if fault.limit is not None and self._given[position] >= fault.limit:
                    return await proceed()
                self._given[position] += 1
            call.trace.faults.append(fault.kind)
            return await self._carry_out(fault, call, proceed, position)

        return step

    async def _carry_out(self, fault: Fault, call: Call, proceed: Proceed, position: int | None) -> Response:
        match fault.kind:
            case "401":
                return self._expire(fault, call)
            case "truncated":
                return Truncated(await proceed())
            case "slow":
                return Slow(await proceed(), fault.parameter("seconds"))
            case "replay":
                return await self._replay(fault, call, proceed)
            case "list-lag":
                call.behind = fault.parameter("seconds")
                return await proceed()
            case "trickle":
                return Trickle(await proceed(), fault.parameter("seconds"))
            case "cached":
                return await self._from_cache(fault, call, proceed, position)
            case "unordered":
                call.ordering = fault.text("order")
                return await proceed()
            case "without-keys":
                share = fault.parameter("share")

                def lacks(project: object) -> bool:
                    return position is None or self._faults.draws(position, f"project {project}", share)

                return _without_keys(await proceed(), fault.text("keys").split("+"), lacks)
            case "old-body":
                old = get_project(call).response() if call.store.project(call.params.get("id", 0)) else None
                answer = await proceed()
                return old if old is not None and answer.status_code == 200 else answer
            case "clock":
                return await proceed()
            case "import-failed":
                call.import_error = fault.text("error")
                return await proceed()
            case "import-late":
                return await self._import_late(fault, call, proceed)
        if fault.moment == "after":
            await proceed()
        elif fault.moment == "late":
            if fault.parameter("reserve") and call.method == "POST":
                call.project_id = call.store.reserve_project_id()
            self._carry_out_later(fault.parameter("seconds"), proceed)
        return answer_of(fault, call.skew)

    async def _from_cache(self, fault: Fault, call: Call, proceed: Proceed, position: int | None) -> Response:
        now = asyncio.get_running_loop().time()
        asked = call.query
        query = {name: asked[name] for name in sorted(asked) if name in PARAMETERS or not fault.parameter("stripped")}
        key = (position, f"{call.path}?{urlencode(query)}")
        at, kept = self._kept.get(key, (0.0, None))
        if kept is not None and now - at < fault.parameter("seconds"):
            return kept
        answer = await proceed()
        if answer.status_code == 200:
            self._kept[key] = (now, answer)
        return answer

    async def _import_late(self, fault: Fault, call: Call, proceed: Proceed) -> Response:
        """The answer to an import that is done some time later."""
        call.import_questions = count = int(fault.parameter("count"))
        answer = await proceed()
        if call.import_id is not None and not count:
            number = call.import_id

            async def finish() -> Response:
                finish_import(call.store, number)
                return answer

            self._carry_out_later(fault.parameter("seconds"), finish)
        return answer

    async def _replay(self, fault: Fault, call: Call, proceed: Proceed) -> Response:
        self._writes.begin()
        try:
            for _ in range(int(fault.parameter("copies"))):
                await proceed()
                # An id that was reserved is used up by now.
                call.project_id = None
                await asyncio.sleep(fault.parameter("seconds"))
            return await proceed()
        finally:
            self._writes.end()

    def _carry_out_later(self, seconds: float, proceed: Proceed) -> None:
        async def write() -> None:
            await asyncio.sleep(seconds)
            await proceed()

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._writes.end()

        # Begun before the answer is sent: who has it, or sees that there is none, finds the write under way.
        self._writes.begin()
        task = asyncio.create_task(write())
        self._tasks.add(task)
        task.add_done_callback(done)

    def _expire(self, fault: Fault, call: Call) -> Response:
        token = _access_token(call.headers)
        if token is None:
            return refused(Unauthenticated("Invalid token."))
        self._expired[token] = int(fault.parameter("count")) or -1
        return self._refuse_expired(call) or refused(Unauthenticated())

    def _refuse_expired(self, call: Call) -> Response | None:
        if not self._expired or (token := _access_token(call.headers)) not in self._expired:
            return None
        left = self._expired[token]
        if left == 1:
            del self._expired[token]
        else:
            self._expired[token] = left - 1 if left > 0 else left
        return refused(Unauthenticated())


class _Outage:
    """When an application is down, told by the requests that would reach it."""

    def __init__(self, fault: Fault) -> None:
        self._after, self._count = int(fault.parameter("after")), int(fault.parameter("count"))
        self._at, self._seconds = fault.parameter("at"), fault.parameter("seconds")
        # Of an edge that refuses connections itself, one request learns.
        self._once = fault.answer == "refused"
        self._first: float | None = None
        self._seen = 0
        self._began: float | None = None
        self._over = False

    def has_come(self, now: float) -> bool:
        """Whether a request that comes now finds it down."""
        self._seen += 1
        self._first = now if self._first is None else self._first
        if self._over:
            return False
        if self._began is None:
            due = now - self._first >= self._at if self._at >= 0 else self._seen > self._after
            if not due:
                return False
            self._began, self._seen = now, 1
        elif self._seen > self._count if self._count else now - self._began >= self._seconds:
            self._over = True
        if self._once:
            self._over, once = True, not self._over
            return once
        return not self._over

    def end(self) -> None:
        """It is up again, if it was down."""
        self._over = self._over or self._began is not None


class _UnderWay:
    """How many writes nobody waits for, countable from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def begin(self) -> None:
        with self._changed:
            self._count += 1

    def end(self) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def none_left(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)


def _skew(faults: tuple[Fault, ...]) -> float:
    """Seconds by which the clock is ahead for a request."""
    return sum(fault.parameter("seconds") for fault in faults if fault.kind == "clock")


def _without_keys(answer: Response, keys: list[str], lacks: Callable[[object], bool]) -> Response:
    """The answer, with the keys left out of it, or of those items of a list that lack them."""
    try:
        body = loads(bytes(answer.body))
    except ValueError:
        return answer
    items = body.get("results") if isinstance(body, dict) else None
    for item in items if isinstance(items, list) else [body]:
        if isinstance(item, dict) and lacks(item.get("id")):
            for key in keys:
                item.pop(key, None)
    return Response(dumps(body), answer.status_code, media_type="application/json")


def _access_token(headers: Mapping[bytes, bytes]) -> str | None:
    """The access token of a request, or None where it carries none, or the legacy token."""
    raw = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
    token = raw.decode("latin-1").strip()
    return token if token.count(".") == 2 else None
