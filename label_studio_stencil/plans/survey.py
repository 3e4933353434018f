"""Learns what exists on Label Studio before anything is written, in as few requests as it takes."""

import asyncio
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus

from label_studio_stencil.concurrency import together
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Rejected
from label_studio_stencil.labelstudio.listing import (
    LOOK_FIELDS,
    MOST_READS,
    falls,
    incomplete,
    never_held_still,
    whole_list,
)
from label_studio_stencil.labelstudio.models import Project, ProjectPage
from label_studio_stencil.options import Mode
from label_studio_stencil.plans.marker import normal_title
from label_studio_stencil.plans.plan import Planned, Target, by_key, by_likeness, needs_settings, plan, replanned
from label_studio_stencil.policy import Patience
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.titles import folded

#: Seconds that a create may take to be committed after it got its id.
_UNDER_WAY = Patience().late


@dataclass(frozen=True, slots=True)
class Survey:
    """The plan of a sheet, and how far Label Studio was read for it.

    Attributes:
        planned: What each row is going to do.
        covered: Project id below which nothing can turn up that the plan has not read.
        ordered: Whether the list came newest first.
    """

    planned: tuple[Planned, ...]
    covered: int
    ordered: bool


@dataclass(frozen=True, slots=True)
class Newest:
    """The first page of the list, newest first.

    Attributes:
        page: What it showed.
        fields: What was asked for of each project.
        now: Label Studio's clock when it did.
    """

    page: ProjectPage
    fields: tuple[str, ...]
    now: datetime


def listed_fields(requests: Iterable[Request], mode: Mode) -> tuple[str, ...]:
    """What a plan needs to know of each project that exists: for `update` the settings that rows name, too."""
    if mode != "update":
        return LOOK_FIELDS
    return (*LOOK_FIELDS, *sorted({name for request in requests for name in request.overrides} - set(LOOK_FIELDS)))


async def newest_page(label_studio: LabelStudio, fields: tuple[str, ...]) -> Newest:
    """The newest projects.

    Raises:
        LabelStudioError: Label Studio did not answer.
    """
    page = await label_studio.list_page(1, ordering="-id", fields=fields)
    return Newest(page, fields, label_studio.server_time() or datetime.now(UTC))


async def survey(
    label_studio: LabelStudio,
    targets: Sequence[Target],
    mode: Mode,
    newest: Newest,
    *,
    at_once: int,
    allow_lookalikes: bool = False,
) -> Survey:
    """Set the targets against the projects that exist.

    Reads the pages of the whole list, or looks each title up, whichever is fewer requests.

    Args:
        label_studio: An open client.
        targets: The rows.
        mode: Whether projects that exist are left alone or updated.
        newest: The first page, which is read while names are resolved.
        at_once: Requests under way at once.
        allow_lookalikes: Whether a project whose title only looks like a row's is no reason not to make that row's.

    Raises:
        LabelStudioError: Label Studio did not answer.
        ListUnusable: The list does not show all that it counts.
    """
    fields = newest.fields
    titles = sorted({form for target in targets for form in _forms(target.request.title)})
    short = 0
    for read in range(MOST_READS):
        newest = await newest_page(label_studio, fields) if read else newest
        first, now = newest.page, newest.now
        pages = math.ceil(first.count / len(first.projects)) - 1 if first.has_next else 0
        if pages > len(titles):
            break
        rest, found = await _by_page(label_studio, pages, first, fields, at_once)
        short += found is _Found.SHORT
        if found is _Found.WHOLE or short > 1:
            break
    ordered = falls(first.projects)
    if short > 1:
        # The order that was asked for is not the one that it comes in.
        rest, ordered = await whole_list(label_studio, fields)
    elif pages > len(titles) or found is not _Found.WHOLE:
        # The list is long, or never held still; a title's own list is short, and does.
        rest = [
            *await _recent(label_studio, first, fields, now),
            *await _by_title(label_studio, titles, fields, at_once),
        ]
    projects = await _completed(label_studio, targets, [*first.projects, *rest], at_once)
    alike = {} if allow_lookalikes else by_likeness(projects, targets)
    planned = plan(targets, by_key(projects, (target.key for target in targets)), mode, alike)
    return Survey(tuple(await _with_settings(label_studio, planned, at_once)), _covered(projects, now), ordered)


async def _completed(
    label_studio: LabelStudio, targets: Sequence[Target], projects: Sequence[Project], at_once: int
) -> list[Project]:
    """The projects, those read by id of which the list left out what they are decided by, where they may be of a row."""
    places = {target.workspace for target in targets}
    titles = {folded(normal_title(target.request.title)) for target in targets}
    limit = asyncio.Semaphore(at_once)

    def is_unclear(project: Project) -> bool:
        lacks = [name for name in project.lacks if name != "workspace" or places != {None}]
        return bool(lacks) and ("title" in lacks or folded(normal_title(project.title)) in titles)

    async def complete(project: Project) -> Project | None:
        async with limit:
            try:
                return await label_studio.project(project.id)
            except Rejected as rejected:
                if rejected.status != HTTPStatus.NOT_FOUND:
                    raise
                return None

    unclear = [project for project in projects if project.lacks and is_unclear(project)]
    read = dict(zip((each.id for each in unclear), await together(map(complete, unclear)), strict=True))
    found = (read.get(project.id, project) for project in projects)
    return [project for project in found if project is not None]


