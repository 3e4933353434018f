"""Pages of projects: filters, orders, and the links from page to page.

Measured on Label Studio Community 1.23.2; `workspaces`, `archived`, `search`, `state` and `source_interface_id` are the
vendor's OpenAPI for Enterprise.
"""

import re
from urllib.parse import urlencode

from label_studio_sandbox import spec
from label_studio_sandbox._json import Object
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import Crash, Invalid, Refusal, Rejected
from label_studio_sandbox.fields import Integer
from label_studio_sandbox.projects import included, render, trim
from label_studio_sandbox.store import Project, Query, fold

_ORDERABLE = {
    "id": "p.id",
    "title": "p.title",
    "description": "p.description",
    "created_at": "p.created_at",
    "pinned_at": "p.pinned_at",
    "workspace": "p.workspace",
    "task_number": "p.tasks",
}
#: The orders that the API knows; others are ignored.
PARAMETERS = frozenset(
    {
        "archived",
        "filter",
        "ids",
        "include",
        "members_limit",
        "ordering",
        "page",
        "page_size",
        "search",
        "source_interface_id",
        "state",
        "title",
        "workspaces",
    }
)
_PINNED = {"pinned_only": "p.pinned_at IS NOT NULL", "exclude_pinned": "p.pinned_at IS NULL"}
_ARCHIVED = "coalesce(json_extract(w.body, '$.is_archived'), 0) = ?"


def list_projects(call: Call) -> Answer:
    """A page of projects."""
    return _page(call, "list")


def count_projects(call: Call) -> Answer:
    """A page of the projects' counters."""
    return _page(call, "counts")


def render_item(project: Project) -> Object:
    """The project as an item of a list."""
    body = render(project) | spec.RESPONSE_EXTRAS | spec.LIST_EXTRAS
    body["description_short"] = (project.description or "")[:100]
    for name in spec.NOT_IN_LIST:
        del body[name]
    return body


def _page(call: Call, kind: str) -> Answer:
    asked = call.query
    query = _query(asked, call.ordering)
    count = call.store.count_projects(query)
    size = _page_size(asked.get("page_size", ""))
    last = max(1, -(-count // size))
    number = last if asked.get("page") == "last" else _page_number(asked.get("page") or "1", last)
    found = call.store.projects(query, limit=size, offset=(number - 1) * size)
    wanted = included(call)
    items = [trim(render_item(p) if kind == "list" else _counts(p), wanted) for p in found]
    return Answer(
        {
            "count": count,
            "next": _link(call, number + 1) if number < last else None,
            "previous": _link(call, number - 1) if number > 1 else None,
            "results": list(items),
        }
    )


def _counts(project: Project) -> Object:
    counts: Object = {"id": project.id, "duplication_status": "", "queue_done": 0, "queue_left": 0}
    counts |= {name: project.settings.get(name, 0) for name in spec.COUNTERS}
    counts |= {"rejected": 0, "review_total_tasks": 0, "reviewed_number": 0}
    return counts | {"task_number": project.tasks, "queue_total": project.tasks}


def _page_size(text: str) -> int:
    return min(int(text), 100) if re.fullmatch(r"0*[1-9]\d{0,9}", text) else 30


def _page_number(text: str, last: int) -> int:
    number = int(text) if re.fullmatch(r"\s*\+?\d{1,12}\s*", text) else 0
    if not 1 <= number <= last:
        raise Refusal(404, "Invalid page.")
    return number


def _link(call: Call, page: int) -> str:
    query = dict(sorted((call.query | {"page": str(page)}).items()))
    if page == 1:
        del query["page"]
    host = call.headers.get(b"host", b"localhost").decode("latin-1")
    return f"{call.scheme}://{host}{call.path}" + (f"?{urlencode(query)}" if query else "")


def _query(asked: dict[str, str], ordering: str | None) -> Query:
    conditions: list[str] = []
    values: list[str | int] = []

    def where(condition: str, *given: str | int) -> None:
        conditions.append(condition)
        values.extend(given)

    if asked.get("title"):
        where("instr(p.folded, ?) > 0", fold(asked["title"]))
    if asked.get("search"):
        word = fold(asked["search"])
        where("(instr(p.folded, ?) > 0 OR instr(fold(p.description), ?) > 0)", word, word)
    if asked.get("ids"):
        ids = [_id(text) for text in asked["ids"].split(",")]
        where(f"p.id IN ({','.join('?' * len(ids))})", *ids)
    if asked.get("workspaces"):
        where("p.workspace = ?", _number("workspaces", asked["workspaces"]))
    if asked.get("source_interface_id"):
        number = _number("source_interface_id", asked["source_interface_id"])
        where("json_extract(p.settings, '$.source_interface_id') = ?", number)
    if asked.get("state"):
        where("? = 'CREATED'", asked["state"])
    if asked.get("archived", "").lower() in {"true", "false"}:
        where(_ARCHIVED, int(asked["archived"].lower() == "true"))
    if asked.get("filter") in _PINNED:
        where(_PINNED[asked["filter"]])
    order = _order(asked.get("ordering", "") if ordering is None else ordering)
    return Query(conditions, values, order) if order else Query(conditions, values)


def _order(ordering: str) -> str:
    terms = [term.strip() for term in ordering.split(",")]
    known = [
        f"{_ORDERABLE[term.lstrip('-')]} {'DESC' if term.startswith('-') else 'ASC'}"
        for term in terms
        if term.lstrip("-") in _ORDERABLE
    ]
    return ", ".join(known)


def _id(text: str) -> int:
    if not re.fullmatch(r"\s*[+-]?\d+\s*", text):
        raise Crash(f"Field 'id' expected a number but got {text!r}.")
    return _number("ids", text)


def _number(name: str, text: str) -> int:
    # Numbers may come as floats: the official SDK's type for `workspaces` is one.
    try:
        value = Integer(0, 2**63 - 1).clean(text.strip())
    except Invalid:
        raise Rejected({name: ["Enter a number."]}) from None
    return int(str(value))
