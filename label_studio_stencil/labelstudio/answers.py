"""Turns answers into JSON or one of the four kinds of error, as pure functions.

The shapes of errors were measured on Label Studio Community 1.23.2, whose views answer with `detail`,
`validation_errors` and the `id` under which they log; those of a rate limit are the vendor's SDK's
(`Retry-After`, `X-RateLimit-Reset`).
"""

import json
import math
import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

import httpx
from pydantic import ValidationError

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.connections import Overdue
from label_studio_stencil.labelstudio.errors import ADVICE, LabelStudioError, Rejected, Throttled, Unauthorized, Unsure
from label_studio_stencil.labelstudio.outage import FROM_THE_EDGE
from label_studio_stencil.labelstudio.reasons import WITHHELD, reason_of
from label_studio_stencil.problems import shortened
from label_studio_stencil.redaction import SECRET_FIELDS

T = TypeVar("T")

#: How the body of a refusal says when to come back, such as "Expected available in 48 seconds." or `"retry_after": 48`.
_AVAILABLE_IN = re.compile(
    r"\b(?:in|after|wait(?: for)?) (?:about )?(\d+(?:\.\d+)?) ?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?)\b"
    r"|\bretry[-_ ]?after[\"':= ]+(\d+(?:\.\d+)?)\b",
    re.IGNORECASE,
)

#: Seconds to wait if a refusal names none, and the bounds of those that it names.
DEFAULT_RETRY_AFTER = 1.0
SHORTEST_RETRY_AFTER = 0.1
LONGEST_RETRY_AFTER = 300.0

#: Characters of a server's sentence that a message quotes.
QUOTED_LENGTH = 500

#: Shorter secrets are not masked in a server's sentence, because they would match half of its letters.
SHORTEST_SECRET = 3

#: Parts of paths that only Enterprise serves.
ENTERPRISE_PATHS = ("/api/project-templates", "/api/workspaces")

_A_PROJECT = re.compile(r"/api/projects/\d+/")

# Raised before the request was sent.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


#: Extension of an answer with the size of its request in bytes.
SENT_BYTES = "stencil.sent_bytes"

#: How a program gets past a sign-in proxy.
SIGN_IN = "LABEL_STUDIO_HEADERS sends the headers of a service account"

#: Stands for all fields of a body.
ALL = "*"


