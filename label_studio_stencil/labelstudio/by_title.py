"""Looks up titles in the list of projects.

Label Studio lists all projects whose titles contain a text, which may be thousands for a short one.
"""

import asyncio
import itertools
import math
from collections.abc import Collection, Sequence

from label_studio_stencil.concurrency import together
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.listing import MOST_READS, incomplete, never_held_still
from label_studio_stencil.labelstudio.models import Project, ProjectPage

#: Titles that are looked up first, to learn how many pages one takes.
_SAMPLE = 8
#: Characters that all titles must begin with, so that one look-up is tried for all of them.
_SHORTEST_BEGINNING = 4


def pages_of(first: ProjectPage) -> int:
    """How many pages a list has after its first."""
    return math.ceil(first.count / len(first.projects)) - 1 if first.has_next else 0


async def by_title(
    label_studio: LabelStudio, titles: Sequence[str], fields: Collection[str], at_once: int, *, most: float = math.inf
) -> list[Project] | None:
    """The projects whose titles contain one of these, or nothing if that would take more than `most` requests.

    If all titles begin alike, and few projects have this beginning in their titles, one look-up finds all of them. Otherwise
    each title is looked up, a few first: if these show that it would take too many requests, the others are not.

    Args:
        label_studio: An open client.
        titles: Titles to look up.
        fields: Fields to request.
        at_once: Requests at the same time.
        most: Most requests, not counting those that show how many it would take.

    Raises:
        LabelStudioError: Label Studio did not answer, or the list changed each time that it was read.
        ListUnusable: The list shows fewer projects than it counts.
    """
    limit = asyncio.Semaphore(at_once)

    async def page_of(title: str, number: int = 1) -> ProjectPage:
        async with limit:
            return await label_studio.list_page(number, ordering="-id", fields=fields, title=title)

    async def read(title: str) -> tuple[list[Project], int | None]:
        """The projects, and their number if it did not change."""
        projects: list[Project] = []
        number, more, counts = 1, True, set()
        while more:
            page = await page_of(title, number)
            counts.add(page.count)
            projects += page.projects
            number, more = number + 1, page.has_next
        return projects, counts.pop() if len(counts) == 1 else None

    async def whole(title: str) -> list[Project]:
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

    # All titles have in common what the first and the last in sorted order have.
    beginning = _beginning(min(titles), max(titles)).strip() if min(most, len(titles)) >= _SAMPLE else ""
    if len(beginning) >= _SHORTEST_BEGINNING and 1 + pages_of(await page_of(beginning)) <= min(most, len(titles)):
        return await whole(beginning)
    if len(titles) > most:
        return None
    firsts: dict[str, ProjectPage] = {}
    step = math.ceil(len(titles) / _SAMPLE)
    for group in (titles[::step], titles):
        asked = [title for title in group if title not in firsts]
        firsts |= zip(asked, await together(page_of(title) for title in asked), strict=True)
        # A title with more than one page is read again from its first page, which shows whether the list has changed.
        further = sum(1 + pages_of(first) for first in firsts.values() if first.has_next)
        if (len(titles) - len(firsts)) + further / len(firsts) * len(titles) > most:
            return None
    found = [first.projects for first in firsts.values() if _is_whole(first)]
    found += await together(whole(title) for title, first in firsts.items() if not _is_whole(first))
    return [project for projects in found for project in projects]


def _beginning(one: str, other: str) -> str:
    """The common beginning of two titles."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in same)


def _is_whole(first: ProjectPage) -> bool:
    return not first.has_next and len({project.id for project in first.projects}) == first.count
