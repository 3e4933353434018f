"""Decides whether a project's tasks are exactly those that the batch imported, with nobody's work in them."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from label_studio_stencil.files import Unusable
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Task
from label_studio_stencil.problems import counted
from label_studio_stencil.removal.proof import Doubt
from label_studio_stencil.rows.canonical import canonical
from label_studio_stencil.rows.steps import BadStep, TaskFile
from label_studio_stencil.rows.task_files import open_tasks

#: The digest of a task; equal tasks have equal ones.
Print = bytes
#: What Label Studio writes as the version of a model if a prediction has none.
_NO_VERSION = "undefined"
#: What work leaves on a task. A draft or a comment changes neither the project nor the date of the task.
_TRACES = ("draft_exists", "comment_count", "updated_at")


class Compared(NamedTuple):
    """Result of a comparison of a project's tasks with their file.

    Attributes:
        doubt: Why they may not be exactly those that the batch imported; `None` if there is no doubt.
        newest: When the last of them was changed, if Label Studio says so.
    """

    doubt: Doubt | None
    newest: datetime | None = None


async def compare_tasks(label_studio: LabelStudio, project: int, tasks: TaskFile) -> Compared:
    """Compare a project's tasks with those that the batch imported.

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
        return Compared(Doubt("bad-step", f"the file of its tasks can't be compared: {error}"))
    of_file, found, ids, page = prints_of_file(content), Counter[Print](), set[int](), 0
    newest: datetime | None = None
    while len(ids) < tasks.count:
        page += 1
        answer = await label_studio.tasks_page(project, page)
        if answer.total != tasks.count or not answer.tasks:
            why = f"it holds {counted(answer.total, 'task')}, and its file has {tasks.count}"
            return Compared(Doubt("other-tasks", why))
        for task in answer.tasks:
            if worked := work_on(task):
                return Compared(worked)
            found[print_of(task)] += task.id not in ids
            ids.add(task.id)
            newest = _later(newest, task.updated_at)
    return Compared(differing(of_file, found), newest)


async def doubt_since(label_studio: LabelStudio, project: int, newest: datetime | None) -> Doubt | None:
    """What somebody has done to a project's tasks while they were compared; `None` if nothing is seen.

    Takes a request for each trace that work leaves, whatever the number of tasks.

    Args:
        label_studio: An open client.
        project: The project's id.
        newest: When the last of the tasks was changed, by the comparison.

    Raises:
        LabelStudioError: They could not be read.
    """
    for trace in _TRACES:
        for task in (await label_studio.first_task(project, trace)).tasks:
            if worked := work_on(task):
                return worked
            if _later(newest, task.updated_at) != newest:
                return Doubt("has-work", f"task {task.id} was changed while the tasks were being compared")
    return None


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def prints_of_file(tasks: Iterable[JSON]) -> Counter[Print]:
    """The digests of the tasks in a file."""
    return Counter(_print(*_parts(task)) for task in tasks)


def print_of(task: Task) -> Print:
    """The digest of a task in Label Studio."""
    return _print(task.data, task.meta, _results(task.annotations), _predictions(task.predictions))


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
    return task["data"], task.get("meta"), _results(annotations), _predictions(predictions)


def _results(several: JSON | list[dict[str, JSON]]) -> list[JSON]:
    found = several if isinstance(several, list) else []
    return [one.get("result") if isinstance(one, Mapping) else one for one in found]


def _predictions(several: JSON | list[dict[str, JSON]]) -> list[JSON]:
    """The predictions with score and version of the model, which may be all that tells another model's from the file's."""
    found = several if isinstance(several, list) else []
    return [
        [one.get("result"), _score(one.get("score")), _version(one.get("model_version"))]
        if isinstance(one, Mapping)
        else one
        for one in found
    ]


def _score(value: JSON) -> JSON:
    """As Label Studio keeps it: as a float, and none if it is not one."""
    try:
        return None if value is None else float(value)  # type: ignore[arg-type] # a list or an object is no score
    except (TypeError, ValueError, OverflowError):
        return None


def _version(value: JSON) -> str:
    return _NO_VERSION if value in (None, "") else str(value)


def _print(data: JSON, meta: JSON, annotations: list[JSON], predictions: list[JSON]) -> Print:
    # Label Studio may list them in another order.
    labels = (sorted(map(canonical, several)) for several in (annotations, predictions))
    text = json.dumps([canonical(data), canonical(meta or {}), *labels])
    return hashlib.sha256(text.encode()).digest()[:16]