@dataclass(frozen=True, slots=True)
class Call:
    """A request, for messages.

    Attributes:
        method: Such as `POST`.
        path: Without the query.
        base: Label Studio's address, for errors of the address.
        secrets: Texts that no message may repeat.
        withheld: Fields whose values come from files, so that no message quotes the server about them. `ALL` means the
            whole body.
    """

    method: str
    path: str
    secrets: Sequence[str] = field(default=(), repr=False)
    withheld: Set[str] = frozenset()
    base: str = ""

    def __str__(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def of_url(self) -> str:
        """Method and URL, for errors of the connection."""
        return f"{self.method} {self.base}{self.path}"

    def withholds(self, field: str) -> bool:
        """Whether messages must not quote the server about a field; an empty name stands for the whole body."""
        return (
            field in SECRET_FIELDS
            or field in self.withheld
            or ALL in self.withheld
            or (not field and bool(self.withheld))
        )

    def quoted(self, text: str) -> str:
        """The server's `text` in one line, cut, and without any secret."""
        for secret in self.secrets:
            if len(secret) >= SHORTEST_SECRET:
                # As it is, and as in JSON.
                for written in (secret, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1]):
                    text = text.replace(written, "…")
        line = " ".join(text.split())
        return shortened(line, QUOTED_LENGTH)


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer.

    Attributes:
        call: The request.
        status: The answer's status.
        body: Its JSON; `None` if it was empty, as of a 204.
    """

    call: Call
    status: int
    body: JSON

    def parsed(self, parse: Callable[[JSON], T]) -> T:
        """The body, parsed by `parse`.

        Raises:
            Unsure: `parse` raised `ValueError`: the answer is not the expected one.
        """
        try:
            return parse(self.body)
        except ValidationError as exc:
            # Not chained, and without its input: that may be a password.
            first = exc.errors(include_input=False, include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"
        except ValueError as exc:
            problem = str(exc)
        raise unsure(self.call, f"unexpected answer: {problem}", status=self.status)


def is_throttled(answer: httpx.Response) -> bool:
    """Whether the server asks to wait: a 429, or a 503 with a time."""
    return answer.status_code == 429 or (answer.status_code == 503 and "retry-after" in answer.headers)


def is_json(answer: httpx.Response) -> bool:
    """Whether the application itself answered, not a proxy in front of it."""
    kind = _content_type(answer)
    return kind == "application/json" or kind.endswith("+json")


def is_from_the_edge(answer: httpx.Response) -> bool:
    """Whether a proxy answered that Label Studio is unavailable."""
    return answer.status_code in FROM_THE_EDGE and not (is_throttled(answer) and is_json(answer))


def read(call: Call, answer: httpx.Response) -> Reply:
    """Parse a successful answer.

    Args:
        call: The request.
        answer: The whole answer.

    Raises:
        LabelStudioError: The answer is an error, or can't be read.
    """
    status = answer.status_code
    if answer.is_success:
        return Reply(call, status, _success(call, answer))
    if status == 401:
        raise unauthorized(call, answer)
    if is_throttled(answer):
        raise _throttled(call, answer)
    if answer.is_redirect:
        raise _redirect(call, answer)
    if 400 <= status < 500 and status != 408:
        raise _refused(call, answer)
    said = _said(call, answer)
    raise unsure(call, f"the server answered {status}{said and f': {said}'}", status=status)


def failed(call: Call, error: httpx.HTTPError, timeout: float) -> Unsure:
    """Build the error for a request that got no whole answer.

    Args:
        call: The request.
        error: The error of the connection.
        timeout: Seconds that were waited for an answer, for the message.
    """
    sent = not isinstance(error, _NEVER_SENT)
    if isinstance(error, httpx.ConnectTimeout):
        reason = "the server took too long to accept a connection"
    elif isinstance(error, httpx.PoolTimeout):
        reason = "no connection became free in time"
    elif isinstance(error, Overdue):
        reason = str(error)
    elif isinstance(error, httpx.TimeoutException):
        reason = f"no answer within {timeout:g} s"
    else:
        what = "the connection broke" if sent else "no connection"
        detail = call.quoted(str(error) or type(error).__name__)
        reason = f"{what} ({detail})"
        return unsure(call, reason, sent=sent, hint="" if sent else _advice(detail))
    return unsure(call, reason, sent=sent)


def _advice(detail: str) -> str:
    """Return advice for a connection that could not be made."""
    if "CERTIFICATE_VERIFY_FAILED" in detail:
        return (
            "Its certificate is not trusted here: name the certificates of your organization in SSL_CERT_FILE, SSL_CERT_DIR "
            "or REQUESTS_CA_BUNDLE."
        )
    # A server without TLS answers a TLS handshake with text.
    if "WRONG_VERSION_NUMBER" in detail:
        return "The server does not speak TLS: should LABEL_STUDIO_URL begin with http:// rather than https://?"
    return "Is LABEL_STUDIO_URL right, and is that server running?"


def unsure(
    call: Call, reason: str, *, status: int | None = None, sent: bool = True, may_pass: bool = True, hint: str = ""
) -> Unsure:
    """The error of a call that may have been carried out, or was not, if `sent` is false."""
    outcome = "" if call.method == "GET" else ("; it may have been carried out" if sent else "; it was not sent")
    return Unsure(
        f"{call.of_url}: {reason}{outcome}.",
        method=call.method,
        path=call.path,
        status=status,
        hint=hint,
        reason=reason,
        sent=sent,
        may_pass=may_pass,
    )


def unauthorized(call: Call, answer: httpx.Response) -> Unauthorized:
    """The error of a refused token, with the reason and how to get another."""
    said = _said(call, answer) or "no reason given"
    return Unauthorized(
        f"{call.of_url}: the server does not accept the token (401): {said.rstrip('.')}.",
        hint=ADVICE,
        method=call.method,
        path=call.path,
        status=answer.status_code,
    )


def retry_after(answer: httpx.Response) -> float:
    """Seconds that a refusal asks to wait, within bounds.

    Uses `Retry-After` (seconds or a date), `X-RateLimit-Reset` (Unix time), or the text. A date is compared with the answer's
    `Date`, because this machine's clock may differ from the server's; without one it is ignored.
    """
    headers = answer.headers
    now = _date(headers.get("date", ""))
    wait = _seconds(headers.get("retry-after", ""), now)
    reset = _number(headers.get("x-ratelimit-reset", ""))
    if wait is None and reset is not None and now is not None:
        wait = reset - now.timestamp()
    if wait is None:
        wait = _said_seconds(answer.text)
    wait = DEFAULT_RETRY_AFTER if wait is None else wait
    return min(max(wait, SHORTEST_RETRY_AFTER), LONGEST_RETRY_AFTER)


def _said_seconds(text: str) -> float | None:
    said = _AVAILABLE_IN.search(text[:QUOTED_LENGTH])
    if said is None:
        return None
    if said[1] is None:
        return float(said[3])
    unit = said[2].lower()
    return float(said[1]) * (0.001 if unit.startswith(("ms", "mill")) else 60 if unit.startswith("m") else 1)


def _success(call: Call, answer: httpx.Response) -> JSON:
    if not answer.content:
        return None
    if not is_json(answer):
        kind = _content_type(answer) or "untyped content"
        reason = f"{call.base} answered {answer.status_code} with {kind} instead of JSON"
        hint = (
            "Is LABEL_STUDIO_URL the address of Label Studio itself? Or does something in front of it ask for a sign-in "
            f"({SIGN_IN})?"
        )
        raise unsure(call, reason, status=answer.status_code, hint=hint)
    return _parsed(call, answer)


def _parsed(call: Call, answer: httpx.Response) -> JSON:
    try:
        parsed: JSON = json.loads(answer.content)
    except ValueError as exc:
        reason = f"the server answered {answer.status_code} with broken JSON"
        raise unsure(call, reason, status=answer.status_code) from exc
    return parsed


def _throttled(call: Call, answer: httpx.Response) -> Throttled:
    wait = retry_after(answer)
    said = _said(call, answer)
    return Throttled(
        f"{call.of_url}: the server asks to wait {wait:g} s ({answer.status_code}){said and f': {said}'}",
        method=call.method,
        path=call.path,
        status=answer.status_code,
        retry_after=wait,
    )


def _redirect(call: Call, answer: httpx.Response) -> Unsure:
    try:
        target = httpx.URL(answer.headers.get("location", ""))
    except httpx.InvalidURL:
        target = httpx.URL("")
    base = httpx.URL(call.base or "http://-")
    where = f"{target.scheme}://{target.netloc.decode()}" if target.host else target.path or "nowhere"
    if (target.scheme, target.netloc) == (base.scheme, base.netloc):
        where, hint = target.path, "Is a Label Studio at LABEL_STUDIO_URL, or at another path of that server?"
    elif target.host and target.host != base.host:
        hint = f"Does something in front of Label Studio ask for a sign-in ({SIGN_IN}), or is that its address?"
    else:
        hint = "Redirects are not followed: LABEL_STUDIO_URL should probably begin with https:// or name another path."
    reason = f"{call.base} answered {answer.status_code}, which redirects to {call.quoted(where)}"
    return unsure(call, reason, status=answer.status_code, may_pass=False, hint=hint)


def _refused(call: Call, answer: httpx.Response) -> LabelStudioError:
    status = answer.status_code
    if not is_json(answer):
        # For a project that is gone the application answers in JSON, so this page is somebody else's.
        if status in (404, 405) and _content_type(answer) == "text/html" and not _A_PROJECT.fullmatch(call.path):
            return _absent(call, status)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _too_large(call, answer)
        kind = _content_type(answer) or "untyped content"
        return unsure(call, f"something in front of Label Studio answered {status} with {kind}", status=status)
    body = _parsed(call, answer)
    detail, fields, reference = _words(call, body)
    said = "; ".join(f"{field}: {' '.join(messages)}" for field, messages in fields.items()) or detail
    logged = f" (in the server's log: {reference})" if reference else ""
    return Rejected(
        f"{call} was rejected ({status}): {said or 'no reason given'}{logged}",
        method=call.method,
        path=call.path,
        status=status,
        detail=detail,
        fields=fields,
        reference=reference,
    )


def _too_large(call: Call, answer: httpx.Response) -> Rejected:
    """The error of a request that is too large for a proxy, which passes nothing on."""
    size = answer.extensions[SENT_BYTES] / 1e6
    detail = f"a proxy in front of Label Studio refuses a request of {size:.1f} MB"
    hint = "Raise its limit (nginx: client_max_body_size)."
    return Rejected(
        f"{call}: {detail} ({answer.status_code}).",
        method=call.method,
        path=call.path,
        status=413,
        detail=f"{detail}. {hint}",
        hint=hint,
    )


def _absent(call: Call, status: int) -> Rejected:
    enterprise = call.path.startswith(ENTERPRISE_PATHS)
    return Rejected(
        f"{call.of_url}: there is no such endpoint ({status}).",
        hint="Only Label Studio Enterprise has project templates and workspaces."
        if enterprise
        else "Is LABEL_STUDIO_URL the address of Label Studio itself?",
        method=call.method,
        path=call.path,
        status=status,
        detail="this server has no such endpoint",
        absent=True,
    )


def _words(call: Call, body: JSON) -> tuple[str, dict[str, list[str]], str]:
    """The server's sentence, sentences by field, and reference, if `body` has them."""
    if not isinstance(body, dict):
        return WITHHELD if call.withholds("") else call.quoted(json.dumps(body, ensure_ascii=False)), {}, ""
    # Some endpoints answer with only the fields, without the envelope.
    enveloped = "detail" in body or "validation_errors" in body
    complaints = body.get("validation_errors") if enveloped else body
    fields = complaints if isinstance(complaints, dict) else {}
    detail = body.get("detail", "") if enveloped else ""
    reference = body.get("id", "") if enveloped else ""
    if ALL in call.withheld:
        return reason_of(_first_words([*fields.values(), detail])), {}, call.quoted(str(reference or ""))
    said = call.quoted(detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False))
    return (
        WITHHELD if said and call.withholds("") else said,
        {field: _sentences(call, field, complaint) for field, complaint in fields.items()},
        call.quoted(str(reference or "")),
    )


