"""The types of a request, its answer, and the interceptors between the route and the handler."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.responses import Response

from label_studio_sandbox._json import JSON, Object, dumps, loads
from label_studio_sandbox.errors import Crash, Refusal
from label_studio_sandbox.faults.model import Faults
from label_studio_sandbox.fields import Flag, Schema
from label_studio_sandbox.requestlog import Trace
from label_studio_sandbox.store import Store
from label_studio_sandbox.tokens import DEFAULT_TOKEN, Tokens

Proceed = Callable[[], Awaitable[Response]]


class Interceptor(Protocol):
    """A function between the route and the handler."""

    async def __call__(self, call: "Call", proceed: Proceed) -> Response:
        """Return the answer of `proceed()`, another one, or `Lost()` for none. `proceed` may be called later or repeatedly."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a sandbox.

    Attributes:
        token: The legacy token.
        latency_ms: Milliseconds by which every answer is delayed.
        access_token_seconds: Lifetime of an access token; the real server's is 300.
        rate_limit: Requests a second for each token, above which the answer is 429; None for no limit.
        log_requests: Whether `RequestLog` keeps the requests.
        interceptors: Called in this order, the first outermost.
        faults: Faults outside the interceptors.
    """

    token: str = DEFAULT_TOKEN
    latency_ms: float = 0
    access_token_seconds: float = 300
    rate_limit: float | None = None
    log_requests: bool = False
    interceptors: tuple[Interceptor, ...] = ()
    faults: Faults | None = None

    def __repr__(self) -> str:
        return f"Settings(latency_ms={self.latency_ms}, rate_limit={self.rate_limit})"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a handler: a status and, usually, a JSON body."""

    body: JSON = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Convert to an HTTP response."""
        if self.status == 204:
            return Response(status_code=204, headers=self.headers)
        return Response(dumps(self.body), self.status, self.headers, "application/json")


@dataclass(slots=True)
class Call:
    """A request for a handler.

    Attributes:
        number: Its number in the log.
        params: The numbers in the path, by name.
        project_id: An id that an interceptor reserved for the project of this create.
        behind: Age of the projects that a read shows, in seconds; 0 for the current ones.
        skew: Seconds by which the server's clock is ahead.
        ordering: Order of a list, instead of the requested one; `pinned` is the server's own.
        import_questions: Number of requests for the state of an import after which it is done; 0 if a time ends it, None if
            it is done at once.
        import_error: Reason why an import fails.
        import_id: Id of the import that was started.
        trace: The fate of the request, for the log.
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
    behind: float = 0
    skew: float = 0
    ordering: str | None = None
    import_questions: int | None = None
    import_error: str = ""
    import_id: int | None = None
    trace: Trace = field(default_factory=Trace)

    @property
    def query(self) -> dict[str, str]:
        """The query parameters by name; the last one counts if a name is repeated."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True)) if self.query_string else {}

    @property
    def id(self) -> int:
        """The id in the path."""
        return self.params["id"]

    def data(self) -> JSON:
        """The body, read by its content type; an empty one is `{}`.

        Raises:
            Refusal: 400 for a body that is not JSON, 500 for one that nests too deeply, and 415 for a content type that the
                server does not read.
        """
        if not self.raw:
            return {}
        content_type = self.headers.get(b"content-type", b"text/plain").decode("latin-1")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == "application/json":
            try:
                return loads(self.raw)
            except ValueError as exc:
                raise Refusal(400, f"JSON parse error - {exc}") from None
            except RecursionError as exc:
                raise Crash(str(exc)) from None
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
