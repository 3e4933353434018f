"""The tasks of a project, page by page, as Label Studio Community 1.23.2 lists them with `fields=all`.

Nobody works on them here: what was imported is all that there is.
"""

import re
from collections.abc import Iterator

from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.account import PERSON
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import NotFound, Refusal, Rejected

_PAGE_SIZE = 30
_NOBODYS: Object = {
    "drafts": [],
    "draft_exists": False,
    "comment_count": 0,
    "unresolved_comment_count": 0,
    "comment_authors": [],
    "cancelled_annotations": 0,
    "updated_by": [],
    "file_upload": None,
    "storage_filename": None,
}


def list_tasks(call: Call) -> Answer:
    """A page of the tasks of the project that `project` names."""
    asked = call.query
    number = asked.get("project", "")
    if not number:
        raise Refusal(
            404, "Neither project nor view id specified", bare={"detail": "Neither project nor view id specified"}
        )
    if not re.fullmatch(r"\d{1,18}", number):
        raise Rejected({"project": f'Incorrect value in key "project" = "{number}". It should be digit string.'})
    project = int(number)
    if call.store.project(project) is None:
        raise NotFound("Project")
    total = call.store.count_tasks(project)
    size = int(asked["page_size"]) if re.fullmatch(r"0*[1-9]\d{0,5}", asked.get("page_size", "")) else _PAGE_SIZE
    asked_page = asked.get("page", "1")
    page = int(asked_page) if re.fullmatch(r"\d{1,9}", asked_page) else 0
    if not 1 <= page <= max(1, -(-total // size)):
        raise Refusal(404, "Invalid page.")
    found = call.store.tasks(project, limit=size, offset=(page - 1) * size)
    tasks = [_rendered(project, number, task) for number, task in found]
    counts = {
        f"total_{name}": sum(len(_of(task, name)) for _, task in found) for name in ("annotations", "predictions")
    }
    return Answer({**counts, "total": total, "tasks": list(tasks)})


def _rendered(project: int, number: int, task: JSON) -> Object:
    whole = task if isinstance(task, dict) and "data" in task else {"data": task}
    annotations = list(
        _labels(number, project, _of(task, "annotations"), {"completed_by": PERSON["id"], "updated_by": None})
    )
    predictions = list(_labels(number, project, _of(task, "predictions"), {"model_version": "undefined"}))
    return {
        "id": number,
        "project": project,
        "data": whole["data"],
        "meta": whole.get("meta", {}),
        "annotations": list(annotations),
        "predictions": list(predictions),
        "total_annotations": len(annotations),
        "total_predictions": len(predictions),
        "is_labeled": bool(annotations),
        "overlap": 1,
        **_NOBODYS,
    }


def _labels(task: int, project: int, several: list[JSON], more: Object) -> Iterator[Object]:
    for number, one in enumerate(several, start=1):
        if isinstance(one, dict):
            yield {**more, **one, "id": 1000 * task + number, "task": task, "project": project}


def _of(task: JSON, name: str) -> list[JSON]:
    several = task.get(name) if isinstance(task, dict) and "data" in task else None
    return several if isinstance(several, list) else []