def _first_words(complaints: JSON) -> str:
    """The first sentence in nested lists."""
    for complaint in complaints if isinstance(complaints, list) else [complaints]:
        words = _first_words(complaint) if isinstance(complaint, list) else complaint
        if isinstance(words, str) and words:
            return words
    return ""


def _sentences(call: Call, field: str, complaint: JSON) -> list[str]:
    if call.withholds(field):
        return [f"was refused ({WITHHELD})"]
    sentences = complaint if isinstance(complaint, list) else [complaint]
    return [
        call.quoted(sentence if isinstance(sentence, str) else json.dumps(sentence, ensure_ascii=False))
        for sentence in sentences
    ]


def _said(call: Call, answer: httpx.Response) -> str:
    """The server's text in an answer of any kind; empty if there is none to quote."""
    if not is_json(answer):
        return ""
    try:
        body = json.loads(answer.content)
    except ValueError:
        return ""
    detail, fields, _ = _words(call, body)
    return "; ".join(f"{field}: {' '.join(messages)}" for field, messages in fields.items()) or detail


def _content_type(answer: httpx.Response) -> str:
    kind: str = answer.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def _seconds(value: str, now: datetime | None) -> float | None:
    seconds = _number(value)
    date = _date(value) if seconds is None and now is not None else None
    return seconds if date is None or now is None else (date - now).total_seconds()


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
