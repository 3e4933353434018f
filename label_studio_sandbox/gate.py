"""The way from a route to an answer: reading the request, interceptors, authentication, the handler, and the commit.

    route -> log -> faults -> interceptors -> token -> method -> body -> transaction(handler) -> answer

An interceptor is called between the route and the handler. Code before its `proceed()` runs before the commit, and code
after it runs after the commit. It may also answer without proceeding, or proceed later in a task of its own. Delays and
throttling are interceptors, and so are the faults of proxies and networks, outside a sandbox's other interceptors.
"""

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from label_studio_sandbox._json import dumps
from label_studio_sandbox.calls import Answer, Call, Handler, Interceptor, Proceed, Settings
from label_studio_sandbox.errors import Refusal
from label_studio_sandbox.faults.injection import HEADER, Injector
from label_studio_sandbox.faults.model import Faults
from label_studio_sandbox.interceptors import Latency, Throttle
from label_studio_sandbox.requestlog import Commit, LoggedRequest, RequestLog
from label_studio_sandbox.store import Store
from label_studio_sandbox.tokens import Tokens

#: The largest number that SQLite holds; no higher id exists.
_LARGEST_ID = 2**63 - 1


class Gate:
    """The state that all routes of one sandbox share."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.tokens = Tokens(store, settings.token, settings.access_token_seconds)
        self.log = RequestLog(enabled=settings.log_requests)
        interceptors: list[Interceptor] = []
        if settings.latency_ms > 0:
            interceptors.append(Latency(settings.latency_ms / 1000))
        if settings.rate_limit is not None:
            interceptors.append(Throttle(settings.rate_limit))
        faults = settings.faults or Faults()
        lags = [fault.parameter("seconds") for fault in faults.faults if fault.kind == "list-lag"]
        if lags:
            store.keep_past(max(60.0, *lags))
        self.injector = Injector(faults, keeps_past=bool(lags))
        self.interceptors_with_faults = (*interceptors, self.injector, *settings.interceptors)
        own = settings.interceptors if settings.faults is None else (self.injector, *settings.interceptors)
        self.interceptors = (*interceptors, *own)
        self._number = 0
        self._commits = 0

    def next_number(self) -> int:
        """The number of the request that has just arrived."""
        self._number += 1
        return self._number

    def note_commit(self, call: Call, answer: Answer) -> None:
        """Note the commit that has just been made in the call's trace."""
        self._commits += 1
        made = answer.body.get("id") if answer.status == 201 and isinstance(answer.body, dict) else None
        changed = made if isinstance(made, int) else call.params.get("id")
        call.trace.commits.append(Commit(self._commits, time.time(), answer.status, changed))

    async def answer(self, call: Call, respond: Callable[[Call], Response]) -> Response:
        """Call `respond` through all interceptors, and return the answer."""

        async def innermost() -> Response:
            return respond(call)

        proceed: Proceed = innermost
        for interceptor in reversed(self.interceptors_with_faults if HEADER in call.headers else self.interceptors):
            proceed = _step(interceptor, call, proceed)
        return await proceed()


class Endpoint:
    """The ASGI application of one route: a handler for each method.

    Attributes:
        public: Whether it answers without a token.
    """

    def __init__(self, gate: Gate, handlers: Mapping[str, Handler], *, public: bool = False) -> None:
        self.gate = gate
        self.handlers = handlers
        self.public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, and log it."""
        raw = await _read_body(receive)
        if raw is None:
            return
        began, clock = time.time(), time.perf_counter()
        call = Call(
            store=self.gate.store,
            tokens=self.gate.tokens,
            number=self.gate.next_number(),
            method=scope["method"],
            path=scope["path"],
            query_string=scope["query_string"].decode("latin-1"),
            headers=dict(scope["headers"]),
            params={name: min(number, _LARGEST_ID) for name, number in scope["path_params"].items()},
            scheme=scope["scheme"],
            raw=raw,
        )
        status: int | None = None
        try:
            response = await self.gate.answer(call, self.respond)
            response.headers["date"] = formatdate(time.time() + call.skew, usegmt=True)
            # An answer that is not sent has the status 0.
            status = response.status_code or None
        finally:
            # Logged before the answer is sent, so that a client that has the answer finds its entry.
            self.gate.log.add(
                LoggedRequest(
                    number=call.number,
                    method=call.method,
                    path=call.path,
                    query=call.query_string,
                    body=raw,
                    status=status,
                    received_at=began,
                    seconds=time.perf_counter() - clock,
                ),
                call.trace,
            )
        await response(scope, receive, send)

    def respond(self, call: Call) -> Response:
        """Call the handler and commit its writes; a refusal rolls them back."""
        try:
            if not self.public:
                call.tokens.check(call.headers)
            handler = self._handler(call.method)
            if call.method in {"GET", "HEAD"}:
                if not call.behind:
                    return handler(call).response()
                with call.store.rewound(call.behind):
                    return handler(call).response()
            with call.store.transaction():
                answer = handler(call)
            self.gate.note_commit(call, answer)
            return answer.response()
        except Refusal as exc:
            return Response(dumps(exc.body()), exc.status, exc.headers, "application/json")

    def _handler(self, method: str) -> Handler:
        handler = self.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allow = ", ".join([*self.handlers, *(["HEAD"] if "GET" in self.handlers else []), "OPTIONS"])
            raise Refusal(405, f'Method "{method}" not allowed.', headers={"Allow": allow})
        return handler


class Page(Endpoint):
    """A route with a fixed answer that is not JSON."""

    def __init__(self, gate: Gate, status: int, content: bytes) -> None:
        super().__init__(gate, {}, public=True)
        self._status = status
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the page."""
        scope.setdefault("path_params", {})
        await super().__call__(scope, receive, send)

    def respond(self, call: Call) -> Response:
        """The page."""
        return Response(self._content, self._status, media_type="text/html")


def _step(interceptor: Interceptor, call: Call, proceed: Proceed) -> Proceed:
    async def step() -> Response:
        return await interceptor(call, proceed)

    return step


async def _read_body(receive: Receive) -> bytes | None:
    """Read the body. Returns None if the client disconnected before its end."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body
