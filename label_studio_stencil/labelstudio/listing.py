"""Reads the whole list of projects, in any order, and checks by their number that it is complete.

Looks and plans request an order, because they only need the newest projects. The contract doesn't say which orders a server
supports, and a server that ignores the order would hide projects. A complete list needs no order: it has as many different
ids as the server counts.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

from label_studio_stencil.concurrency import together
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Unsure
from label_studio_stencil.labelstudio.models import Project, ProjectPage
from label_studio_stencil.problems import StencilError

#: Fields that a look needs; a page with these is a fortieth of a full one (measured on Community 1.23.2).
LOOK_FIELDS = ("id", "title", "description", "workspace", "created_at", "task_number")

#: How often a list is read again because projects were created or deleted meanwhile.
MOST_READS = 5
#: Pages that are requested at the same time.
PAGES_AT_ONCE = 16


class ListUnusable(StencilError):
    """The list of projects is unreliable, so nothing may be written on its basis."""


def falls(projects: Sequence[Project]) -> bool:
    """Whether each id is lower than the one before it."""
    return all(one.id > other.id for one, other in pairwise(projects))


def never_held_still(what: str = "projects were made or deleted each time that the list was read") -> Unsure:
    """The error of a list that changed each time that it was read."""
    return Unsure(what, method="GET", path="/api/projects/", reason=what)


def incomplete(shown: Collection[int], count: int) -> ListUnusable:
    """The error of a list that shows fewer projects than it counts, read twice without a change."""
    return ListUnusable(
        f"the project list of this Label Studio counts {count} projects, but shows {len(shown)} different ones each time that "
        "it is read: Stencil would make the hidden ones a second time. Ask its operator about caches or proxies in front of it."
    )


async def whole_list(label_studio: LabelStudio, fields: Collection[str]) -> tuple[list[Project], bool]:
    """All projects, each once, and whether they came newest first.

    Args:
        label_studio: An open client.
        fields: Fields to request.

    Raises:
        ListUnusable: The list shows fewer projects than it counts.
        LabelStudioError: Label Studio did not answer, or the list kept changing.
    """
    before: tuple[frozenset[int], int] | None = None
    for _ in range(MOST_READS):
        pages = await _pages(label_studio, fields)
        projects = [project for page in pages for project in page.projects]
        found = {project.id: project for project in projects}
        if len({page.count for page in pages}) > 1:
            continue
        now = (frozenset(found), pages[0].count)
        if len(found) == pages[0].count:
            return list(found.values()), falls(projects)
        if now == before:
            raise incomplete(*now)
        before = now
    raise never_held_still()


async def _pages(label_studio: LabelStudio, fields: Collection[str]) -> list[ProjectPage]:
    first = await label_studio.list_page(1, ordering="-id", fields=fields)
    pages, size = [first], max(1, len(first.projects))
    last = -(-first.count // size) if first.has_next else 1
    for start in range(2, last + 1, PAGES_AT_ONCE):
        numbers = range(start, min(start + PAGES_AT_ONCE, last + 1))
        pages += await together(label_studio.list_page(number, ordering="-id", fields=fields) for number in numbers)
    return pages
