"""From a route to an answer: reading the request, the interceptors, who asks, the handler, and the commit.

    route -> log -> interceptors -> token -> method -> body -> transaction(handler) -> answer

An interceptor stands between the route and the handler. What it does before `proceed()` happens before the commit, what
it does after happens after it; it may also answer without proceeding, or proceed later in a task of its own. That is the
place for delays, throttling, and the faults of proxies and networks.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stencil.sandbox._json import JSON, Object, dumps, loads
from stencil.sandbox.errors import Refusal
from stencil.sandbox.fields import Flag, Schema
from stencil.sandbox.store import Store
from stencil.sandbox.tokens import DEFAULT_TOKEN, Tokens

Proceed = Callable[[], Awaitable[Response]]


class Interceptor(Protocol):
    """Something that stands between the route and the handler."""

    async def __call__(self, call: "Call", proceed: Proceed) -> Response:
        """The answer, got from `proceed()` or another; an exception drops the connection without one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a sandbox behaves.

    Attributes:
        token: the legacy token.
        latency_ms: milliseconds by which every answer is late.
        access_token_seconds: lifetime of an access token; the real server's is 300.
        rate_limit: requests a second for each token, above which the answer is 429; None for no limit.
        log_requests: whether `RequestLog` keeps what was asked.
        interceptors: called in this order, the first outermost.
    """

    token: str = DEFAULT_TOKEN
    latency_ms: float = 0
    access_token_seconds: float = 300
    rate_limit: float | None = None
    log_requests: bool = False
    interceptors: tuple[Interceptor, ...] = ()

    def __repr__(self) -> str:
        return f"Settings(latency_ms={self.latency_ms}, rate_limit={self.rate_limit})"


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request that reached the sandbox.

    Attributes:
        number: rises by one with each request, in the order of arrival.
        query: the query string as it was sent, without the `?`.
        status: of the answer, or None where an interceptor dropped the connection.
        received_at: Unix time of arrival, in seconds.
        seconds: from the end of the request to the beginning of its answer.
    """

    number: int
    method: str
    path: str
    query: str
    # Bodies of the token calls hold tokens.
    body: bytes = field(repr=False)
    status: int | None
    received_at: float
    seconds: float

    def json(self) -> JSON:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return loads(self.body)


class RequestLog:
    """The newest requests, readable from any thread."""

    def __init__(self, *, enabled: bool, limit: int = 100_000) -> None:
        self.enabled = enabled
        self._lock = Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=limit)

    def add(self, entry: LoggedRequest) -> None:
        """Nothing; the entry is kept, where the log is enabled."""
        if self.enabled:
            with self._lock:
                self._entries.append(entry)

    def entries(self) -> tuple[LoggedRequest, ...]:
        """All entries by number."""
        with self._lock:
            return tuple(sorted(self._entries, key=lambda entry: entry.number))

    def clear(self) -> None:
        """Nothing; the log is empty, and numbers go on rising."""
        with self._lock:
            self._entries.clear()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: a status, and a JSON body where there is one."""

    body: JSON = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The answer on the wire."""
        if self.status == 204:
            return Response(status_code=204, headers=self.headers)
        return Response(dumps(self.body), self.status, self.headers, "application/json")


