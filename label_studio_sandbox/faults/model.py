"""Kinds of faults, the requests that they apply to, and the decision which of these get one.

A kind combines an answer, which the client gets, with a moment at which the write is carried out or not.

    ANSWER  lost    the connection is closed without an answer
            held    no answer, and the connection stays open until the client gives up
            502, 503, 504    a proxy's page of HTML
            500, 429         the server's own JSON
            html    a page of HTML with status 200, as a sign-in proxy sends it
            refused  nothing listens: the connection is refused
    MOMENT  before  the write is not carried out
            after   it is carried out first
            late    it is carried out some seconds after the client got its answer, or none
            down    neither this request nor those that follow reach the application, for a while

The kinds of `OTHERS` are not combined. `lost`, `502`, `503` and `504` have every moment, `refused` only `down`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

_ANSWERS = ("lost", "held", "500", "502", "503", "504", "429", "html")
_MOMENTS = ("before", "after", "late", "down")
#: Answers of a proxy whose application is down.
_OF_AN_EDGE = ("refused", "lost", "502", "503", "504")
_OF_A_MOMENT: Mapping[str, Mapping[str, float]] = {
    "before": {},
    "after": {},
    "late": {"seconds": 2.0, "reserve": 0},
    "down": {"after": 0, "at": -1, "seconds": 60.0, "count": 0},
}
_OF_AN_ANSWER: Mapping[str, Mapping[str, float]] = {
    "429": {"retry_after": 1, "date": 0, "header": 1},
    "503": {"retry_after": -1, "date": 0},
}
#: Kinds that don't combine answer and moment, with their parameters and defaults.
OTHERS: Mapping[str, Mapping[str, float | str]] = {
    "401": {"count": 0},
    "truncated": {},
    "slow": {"seconds": 3.0},
    "trickle": {"seconds": 5.0},
    "replay": {"copies": 1, "seconds": 0.0},
    "list-lag": {"seconds": 1.0},
    "cached": {"seconds": 60.0, "stripped": 0},
    "unordered": {"order": "id"},
    "without-keys": {"keys": "description", "share": 1.0},
    "old-body": {},
    "clock": {"seconds": 600.0},
    "import-late": {"seconds": 3.0, "count": 0},
    "import-failed": {"error": "the import was stopped"},
    "rate-limit": {"rate": 15.0, "header": 1},
}
#: All kinds, with their parameters and defaults.
KINDS: Mapping[str, Mapping[str, float | str]] = {
    **{
        f"{answer}-{moment}": {**_OF_A_MOMENT[moment], **_OF_AN_ANSWER.get(answer, {})}
        for moment in _MOMENTS
        for answer in (_OF_AN_EDGE if moment == "down" else _ANSWERS)
    },
    **OTHERS,
}
#: Names of groups of routes; a single route may be given too.
ROUTES: Mapping[str, tuple[str, ...]] = {
    "create": ("POST /api/project-templates/{id}/create-project", "POST /api/projects"),
    "update": ("PATCH /api/projects/{id}", "PUT /api/projects/{id}"),
    "delete": ("DELETE /api/projects/{id}",),
    "list": ("GET /api/projects",),
    "get": ("GET /api/projects/{id}",),
    "import": ("POST /api/projects/{id}/import",),
    "import-state": ("GET /api/projects/{id}/imports/{id}",),
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    **ROUTES,
    "writes": (*ROUTES["create"], *ROUTES["update"], *ROUTES["delete"]),
    "reads": (*ROUTES["list"], *ROUTES["get"]),
    "all": ("*",),
}
_DEFAULT_GROUP = {
    "replay": "create",
    "list-lag": "list",
    "cached": "list",
    "unordered": "list",
    "without-keys": "list",
    "old-body": "update",
    "clock": "all",
    "import-late": "import",
    "import-failed": "import",
    "rate-limit": "all",
}
#: Bounds of the parameters that are numbers or flags.
_MOST = {
    "seconds": 3600.0,
    "copies": 100,
    "count": 1_000_000,
    "after": 1_000_000,
    "at": 3600.0,
    "retry_after": 86_400,
    "date": 1,
    "header": 1,
    "stripped": 1,
    "reserve": 1,
    "share": 1.0,
    "rate": 10_000.0,
}
_TEXTS = ("keys", "order", "error")
#: Kinds that concern more than one request, so that a request's header can't ask for them.
OF_MANY = frozenset({"cached", "rate-limit", *(f"{answer}-down" for answer in _OF_AN_EDGE)})


class BadFaults(ValueError):
    """A specification of faults is not valid; the message is one sentence that says which part, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault, and the requests that get it.

    Attributes:
        kind: One of `KINDS`; `ANSWER` is short for `ANSWER-before`.
        probability: Probability that a request gets it, decided by the seed and the request's number on its route.
        requests: Numbers of the requests that get it, counted on each route from 1, instead of a probability.
        on: Requests that may get it: names of `GROUPS`, or `"METHOD /path"` with `{id}` for ids and no slash at the end. The
            default is the writes; for `-down`, `clock` and `rate-limit` it is all, and for kinds about lists, changes or
            imports it is those.
        limit: Most requests that get it.
        seconds: Delay of a late write or import, duration of a slow answer, an outage or a cache, time between two copies or
            two bytes, age of a list, or how far the clock is ahead (behind if negative).
        copies: Copies of a replayed create, besides the one that is answered.
        count: Number of requests that an expired token refuses (0 refuses until another token comes), that an outage lasts, or
            that ask for the state of an import before it is done; 0 leaves the last two to `seconds`.
        after: Number of requests that are answered before the application goes down.
        at: Seconds from the first request until the application goes down, instead of `after`.
        retry_after: Seconds in the header `Retry-After`; -1 leaves it out.
        date: Whether `Retry-After` is an HTTP date.
        header: Whether there is a `Retry-After`; without it, only the body's message says how long to wait.
        stripped: Whether a cache ignores parameters that the API doesn't know.
        order: Order of a list, whatever the request asks for: a field, with `-` in front for descending, or `pinned` for the
            server's own.
        keys: Keys that are left out of the answer, or of a list's items.
        rate: Requests a second of one token, above which its requests are refused with 429.
        share: Share of a list's items that lack the keys, chosen by the seed and the project's id.
        error: Label Studio's reason for a failed import.
        reserve: Whether a late create gets its id on arrival, as in a slow transaction, and not when it is carried out. Then
            ids don't rise in the order of the commits.

    Raises:
        BadFaults: The kind is unknown, or a value is invalid.
    """

    kind: str
    probability: float = 1.0
    requests: tuple[int, ...] = ()
    on: tuple[str, ...] = ()
    limit: int | None = None
    seconds: float | None = None
    copies: int | None = None
    count: int | None = None
    after: int | None = None
    at: float | None = None
    retry_after: int | None = None
    date: bool | None = None
    header: bool | None = None
    stripped: bool | None = None
    reserve: bool | None = None
    share: float | None = None
    rate: float | None = None
    keys: tuple[str, ...] | None = None
    order: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        kind = f"{self.kind}-before" if self.kind in _ANSWERS else self.kind
        if kind not in KINDS:
            raise BadFaults(
                f"{self.kind!r} is not a kind of fault: give one of {', '.join(_ANSWERS)}, each with -before, -after or "
                f"-late, one of {', '.join(_OF_AN_EDGE)} with -down, or one of {', '.join(OTHERS)}"
            )
        object.__setattr__(self, "kind", kind)
        if not 0 <= self.probability <= 1:
            raise BadFaults(f"{kind}: its probability is {self.probability:g}: give a number from 0 to 1")
        if self.moment == "down" and (self.requests or self.probability < 1):
            raise BadFaults(f"{kind} begins once: give after or at, and seconds or count, instead of requests")
        if kind == "rate-limit" and (self.requests or self.probability < 1 or self.limit is not None or self.rate == 0):
            raise BadFaults("rate-limit holds for every request: give a rate above 0, and on, instead of requests")
        if any(number < 1 for number in self.requests):
            raise BadFaults(f"{kind}: requests are counted from 1")
        if self.limit is not None and self.limit < 0:
            raise BadFaults(f"{kind}: its limit is {self.limit}: give a number of requests, 0 or more")
        if not self.on:
            default = "all" if self.moment == "down" else _DEFAULT_GROUP.get(kind, "writes")
            object.__setattr__(self, "on", (default,))
        for name in self.on:
            _check_route(kind, name)
        self._check_parameters()

    def _check_parameters(self) -> None:
        takes = KINDS[self.kind]
        for name in (*_MOST, *_TEXTS):
            value = getattr(self, name)
            if value is None:
                continue
            if name not in takes:
                allowed = ", ".join(takes).replace("_", "-") or "none"
                raise BadFaults(f"{self.kind} has no parameter {name.replace('_', '-')}: it takes {allowed}")
            if name in _TEXTS:
                continue
            least = -_MOST[name] if self.kind == "clock" else 0
            if not least <= value <= _MOST[name]:
                raise BadFaults(
                    f"{self.kind}: its {name.replace('_', '-')} is {value:g}: give {least:g} to {_MOST[name]:g}"
                )

    def parameter(self, name: str) -> float:
        """The value of a parameter that the kind takes, or its default."""
        value = getattr(self, name)
        return float(KINDS[self.kind][name] if value is None else value)

    def text(self, name: str) -> str:
        """The value of a parameter that is a text; several keys are joined by `+`."""
        value = getattr(self, name)
        return str(KINDS[self.kind][name]) if value is None else "+".join(value) if name == "keys" else str(value)

    @property
    def answer(self) -> str:
        """What the client gets to see: the kind's first part."""
        return self.kind.rpartition("-")[0] if self.moment else self.kind

    @property
    def moment(self) -> str:
        """When the write is carried out: `before`, `after`, `late`, or nothing for a kind that stands for itself."""
        last = self.kind.rpartition("-")[2]
        return last if last in _MOMENTS else ""

    def applies(self, route: str) -> bool:
        """Whether requests of this route, as `route_of` writes it, are meant."""
        meant = [pattern for name in self.on for pattern in GROUPS.get(name, (name,))]
        return "*" in meant or route in meant

    def __str__(self) -> str:
        """The fault as it is written in an argument."""
        given = [f"={self.probability:g}"] if not self.requests and self.probability < 1 else []
        if self.requests:
            given.append(f":requests={'+'.join(map(str, self.requests))}")
        given.append(f":on={'+'.join(self.on)}")
        for name in ("limit", *_MOST):
            value = getattr(self, name)
            if value is not None:
                shown = ("no", "yes")[value] if isinstance(value, bool) else f"{value:g}"
                given.append(f":{name.replace('_', '-')}={shown}")
        given += [f":{name}={self.text(name)}" for name in _TEXTS if getattr(self, name) is not None]
        return self.kind + "".join(given)


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults that are decided independently, the first outermost. A request may get several.

    Attributes:
        faults: The faults. `500-after` before `replay` answers 500 to a create that was carried out several times.
        seed: Two sandboxes with one seed treat the n-th request of a route alike.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def hits(self, route: str, number: int) -> list[int]:
        """Return the positions of the faults that the `number`-th request of this route gets."""
        return [
            position
            for position, fault in enumerate(self.faults)
            if fault.applies(route) and self._decide(position, route, number)
        ]

    def _decide(self, position: int, route: str, number: int) -> bool:
        fault = self.faults[position]
        if fault.requests:
            return number in fault.requests
        return self.draws(position, f"{route} {number}", fault.probability)

    def draws(self, position: int, what: str, probability: float) -> bool:
        """Decide by the seed whether a fault occurs."""
        fault = self.faults[position]
        # Counted among its own kind, so that adding a fault doesn't change the others.
        twin = sum(other.kind == fault.kind for other in self.faults[:position])
        drawn = hashlib.blake2b(f"{self.seed} {fault.kind} {twin} {what}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn) < probability * 2**64

    def __str__(self) -> str:
        return ",".join([*map(str, self.faults), f"seed={self.seed}"])


def route_of(method: str, path: str) -> str:
    """The route of a request: `{id}` for its ids, no slash at its end."""
    return f"{method} {re.sub(r'/[0-9]+(?=/|$)', '/{id}', path).rstrip('/')}"


def _check_route(kind: str, name: str) -> None:
    if name not in GROUPS and not re.fullmatch(r"[A-Z]+ /\S*[^/\s]", name):
        raise BadFaults(
            f"{kind}: {name!r} is not a route: give one of {', '.join(GROUPS)}, or a method and a path as in "
            "'GET /api/projects/{id}', without a slash at its end"
        )
