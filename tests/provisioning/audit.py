"""A second opinion on a scene, from nothing but Label Studio's own log and its projects at the end.

It shares no code with Stencil and with the first checker, so that a mistake in what these believe of markers, keys or looks
can't hide itself. What it is given are plain values: requests and states of projects in the order of time.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

#: How a project is recognised that is not set up yet.
_MARKER = re.compile(
    r"Being set up by Stencil\. Please leave it alone: a rerun finishes or removes it\. "
    r"\[stencil [0-9a-f]{16}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}\]"
)
#: Seconds that a deletion may follow the reading that it was decided by, on the way included.
_FRESH = 5.1


@dataclass(frozen=True)
class Event:
    """One request as Label Studio saw it.

    Attributes:
        client: Who sent it.
        method: `POST`, `PATCH`, `DELETE`, `GET`, `LIST` or `IMPORT`.
        sent: When it was sent, in seconds.
        ended: When its sender stopped waiting for the answer; infinite where that died.
        number: The project that it is about.
        title: The title that it asks for.
        page: The page that it asks for.
        before: The project as it was when the request was sent: `title`, `workspace`, `description`, `tasks`, `creator`.
        shown: Ids that a list showed.
        answered: The project that its answer gave.
        imported: The import that Label Studio took on for it, whether or not its answer said so.
        refused: Whether its answer says that Label Studio took on no import.
    """

    client: str
    method: str
    sent: float
    ended: float
    number: int | None = None
    title: str = ""
    page: int = 0
    before: Mapping[str, Any] | None = None
    shown: frozenset[int] = frozenset()
    answered: int | None = None
    imported: int | None = None
    refused: bool = False


@dataclass(frozen=True)
class Import:
    """An import that Label Studio took on: into which project, when it was over, and whether it had failed then."""

    number: int
    project: int
    ended: float
    failed: bool


@dataclass(frozen=True)
class State:
    """What a project became: when, and by whom (`client`; empty where it was a person)."""

    at: float
    number: int
    project: Mapping[str, Any] | None
    by: str


def violations(events: Sequence[Event], states: Sequence[State], imports: Sequence[Import], user: int) -> list[str]:
    """What was done that must never be done, each a sentence.

    Args:
        events: All requests, in the order in which they were sent.
        states: What became of the projects, in the order of time.
        imports: All that Label Studio took on.
        user: Who the batches are, to Label Studio.
    """
    found = _imports(events, imports)
    of_client: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_client[event.client].append(event)
    for own in of_client.values():
        found += _creates_without_a_look(own)
        for event in own:
            if event.method == "DELETE":
                found += _deletion(event, own, states, user)
            if event.method == "PATCH":
                found += _write(event, own)
    return found


def set_up_twice(states: Sequence[State]) -> set[str]:
    """Titles of which two projects without a marker are there at the end, both set up by batches and touched by no person."""
    count: dict[tuple[object, str], int] = defaultdict(int)
    touched = _touched(states)
    for number, project in _end(states).items():
        if not _is_marked(project) and number not in touched:
            count[project["workspace"], project["title"]] += 1
    return {title for (_, title), times in count.items() if times > 1}


def left_half_made(states: Sequence[State]) -> set[int]:
    """Projects with a marker at the end that no person has touched."""
    return {number for number, project in _end(states).items() if _is_marked(project)} - _touched(states)


def _touched(states: Sequence[State]) -> set[int]:
    """Projects that a person has made or changed."""
    return {state.number for state in states if not state.by}


def _end(states: Sequence[State]) -> dict[int, Mapping[str, Any]]:
    end: dict[int, Mapping[str, Any]] = {}
    for state in states:
        if state.project is None:
            end.pop(state.number, None)
        else:
            end[state.number] = state.project
    return end


def _is_marked(project: Mapping[str, Any]) -> bool:
    return bool(_MARKER.fullmatch(project["description"]))


def _imports(events: Sequence[Event], imports: Sequence[Import]) -> list[str]:
    """Tasks are in a project once, and none are sent into one while others, sent before, have not certainly failed."""
    carried_out = Counter(each.project for each in imports if not each.failed)
    found = [
        f"{times} imports into project {number} were carried out" for number, times in carried_out.items() if times > 1
    ]
    failed = {each.number: each.ended for each in imports if each.failed}
    sent: dict[int | None, list[Event]] = defaultdict(list)
    for event in events:
        if event.method == "IMPORT":
            sent[event.number].append(event)
    for number, own in sent.items():
        found += [
            f"{later.client} imported into project {number} at {later.sent:.2f}, and {earlier.client} at {earlier.sent:.2f}"
            for earlier, later in combinations(own, 2)
            if not earlier.refused and failed.get(earlier.imported or 0, math.inf) > later.sent
        ]
    return found


def _creates_without_a_look(own: Sequence[Event]) -> list[str]:
    found = []
    last: dict[str, Event] = {}
    for event in own:
        if event.method != "POST":
            continue
        earlier = last.get(event.title)
        if earlier is not None and not any(
            look.method == "LIST" and look.page == 1 and earlier.ended <= look.sent and look.ended <= event.sent
            for look in own
        ):
            found.append(f"{event.client} created {event.title!r} at {event.sent:.2f} again without a look")
        last[event.title] = event
    return found


def _deletion(event: Event, own: Sequence[Event], states: Sequence[State], user: int) -> list[str]:
    who = f"{event.client} deleted project {event.number} at {event.sent:.2f}"
    read = [each for each in own if each.method == "GET" and each.number == event.number and each.ended <= event.sent]
    if not read or event.sent - read[-1].ended > _FRESH:
        return [f"{who} without having read it just before"]
    project = read[-1].before
    if project is None or project["creator"] != user or project["tasks"]:
        return [f"{who}, which is not ours or holds tasks: {project}"]
    if _is_marked(project):
        return []
    if not any(each.method == "PATCH" and each.number == event.number for each in own):
        return [f"{who}, which is set up, and not by itself"]
    then = _end([state for state in states if state.at <= event.sent])
    twins = [
        number
        for number, other in then.items()
        if number != event.number
        and (other["title"], other["workspace"]) == (project["title"], project["workspace"])
        and not _is_marked(other)
    ]
    return [] if twins else [f"{who}, the only one that was set up"]


def _write(event: Event, own: Sequence[Event]) -> list[str]:
    who = f"{event.client} wrote to project {event.number} at {event.sent:.2f}"
    made = [each for each in own if each.method == "POST" and each.answered == event.number]
    if not made:
        return []
    shown = any(look.method == "LIST" and look.ended <= event.sent and event.number in look.shown for look in own)
    return [] if shown else [f"{who} before any list had shown it"]
