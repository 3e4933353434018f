"""Decides whether a project's tasks are exactly those that the batch imported, with nobody's work in them."""

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping

from label_studio_stencil.files import Unusable
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Task
from label_studio_stencil.problems import counted
from label_studio_stencil.removal.proof import Doubt
from label_studio_stencil.rows.steps import BadStep, TaskFile
from label_studio_stencil.rows.task_files import open_tasks

#: Up to here a float holds whole numbers exactly.
_EXACT = 2**53
_LARGEST = sys.float_info.max
#: The digest of a task; equal tasks have equal ones.
Print = bytes


async def doubt_about_tasks(label_studio: LabelStudio, project: int, tasks: TaskFile) -> Doubt | None:
    """Why a project's tasks may not be exactly those that the batch imported; `None` if there is no doubt.

    Args:
        label_studio: An open client.
        project: The project's id.
        tasks: What the batch imported.

    Raises:
        LabelStudioError: They could not be read.
    """
    try:
        content = (await asyncio.to_thread(open_tasks, tasks.where, tasks.asker)).tasks
    except (Unusable, BadStep) as error:
        return Doubt("bad-step", f"the file of its tasks can't be compared: {error}")
    of_file, found, ids, page = prints_of_file(content), Counter[Print](), set[int](), 0
    while len(ids) < tasks.count:
        page += 1
        answer = await label_studio.tasks_page(project, page)
        if answer.total != tasks.count or not answer.tasks:
            return Doubt("other-tasks", f"it holds {counted(answer.total, 'task')}, and its file has {tasks.count}")
        for task in answer.tasks:
            if worked := work_on(task):
                return worked
            found[print_of(task)] += task.id not in ids
            ids.add(task.id)
    return differing(of_file, found)


def prints_of_file(tasks: Iterable[JSON]) -> Counter[Print]:
    """The digests of the tasks in a file."""
    return Counter(_print(*_parts(task)) for task in tasks)


def print_of(task: Task) -> Print:
    """The digest of a task in Label Studio."""
    return _print(task.data, task.meta, _results(task.annotations), _results(task.predictions))


def work_on(task: Task) -> Doubt | None:
    """What somebody has done to a task since it was imported, as far as Label Studio says; `None` if it says nothing."""
    if task.drafts or task.draft_exists:
        return Doubt("has-work", f"task {task.id} holds a draft")
    if task.comment_count:
        return Doubt("has-work", f"task {task.id} holds {counted(task.comment_count, 'comment')}")
    if any(annotation.get("updated_by") or annotation.get("reviews") for annotation in task.annotations):
        return Doubt("has-work", f"an annotation of task {task.id} was changed or reviewed since it was imported")
    return None


def differing(of_file: Counter[Print], found: Counter[Print]) -> Doubt | None:
    """Why a project's tasks are not those of the file; `None` if they are."""
    others, missing = (found - of_file).total(), (of_file - found).total()
    if not others and not missing:
        return None
    return Doubt(
        "other-tasks",
        f"{others} of its {found.total()} tasks, annotations and predictions included, are not as the file has them now, and "
        f"{missing} of the file's {of_file.total()} are missing",
    )


def _parts(task: JSON) -> tuple[JSON, JSON, list[JSON], list[JSON]]:
    if not isinstance(task, Mapping) or "data" not in task:
        return task, None, [], []
    annotations, predictions = (task.get(name) for name in ("annotations", "predictions"))
    return task["data"], task.get("meta"), _results(annotations), _results(predictions)


def _results(several: JSON | list[dict[str, JSON]]) -> list[JSON]:
    found = several if isinstance(several, list) else []
    return [one.get("result") if isinstance(one, Mapping) else one for one in found]


def _print(data: JSON, meta: JSON, annotations: list[JSON], predictions: list[JSON]) -> Print:
    # Label Studio may list them in another order.
    labels = (sorted(map(_text, several)) for several in (annotations, predictions))
    text = json.dumps([_text(data), _text(meta or {}), *labels])
    return hashlib.sha256(text.encode()).digest()[:16]


def _text(value: JSON) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: JSON) -> JSON:
    """The value with numbers in one form: a database may write 1.0 for 1, 100 for 1e2, and all digits of 1e308."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = isinstance(value, int) or value.is_integer()
        if abs(value) > _LARGEST:
            return str(value)
        return int(value) if whole and abs(value) <= _EXACT else float(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value