@dataclass(slots=True)
class Call:
    """One request on its way to a handler.

    Attributes:
        number: as in the log.
        params: the numbers in the path, by name.
        project_id: an id that an interceptor reserved for the project that this call will make.
    """

    store: Store
    tokens: Tokens
    number: int
    method: str
    path: str
    query_string: str
    headers: Mapping[bytes, bytes] = field(repr=False)
    params: Mapping[str, int]
    scheme: str
    raw: bytes = field(repr=False)
    project_id: int | None = None
    is_form: bool = False

    @property
    def query(self) -> dict[str, str]:
        """The query by name; of a repeated one the last counts."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True)) if self.query_string else {}

    @property
    def id(self) -> int:
        """The id in the path."""
        return self.params["id"]

    def data(self) -> JSON:
        """The body, read by its content type; an empty one is `{}`.

        Raises:
            Refusal: 400 for a body that is not JSON, 415 for a content type that the server does not read.
        """
        if not self.raw:
            return {}
        content_type = self.headers.get(b"content-type", b"").decode("latin-1")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == "application/json":
            try:
                return loads(self.raw)
            except ValueError as exc:
                raise Refusal(400, f"JSON parse error - {exc}") from None
        if media_type == "application/x-www-form-urlencoded":
            self.is_form = True
            return dict(parse_qsl(self.raw.decode("utf-8", "replace"), keep_blank_values=True))
        raise Refusal(415, f'Unsupported media type "{content_type}" in request.')

    def clean(self, schema: Schema) -> Object:
        """The body's values by a schema, all of its required fields present.

        Raises:
            Rejected: some do not fit.
        """
        data = self.data()
        if self.is_form and isinstance(data, dict):
            # A form cannot say that a box is not ticked, so a missing boolean is read as false.
            flags = (name for name, kind in schema.fields.items() if isinstance(kind, Flag))
            data = dict.fromkeys(flags, False) | data
        return schema.clean(data)


Handler = Callable[[Call], Answer]


class Gate:
    """What all routes of one sandbox share."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.tokens = Tokens(store, settings.token, settings.access_token_seconds)
        self.log = RequestLog(enabled=settings.log_requests)
        interceptors: list[Interceptor] = []
        if settings.latency_ms > 0:
            interceptors.append(_Latency(settings.latency_ms / 1000))
        if settings.rate_limit is not None:
            interceptors.append(_Throttle(settings.rate_limit))
        self.interceptors = (*interceptors, *settings.interceptors)
        self._number = 0

    def next_number(self) -> int:
        """The number of the request that has just arrived."""
        self._number += 1
        return self._number

    async def answer(self, call: Call, respond: Callable[[Call], Response]) -> Response:
        """The answer of `respond`, through every interceptor."""

        async def innermost() -> Response:
            return respond(call)

        proceed: Proceed = innermost
        for interceptor in reversed(self.interceptors):
            proceed = _step(interceptor, call, proceed)
        return await proceed()


class Endpoint:
    """The ASGI application of one route: a handler for each method.

    Attributes:
        public: whether it answers without a token.
    """

    def __init__(self, gate: Gate, handlers: Mapping[str, Handler], *, public: bool = False) -> None:
        self.gate = gate
        self.handlers = handlers
        self.public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing; the request is answered and logged."""
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
            params=scope["path_params"],
            scheme=scope["scheme"],
            raw=raw,
        )
        status: int | None = None
        try:
            response = await self.gate.answer(call, self.respond)
            status = response.status_code
        finally:
            # Before the answer is sent: who has the answer finds its entry.
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
                )
            )
        await response(scope, receive, send)

    def respond(self, call: Call) -> Response:
        """The handler's answer, its writes committed; a refusal rolls them back."""
        try:
            if not self.public:
                call.tokens.check(call.headers)
            handler = self._handler(call.method)
            if call.method in {"GET", "HEAD"}:
                return handler(call).response()
            with call.store.transaction():
                answer = handler(call)
            return answer.response()
        except Refusal as exc:
            return Response(dumps(exc.body()), exc.status, exc.headers, "application/json")

    def _handler(self, method: str) -> Handler:
        handler = self.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allow = ", ".join([*self.handlers, "HEAD", "OPTIONS"])
            raise Refusal(405, f'Method "{method}" not allowed.', headers={"Allow": allow})
        return handler


class Page(Endpoint):
    """A route whose answer is the same for everybody and not JSON."""

    def __init__(self, gate: Gate, status: int, content: bytes) -> None:
        super().__init__(gate, {}, public=True)
        self._status = status
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing; the page is sent."""
        scope.setdefault("path_params", {})
        await super().__call__(scope, receive, send)

    def respond(self, call: Call) -> Response:
        """The page."""
        return Response(self._content, self._status, media_type="text/html")


@dataclass(frozen=True, slots=True)
class _Latency:
    seconds: float

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        await asyncio.sleep(self.seconds)
        return await proceed()


class _Throttle:
    """At most `rate` requests in any second for each token, refused in the words of the server's framework."""

    def __init__(self, rate: float) -> None:
        self._allowed = max(1, int(rate))
        self._window = self._allowed / rate
        self._seen: dict[bytes, deque[float]] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        key = call.headers.get(b"x-api-key") or call.headers.get(b"authorization", b"")
        seen = self._seen.setdefault(key, deque())
        now = time.monotonic()
        while seen and seen[0] <= now - self._window:
            seen.popleft()
        if len(seen) < self._allowed:
            seen.append(now)
            return await proceed()
        wait = max(1, math.ceil(seen[0] + self._window - now))
        detail = f"Request was throttled. Expected available in {wait} second{'s' if wait > 1 else ''}."
        return Response(dumps(Refusal(429, detail).body()), 429, {"Retry-After": str(wait)}, "application/json")


def _step(interceptor: Interceptor, call: Call, proceed: Proceed) -> Proceed:
    async def step() -> Response:
        return await interceptor(call, proceed)

    return step


async def _read_body(receive: Receive) -> bytes | None:
    """The body, or None where the client hung up before its end."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body