def _covered(projects: Iterable[Project], now: datetime) -> int:
    """The highest id, or, where projects were created just now, that before them: others may be under way among them.

    A project's id is given before it is committed, and so, where creates are slow, lower ids may follow higher ones.
    """
    ids = {project.id: _is_recent(project, now) for project in projects}
    recent = [number for number, is_recent in ids.items() if is_recent]
    return min(recent) - 1 if recent else max(ids, default=0)


def _is_recent(project: Project, now: datetime) -> bool:
    return (now - project.created_at).total_seconds() < _UNDER_WAY


def _forms(title: str) -> set[str]:
    """The title as other clients may have written it: Label Studio compares code points."""
    return {title, unicodedata.normalize("NFD", title)}


async def _recent(
    label_studio: LabelStudio, first: ProjectPage, fields: tuple[str, ...], now: datetime
) -> list[Project]:
    """What was created just now and does not stand on the first page."""
    projects: list[Project] = []
    page, number = first, 1
    while page.has_next and _is_recent(page.projects[-1], now):
        number += 1
        page = await label_studio.list_page(number, ordering="-id", fields=fields)
        projects += page.projects
    return projects


class _Found(Enum):
    """How much of a list was read."""

    WHOLE = "whole"
    MOVED = "moved"
    """Projects came or went meanwhile."""
    SHORT = "short"
    """Nothing did, and it shows fewer than it counts."""


async def _by_page(
    label_studio: LabelStudio, pages: int, first: ProjectPage, fields: tuple[str, ...], at_once: int
) -> tuple[list[Project], _Found]:
    """The oldest projects, and whether none was deleted meanwhile: then others moved up, past us.

    Oldest first, since what is created meanwhile would push others from one page to the next, past us too. A creation hides a
    deletion from the count, so the newest page is read again: it tells how many were created.
    """
    if not pages:
        shown = len({project.id for project in first.projects})
        return [], _Found.WHOLE if shown == first.count else _Found.SHORT
    limit = asyncio.Semaphore(at_once)

    async def read(number: int) -> list[Project]:
        async with limit:
            return (await label_studio.list_page(number, ordering="id", fields=fields)).projects

    found = await together(read(number) for number in range(1, pages + 1))
    again = (await newest_page(label_studio, fields)).page
    made = sum(project.id > first.projects[0].id for project in again.projects)
    projects = [project for page in (*found, again.projects) for project in page]
    # More than a page of them may have been made: then that can't be told.
    still = again.count == first.count + made and (made < len(again.projects) or not made)
    if not still:
        return projects, _Found.MOVED
    shown = len({project.id for project in (*first.projects, *projects)})
    return projects, _Found.WHOLE if shown == again.count else _Found.SHORT


async def _by_title(
    label_studio: LabelStudio, titles: Sequence[str], fields: tuple[str, ...], at_once: int
) -> list[Project]:
    limit = asyncio.Semaphore(at_once)

    async def read(title: str) -> tuple[list[Project], int | None]:
        """The projects whose titles contain this one (the key tells them apart), and their number if it held still."""
        projects: list[Project] = []
        number, more, counts = 1, True, set()
        while more:
            async with limit:
                page = await label_studio.list_page(number, ordering="-id", fields=fields, title=title)
            counts.add(page.count)
            projects += page.projects
            number, more = number + 1, page.has_next
        return projects, counts.pop() if len(counts) == 1 else None

    async def read_whole(title: str) -> list[Project]:
        before: tuple[frozenset[int], int] | None = None
        for _ in range(MOST_READS):
            projects, count = await read(title)
            if count is None:
                continue
            now = (frozenset(project.id for project in projects), count)
            if len(now[0]) == count:
                return projects
            if now == before:
                raise incomplete(*now)
            before = now
        raise never_held_still(
            f"projects whose titles contain {title!r} were made or deleted each time that they were listed: try again later"
        )

    return [project for found in await together(read_whole(title) for title in titles) for project in found]


async def _with_settings(label_studio: LabelStudio, planned: Sequence[Planned], at_once: int) -> list[Planned]:
    """The plan, with those projects read one by one of which the list did not give the fields to compare."""
    limit = asyncio.Semaphore(at_once)

    async def complete(each: Planned) -> Planned:
        async with limit:
            return replanned(each, await label_studio.project(each.projects[0].id))

    found = {number: each for number, each in enumerate(planned) if needs_settings(each)}
    completed = dict(zip(found, await together(complete(each) for each in found.values()), strict=True))
    return [completed.get(number, each) for number, each in enumerate(planned)]
