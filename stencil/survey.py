"""Learns what exists on the studio before anything is written, in as few requests as it takes."""

import asyncio
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from stencil.labelstudio import LabelStudio, Project
from stencil.planning import Mode, Planned, Target, by_key, needs_settings, plan, replanned
from stencil.provisioning.looking import LOOK_FIELDS

_PAGE = 100
_MOST_READS = 5


@dataclass(frozen=True, slots=True)
class Survey:
    """The plan of a sheet, and how far the studio was read for it.

    Attributes:
        planned: What each row is going to do.
        covered: Highest project id that existed.
    """

    planned: tuple[Planned, ...]
    covered: int


async def survey(studio: LabelStudio, targets: Sequence[Target], mode: Mode, *, at_once: int) -> Survey:
    """Set the targets against the projects that exist.

    Reads the pages of the whole list, or looks each title up, whichever is fewer requests.

    Args:
        studio: An open client.
        targets: The rows.
        mode: What is to happen to projects that exist; for `Mode.UPDATE` their settings are read too.
        at_once: Requests under way at once.

    Raises:
        LabelStudioError: The studio did not answer.
    """
    fields: tuple[str, ...] = LOOK_FIELDS
    if mode is Mode.UPDATE:
        fields += tuple(sorted({name for target in targets for name in target.request.overrides} - set(LOOK_FIELDS)))
    for _ in range(_MOST_READS):
        first = await studio.list_page(1, ordering="-id", fields=fields)
        covered = max((project.id for project in first.projects), default=0)
        pages = -(-first.count // _PAGE)
        titles = sorted({form for target in targets for form in _forms(target.request.title)})
        if not first.has_next:
            projects, whole = list(first.projects), True
        elif len(titles) < pages - 1:
            projects, whole = await _by_title(studio, titles, fields, at_once), True
        else:
            rest, whole = await _by_page(studio, range(2, pages + 1), first.count, fields, at_once)
            projects = [*first.projects, *rest]
        if whole:
            break
    planned = plan(targets, by_key(projects, (target.key for target in targets)), mode)
    return Survey(tuple(await _with_settings(studio, planned, at_once)), covered)


def _forms(title: str) -> set[str]:
    """The title as other clients may have written it: the studio compares code points."""
    return {title, unicodedata.normalize("NFD", title)}


async def _by_page(
    studio: LabelStudio, numbers: range, count: int, fields: tuple[str, ...], at_once: int
) -> tuple[list[Project], bool]:
    """The projects of some pages, and whether none was deleted meanwhile: then others moved up, past us."""
    limit = asyncio.Semaphore(at_once)
    projects: list[Project] = []
    whole = True

    async def read(number: int) -> None:
        nonlocal whole
        async with limit:
            page = await studio.list_page(number, ordering="-id", fields=fields)
        whole = whole and page.count >= count
        projects.extend(page.projects)

    await asyncio.gather(*(read(number) for number in numbers))
    return projects, whole


async def _by_title(studio: LabelStudio, titles: Sequence[str], fields: tuple[str, ...], at_once: int) -> list[Project]:
    limit = asyncio.Semaphore(at_once)
    projects: list[Project] = []

    async def read(title: str) -> None:
        # The filter finds titles that contain this one; the key tells them apart.
        number, more = 1, True
        while more:
            async with limit:
                page = await studio.list_page(number, ordering="-id", fields=fields, title=title)
            projects.extend(page.projects)
            number, more = number + 1, page.has_next

    await asyncio.gather(*(read(title) for title in titles))
    return projects


async def _with_settings(studio: LabelStudio, planned: Sequence[Planned], at_once: int) -> list[Planned]:
    """The plan, with those projects read one by one of which the list did not give the fields to compare."""
    limit = asyncio.Semaphore(at_once)

    async def complete(each: Planned) -> Planned:
        if not needs_settings(each):
            return each
        async with limit:
            return replanned(each, await studio.project(each.projects[0].id))

    return list(await asyncio.gather(*(complete(each) for each in planned)))
