"""Reads the whole list of projects in whatever order Label Studio gives it, and checks by number that it is whole.

Looks and plans ask for an order, since the newest projects are all that they need. The contract does not name the orders that a
server knows, and one that ignores them hides projects from a reader who trusts it. Whether a list was read whole needs no
order: then there are as many different ids as the server counts.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

from label_studio_stencil.concurrency import together
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Unsure
from label_studio_stencil.labelstudio.models import Project, ProjectPage
from label_studio_stencil.problems import StencilError

#: What a look needs of a project; a page with these is a fortieth of a full one (measured on Community 1.23.2).
LOOK_FIELDS = ("id", "title", "description", "workspace", "created_at", "task_number")

#: Times that a list is begun again because projects came or went between two pages of it.
MOST_READS = 5
#: Pages that are asked for side by side.
PAGES_AT_ONCE = 16


class ListUnusable(StencilError):
    """The list of projects can't be relied on, so that nothing may be written by what it shows."""


def falls(projects: Sequence[Project]) -> bool:
    """Whether each id is lower than the one before it."""
    return all(one.id > other.id for one, other in pairwise(projects))


def never_held_still(what: str = "projects were made or deleted each time that the list was read") -> Unsure:
    """The error of a list that changed each time that it was read."""
    return Unsure(what, method="GET", path="/api/projects/", reason=what)


def incomplete(shown: Collection[int], count: int) -> ListUnusable:
    """The error of a list that was read twice without a change, and does not show all that it counts."""
    return ListUnusable(
        f"the project list of this Label Studio counts {count} projects and shows {len(shown)} different ones, each time that "
        "it is read: what it hides would be made a second time. Ask who runs it, or whether a cache or proxy stands before it."
    )


async def whole_list(label_studio: LabelStudio, fields: Collection[str]) -> tuple[list[Project], bool]:
    """All projects, each once, and whether they came newest first.

    Args:
        label_studio: Where.
        fields: What is asked for of each.

    Raises:
        ListUnusable: The list does not show all that it counts.
        LabelStudioError: Label Studio did not answer, or the list never held still.
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
