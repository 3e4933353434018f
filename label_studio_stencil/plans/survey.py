"""Reads the existing projects before the first write, in as few requests as possible."""

import asyncio
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus

from label_studio_stencil.concurrency import together
from label_studio_stencil.labelstudio.by_title import by_title, pages_of
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Rejected
from label_studio_stencil.labelstudio.listing import (
    LOOK_FIELDS,
    MOST_READS,
    falls,
    whole_list,
)
from label_studio_stencil.labelstudio.models import Project, ProjectPage
from label_studio_stencil.options import Mode
from label_studio_stencil.plans.marker import key_of, normal_title
from label_studio_stencil.plans.plan import Planned, Target, by_key, by_likeness, needs_settings, plan, replanned
from label_studio_stencil.policy import Patience
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.titles import folded

#: Seconds from the id of a create to its commit, at most.
_UNDER_WAY = Patience().late


@dataclass(frozen=True, slots=True)
class Survey:
    """The plan of a sheet, and how much of the project list it rests on.

    Attributes:
        planned: What happens to each row.
        covered: Id below which the plan has read every project that there can be.
        ordered: Whether the list came newest first.
    """

    planned: tuple[Planned, ...]
    covered: int
    ordered: bool


@dataclass(frozen=True, slots=True)
class Newest:
    """The first page of the list, newest first.

    Attributes:
        page: The page.
        fields: The fields that were requested of each project.
        now: The time of the answer, by Label Studio's clock.
    """

    page: ProjectPage
    fields: tuple[str, ...]
    now: datetime


def listed_fields(requests: Iterable[Request], mode: Mode) -> tuple[str, ...]:
    """The fields that a plan needs of each project; for `update`, the settings that rows name too."""
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
    """Plan the targets against the projects that exist.

    Reads the whole list or looks up the titles, whichever takes fewer requests.

    Args:
        label_studio: An open client.
        targets: The rows.
        mode: Whether projects that exist are left alone or updated.
        newest: The first page, being read while names are resolved.
        at_once: Requests at the same time.
        allow_lookalikes: Whether to create a project although an existing title looks the same.

    Raises:
        LabelStudioError: Label Studio did not answer.
        ListUnusable: The list shows fewer projects than it counts.
    """
    fields = newest.fields
    titles = sorted({form for target in targets for form in _forms(target.request.title)})
    rest = await _by_title(label_studio, newest, titles, at_once, most=pages_of(newest.page))
    short, found = 0, _Found.WHOLE
    for read in range(MOST_READS if rest is None else 0):
        newest = await newest_page(label_studio, fields) if read else newest
        rest, found = await _by_page(label_studio, pages_of(newest.page), newest.page, fields, at_once)
        short += found is _Found.SHORT
        if found is _Found.WHOLE or short > 1:
            break
    first, now = newest.page, newest.now
    ordered = falls(first.projects)
    if short > 1:
        # The list is not in the order that was requested.
        rest, ordered = await whole_list(label_studio, fields)
    elif found is not _Found.WHOLE:
        # It changed while it was read. The list of one title is short.
        rest = await _by_title(label_studio, newest, titles, at_once)
    projects = await _completed(label_studio, targets, [*first.projects, *(rest or ())], at_once)
    alike = {} if allow_lookalikes else by_likeness(projects, targets)
    planned = plan(targets, by_key(projects, (target.key for target in targets)), mode, alike)
    return Survey(tuple(await _with_settings(label_studio, planned, at_once)), _covered(projects, now), ordered)


async def _completed(
    label_studio: LabelStudio, targets: Sequence[Target], projects: Sequence[Project], at_once: int
) -> list[Project]:
    """The projects. If the list lacks a field that decides, and the project may be a row's, it is read by id."""
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
    """The highest id before those of projects that were created just now, among which others may still appear.

    A project gets its id before it is committed. So if creates are slow, lower ids may appear after higher ones.
    """
    ids = {project.id: _is_recent(project, now) for project in projects}
    recent = [number for number, is_recent in ids.items() if is_recent]
    return min(recent) - 1 if recent else max(ids, default=0)


def _is_recent(project: Project, now: datetime) -> bool:
    return (now - project.created_at).total_seconds() < _UNDER_WAY


def _forms(title: str) -> set[str]:
    """The title as other clients may have written it: Label Studio compares code points."""
    return {title, unicodedata.normalize("NFD", title)}


async def _recent(label_studio: LabelStudio, newest: Newest) -> list[Project]:
    """Projects that were created just now and are not on the first page."""
    projects: list[Project] = []
    page, number = newest.page, 1
    while page.has_next and _is_recent(page.projects[-1], newest.now):
        number += 1
        page = await label_studio.list_page(number, ordering="-id", fields=newest.fields)
        projects += page.projects
    return projects


class _Found(Enum):
    """How a list was read."""

    WHOLE = "whole"
    MOVED = "moved"
    """Projects came or went meanwhile."""
    SHORT = "short"
    """Nothing did, and it shows fewer than it counts."""


async def _by_page(
    label_studio: LabelStudio, pages: int, first: ProjectPage, fields: tuple[str, ...], at_once: int
) -> tuple[list[Project], _Found]:
    """The oldest projects, and whether none was deleted meanwhile, which would move others to pages that were already read.

    Reads oldest first, because a new project would otherwise push others to the next page. A creation can hide a deletion
    from the count, so the newest page is read again: it shows how many were created.
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
    # More than a page of projects may have been made; then it is not known.
    still = again.count == first.count + made and (made < len(again.projects) or not made)
    if not still:
        return projects, _Found.MOVED
    shown = len({project.id for project in (*first.projects, *projects)})
    return projects, _Found.WHOLE if shown == again.count else _Found.SHORT


async def _by_title(
    label_studio: LabelStudio, newest: Newest, titles: Sequence[str], at_once: int, *, most: float = math.inf
) -> list[Project] | None:
    """The projects of these titles, and what was created just now; nothing if that takes more than `most` requests."""
    found = await by_title(label_studio, titles, newest.fields, at_once, most=most) if most else None
    return None if found is None else [*await _recent(label_studio, newest), *found]


async def _with_settings(label_studio: LabelStudio, planned: Sequence[Planned], at_once: int) -> list[Planned]:
    """The plan, with projects read by id where the list lacks fields to compare."""
    limit = asyncio.Semaphore(at_once)

    async def complete(each: Planned) -> Planned:
        async with limit:
            try:
                project = await label_studio.project(each.projects[0].id)
            except Rejected as rejected:
                if rejected.status != HTTPStatus.NOT_FOUND:
                    raise
                return each
            # If it was deleted, renamed or moved since the list was read, the update says so.
            return replanned(each, project) if key_of(project.workspace, project.title) == each.target.key else each

    found = {number: each for number, each in enumerate(planned) if needs_settings(each)}
    completed = dict(zip(found, await together(complete(each) for each in found.values()), strict=True))
    return [completed.get(number, each) for number, each in enumerate(planned)]
