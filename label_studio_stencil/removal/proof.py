"""Decides, as a pure function, whether a project is exactly what the batch made.

It can't see settings that came from an Enterprise template, except the two that people write by hand (`WRITTEN_BY_HAND`);
passwords, which results never hold; and members, storages, webhooks and models, which the answer about a project doesn't have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.plans.marker import Standing, resembles_mark, standing
from label_studio_stencil.problems import counted
from label_studio_stencil.rows.comparison import differing
from label_studio_stencil.rows.steps import TaskFile

#: Settings of an Enterprise template that are compared with the project: somebody may have spent an hour on them.
WRITTEN_BY_HAND = ("label_config", "expert_instruction")


@dataclass(frozen=True, slots=True)
class Expected:
    """The project as it must be to be deleted.

    Attributes:
        title: Its title.
        workspace: Id of its workspace; `None` on Community.
        settings: Its settings and description, as far as they are known.
        user: Id of the user who made it.
        not_after: The latest time at which it can have been made, by Label Studio's clock; `None` if that is not known.
        tasks: What the batch imported into it, if anything.
    """

    title: str
    workspace: int | None
    settings: Mapping[str, JSON]
    user: int
    not_after: datetime | None = None
    tasks: TaskFile | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a project is kept: a code, and a sentence."""

    code: str
    reason: str


def doubt(expected: Expected, project: Project) -> Doubt | None:
    """Why the project may differ from what the batch made; `None` if it is provably the same.

    A field that is missing from the answer is a doubt. Only the number of tasks is compared here;
    `label_studio_stencil.removal.imported` compares their content.
    """
    return _other_project(expected, project) or _work(expected, project) or _changed(expected, project)


def _other_project(expected: Expected, project: Project) -> Doubt | None:
    if project.title != expected.title:
        return Doubt("renamed", f"its title is {project.title!r} now")
    if project.workspace != expected.workspace:
        return Doubt("moved", f"it is in workspace {project.workspace} now, and was made in {expected.workspace}")
    if project.created_by != expected.user:
        return Doubt("not-ours", f"user {project.created_by} made it, and the token is user {expected.user}'s")
    if expected.not_after is not None and project.created_at > expected.not_after:
        created = project.created_at.isoformat(timespec="seconds")
        return Doubt("younger", f"it was created ({created}) after the results were written")
    return None


def _work(expected: Expected, project: Project) -> Doubt | None:
    count = project.settings.get("task_number")
    if isinstance(count, bool) or not isinstance(count, int):
        return Doubt("work-unknown", "Label Studio does not say how many tasks it holds")
    if not project.tasks:
        return None
    if expected.tasks is None:
        return Doubt("has-work", "it holds tasks, annotations or predictions")
    if count != expected.tasks.count:
        return Doubt("other-tasks", f"it holds {counted(count, 'task')}, and its file has {expected.tasks.count}")
    return None


def _changed(expected: Expected, project: Project) -> Doubt | None:
    if resembles_mark(project.description) or standing(project) is not Standing.COMPLETE:
        return Doubt("marked", "it has the marker of a placeholder: run the sheet again to complete it")
    if "description" in project.lacks:
        return Doubt("description-unknown", "Label Studio does not say what its description is")
    differs = differing(expected.settings, {**project.settings, "description": project.description}, whole=True)
    if differs:
        names = ", ".join(sorted(differs))
        return Doubt(
            "changed", f"it or its template was changed since: it differs from the row and its template in {names}"
        )
    return None
