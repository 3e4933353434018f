"""Between a route and its handler: which faults a request gets, and their being carried out.

    request -> number on its route -> refused if its token expired -> faults, the first outermost -> handler

What is decided depends on the seed and the numbers alone; what is waited for, on the clock of the running event loop.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping

from starlette.responses import Response

from stencil.sandbox.calls import Call, Proceed
from stencil.sandbox.errors import Refusal, Unauthenticated
from stencil.sandbox.faults.answers import Slow, Truncated, answer_of, refused
from stencil.sandbox.faults.model import BadFaults, Fault, Faults, route_of
from stencil.sandbox.faults.reading import from_header

#: The header in which a request asks for faults of its own.
HEADER = b"x-sandbox-fault"


class Injector:
    """Carries out the faults of one sandbox, and those that requests ask for themselves.

    Args:
        faults: of the sandbox.
        keeps_past: whether its store can tell what it held some seconds ago.
    """

    def __init__(self, faults: Faults, *, keeps_past: bool) -> None:
        self._faults = faults
        self._keeps_past = keeps_past
        self._seen: Counter[str] = Counter()
        self._given: Counter[int] = Counter()
        self._expired: dict[str, int] = {}
        self._writes = _UnderWay()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer, spoilt where this request's turn has come."""
        route = route_of(call.method, call.path)
        self._seen[route] += 1
        if (refusal := self._refuse_expired(call)) is not None:
            call.trace.faults.append("401")
            return refusal
        if (asked := call.headers.get(HEADER)) is not None:
            try:
                chosen = self._asked_for(asked.decode("latin-1"))
            except BadFaults as exc:
                return refused(Refusal(400, f"X-Sandbox-Fault: {exc}."))
            for fault in reversed(chosen):
                proceed = self._wrapped(fault, call, proceed)
            return await proceed()
        for position in reversed(self._faults.hits(route, self._seen[route])):
            proceed = self._wrapped(self._faults.faults[position], call, proceed, position)
        return await proceed()

    def settle(self, seconds: float) -> bool:
        """Whether, within that time, no write is left that a client does not wait for any more; from any thread."""
        return self._writes.none_left(seconds)

    def _asked_for(self, text: str) -> tuple[Fault, ...]:
        faults = from_header(text).faults
        if not self._keeps_past and any(fault.kind == "list-lag" for fault in faults):
            raise BadFaults("list-lag needs a sandbox that keeps its past: start it with the fault list-lag=0")
        return faults

    def _wrapped(self, fault: Fault, call: Call, proceed: Proceed, position: int | None = None) -> Proceed:
        async def step() -> Response:
            if position is not None:
                if fault.limit is not None and self._given[position] >= fault.limit:
                    return await proceed()
                self._given[position] += 1
            call.trace.faults.append(fault.kind)
            return await self._carry_out(fault, call, proceed)

        return step

    async def _carry_out(self, fault: Fault, call: Call, proceed: Proceed) -> Response:
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
        if fault.moment == "after":
            await proceed()
        elif fault.moment == "late":
            if fault.parameter("reserve") and call.method == "POST":
                call.project_id = call.store.reserve_project_id()
            self._carry_out_later(fault.parameter("seconds"), proceed)
        return answer_of(fault)

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


def _access_token(headers: Mapping[bytes, bytes]) -> str | None:
    """The access token of a request, or None where it carries none, or the legacy token."""
    raw = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
    token = raw.decode("latin-1").strip()
    return token if token.count(".") == 2 else None
