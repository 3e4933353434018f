"""Plans what happens to each row, before the first write, as pure functions.

A target is a request whose names are resolved. Planning compares targets with the projects that exist, and gives each target
an action.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.models import NOTHING, Edition, Project
from label_studio_stencil.options import Mode
from label_studio_stencil.plans.marker import Mark, Standing, intent_of, key_of, resembles_mark, standing
from label_studio_stencil.plans.pending import Pending, pending_of, with_pending
from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.rows.comparison import differing
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.titles import folded
from label_studio_stencil.templates.model import Template


class Action(StrEnum):
    """What happens to a row."""

    CREATE = "create"
    RESUME = "finish"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    EXISTS = "exists"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Target:
    """A request with its names resolved.

    Attributes:
        request: The row.
        key: 16 hex digits for workspace and title.
        intent: 8 hex digits for the project that is to be made.
        workspace: Id; `None` on Community.
        workspace_name: Name; empty if there is no workspace.
        template: The template of the project.
        description: The final description; if the row has steps, with the line that they are not done.
        in_one_go: Whether the create itself carries the settings.
    """

    request: Request
    key: str
    intent: str
    workspace: int | None
    workspace_name: str
    template: Template
    description: JSON
    in_one_go: bool

    # Computed on each call: a batch may have a hundred thousand targets.
    @property
    def settings(self) -> Mapping[str, JSON]:
        """All settings of the complete project, description included."""
        return {**self.template.fields, **self.request.overrides, "description": self.description}

    @property
    def at_creation(self) -> Mapping[str, JSON]:
        """Fields of the create, besides title, workspace and marker."""
        return {name: value for name, value in self.settings.items() if name != "description"} if self.in_one_go else {}

    @property
    def final_settings(self) -> Mapping[str, JSON]:
        """All settings after the steps are done."""
        pending = pending_of(str(self.description), self.key)
        return {**self.settings, "description": pending.description} if pending else self.settings

    def mark(self, batch: str, send: str) -> str:
        """The marker for a create of this target."""
        return str(Mark(self.key, self.intent, batch, send))


@dataclass(frozen=True, slots=True)
class Planned:
    """A target and its action.

    Attributes:
        target: The row.
        action: What happens to it.
        projects: The existing projects of its key, lowest id first; the row's own project comes before the others.
        changes: For `Action.UPDATE`, the fields that differ.
        alike: Projects of its workspace whose titles differ from the row's but look the same, lowest id first.
    """

    target: Target
    action: Action
    projects: tuple[Project, ...] = ()
    changes: Mapping[str, JSON] = field(default_factory=lambda: NOTHING)
    alike: tuple[Project, ...] = ()


def target_of(
    request: Request, template: Template, workspace: int | None, workspace_name: str, edition: Edition
) -> Target:
    """The request with its names resolved."""
    wanted = {**template.fields, **request.overrides}
    description = request.overrides.get("description", template.description)
    if request.whole_title:
        # The description keeps the whole title.
        description = f"{request.whole_title}\n\n{description}".rstrip()
    intent = intent_of(template.identity, wanted, str(description))
    if request.steps:
        intent = intent_of(intent, {"steps": request.steps.identity}, str(description))
    key = key_of(workspace, request.title)
    final = str(description)
    return Target(
        request=request,
        key=key,
        intent=intent,
        workspace=workspace,
        workspace_name=workspace_name,
        template=template,
        description=with_pending(final, key, intent) if request.steps else description,
        # Community's create takes every field, so a placeholder there lacks only its description. The
        # instantiation of an Enterprise template takes none.
        in_one_go=edition is Edition.COMMUNITY and template.id is None,
    )


def description_problem(target: Target) -> Problem | None:
    """The problem of a final description that looks like a marker, or `None`."""
    description = str(target.description)
    if not resembles_mark(description):
        return None
    message = "the description starts like Stencil's own marker of a placeholder."
    return Problem(
        "description-is-mark", message, target.request.line, "description", shown(description), "Change its beginning."
    )


def by_key(projects: Iterable[Project], keys: Iterable[str] | None = None) -> dict[str, list[Project]]:
    """The projects of each key, lowest id first.

    Args:
        projects: In any order; of two with one id, the later wins.
        keys: Keys to keep, or `None` for all.
    """
    wanted = None if keys is None else frozenset(keys)
    found: dict[str, dict[int, Project]] = {}
    for project in projects:
        key = key_of(project.workspace, project.title)
        if wanted is None or key in wanted:
            found.setdefault(key, {})[project.id] = project
    return {key: [same[number] for number in sorted(same)] for key, same in found.items()}


#: A workspace's id and a title, folded for comparison.
Likeness = tuple[int | None, str]


def by_likeness(projects: Iterable[Project], targets: Iterable[Target]) -> dict[Likeness, tuple[Project, ...]]:
    """The projects whose titles look like a target's, lowest id first.

    Args:
        projects: In any order.
        targets: The rows.
    """
    wanted = {_likeness(target.workspace, target.request.title) for target in targets}
    found: dict[Likeness, dict[int, Project]] = {}
    for project in projects:
        likeness = _likeness(project.workspace, project.title)
        if likeness in wanted:
            found.setdefault(likeness, {})[project.id] = project
    return {likeness: tuple(same[number] for number in sorted(same)) for likeness, same in found.items()}


def _likeness(workspace: int | None, title: str) -> Likeness:
    return workspace, folded(title)


def plan(
    targets: Sequence[Target],
    existing: Mapping[str, Sequence[Project]],
    mode: Mode,
    alike: Mapping[Likeness, Sequence[Project]] | None = None,
) -> list[Planned]:
    """The action of each target, given the projects that exist.

    A project with exactly the title counts. If a title only looks the same, the row is ambiguous.

    Args:
        targets: The rows.
        existing: Projects by key, from `by_key`; with their settings if `mode` is `update`.
        mode: Whether a project that exists is left alone or updated.
        alike: Projects that look like a target, from `by_likeness`; empty if look-alikes don't matter.
    """
    planned = []
    for target in targets:
        each = _planned(target, tuple(existing.get(target.key, ())), mode)
        same = alike.get(_likeness(target.workspace, target.request.title), ()) if alike else ()
        others = tuple(project for project in same if key_of(project.workspace, project.title) != target.key)
        if others:
            action = Action.AMBIGUOUS if each.action is Action.CREATE else each.action
            each = replace(each, action=action, alike=others)
        planned.append(each)
    return planned


def _planned(target: Target, projects: tuple[Project, ...], mode: Mode) -> Planned:
    standings = [standing(project) for project in projects]
    finished = standings.count(Standing.COMPLETE)
    if not projects:
        return Planned(target, Action.CREATE)
    if Standing.TOUCHED in standings or finished > 1:
        return Planned(target, Action.AMBIGUOUS, projects)
    if not finished:
        return Planned(target, Action.RESUME, projects)
    position = standings.index(Standing.COMPLETE)
    found, leftovers = projects[position], projects[:position] + projects[position + 1 :]
    if mode == "create":
        return Planned(target, Action.EXISTS, (found, *leftovers))
    return _compared(target, found, leftovers)


def _compared(target: Target, found: Project, leftovers: tuple[Project, ...], *, whole: bool = False) -> Planned:
    pending = pending_of(found.description, target.key)
    # The line that its steps are not done goes with the last of them.
    description = pending.description if pending else found.description
    changes = differing(_wanted(target, pending), {**found.settings, "description": description}, whole=whole)
    if pending and "description" in changes:
        line = with_pending(str(changes["description"]), target.key, target.intent, pending.claim, pending.sent)
        changes = {**changes, "description": line}
    elif not pending and target.request.steps.tasks and not found.tasks:
        # The line has the tasks imported after the update, as after a create.
        line = with_pending(str(changes.get("description", description)), target.key, target.intent)
        changes = {**changes, "description": line}
    action = Action.UPDATE if changes else Action.UNCHANGED
    return Planned(target, action, (found, *leftovers), changes)


def _wanted(target: Target, pending: Pending | None) -> dict[str, JSON]:
    """Return the settings that an update applies: those of the row and its template, and a description if they have one.

    Settings of an Enterprise project template are not among them: Label Studio applies those when it makes a project.
    """
    wanted: dict[str, JSON] = {**target.template.fields, **target.request.overrides}
    request, template = target.request, target.template
    if "description" in request.overrides or request.whole_title or (template.id is None and template.description):
        wanted["description"] = target.final_settings["description"]
    if request.steps.publish and not pending:
        wanted["is_published"] = True
    return wanted


def needs_settings(planned: Planned) -> bool:
    """Whether the list lacks fields that the row sets, so that the project has to be read by id."""
    if planned.action is not Action.UPDATE or not planned.changes:
        return False
    return any(name not in planned.projects[0].settings for name in planned.changes if name != "description")


def replanned(planned: Planned, project: Project) -> Planned:
    """The same row planned again, with its project as it was read."""
    return replace(_compared(planned.target, project, planned.projects[1:], whole=True), alike=planned.alike)
