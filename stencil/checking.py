"""From a sheet to targets: its rows checked, and every name in them resolved, with all problems told at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stencil.labelstudio import Edition, Workspace
from stencil.names import find
from stencil.options import Options
from stencil.overrides import ENTERPRISE_ONLY_FIELDS
from stencil.planning import Target, description_problem, target_of
from stencil.problems import Problem, shown
from stencil.sheet import Request, Sheet, find_duplicates, requests_of
from stencil.studio import Studio
from stencil.templates import Template, community_problem, resolve_templates


class Checked:
    """A sheet, read and checked as far as that goes without a studio.

    Neither this nor a batch or a group is a dataclass: Prefect walks through those that are handed to a task, row by row.
    """

    def __init__(self, sheet: Sheet, requests: Iterable[Request], problems: Iterable[Problem]) -> None:
        self.sheet = sheet
        self.requests = tuple(requests)
        self.problems = tuple(problems)

    def __repr__(self) -> str:
        """Short: Prefect shows parameters."""
        return f"Checked({self.sheet.name!r}, {len(self.requests)} rows, {len(self.problems)} problems)"


def check(sheet: Sheet, options: Options) -> Checked:
    """The requests of a sheet, and every problem that it has."""
    requests, problems = requests_of(
        sheet,
        template=options.template,
        workspace=options.workspace,
        allow_unknown_fields=options.allow_unknown_fields,
    )
    return Checked(sheet, requests, problems)


async def resolve_targets(checked: Checked, options: Options, studio: Studio) -> tuple[list[Target], list[Problem]]:
    """The targets of all rows that have no problem, and all problems.

    Raises:
        LabelStudioError: The studio did not answer.
    """
    problems = list(checked.problems)
    named = [*map(_named, checked.requests), *_named_by_invalid_rows(checked, options)]
    templates = await resolve_templates(
        sorted({names.template for names in named if names.template}),
        studio.client,
        studio.edition,
        folder=checked.sheet.folder,
    )
    workspaces = await _workspaces({names.workspace for names in named if names.workspace}, studio)
    for names in named:
        found = (templates.get(names.template), workspaces.get(names.workspace))
        problems += [_at(problem, names.line) for problem in found if isinstance(problem, Problem)]
    targets = []
    for request in checked.requests:
        template, workspace = templates.get(request.template), workspaces.get(request.workspace)
        own = _edition_problems(request, studio.edition)
        own += _missing(request, studio.edition)
        if isinstance(template, Template) and not isinstance(workspace, Problem):
            place, name = (workspace.id, workspace.title) if workspace else (None, "")
            target = target_of(request, template, place, name, studio.edition)
            mark = description_problem(target)
            own += [mark] if mark else []
            if not own:
                targets.append(target)
        problems += own
    twins = _twins(targets, checked)
    lines = {problem.line for problem in twins}
    problems = sorted([*problems, *twins], key=lambda problem: problem.line or 0)
    return [target for target in targets if target.request.line not in lines], problems


def _twins(targets: Sequence[Target], checked: Checked) -> list[Problem]:
    """Rows of one project that the sheet's own check could not see: one names the workspace by id, the other by name."""
    known = {(problem.code, problem.line) for problem in checked.problems}
    rows = ((target.request.line, target.workspace, target.request.title) for target in targets)
    return [problem for problem in find_duplicates(rows) if (problem.code, problem.line) not in known]


@dataclass(frozen=True, slots=True)
class _Names:
    """What a row names on the studio."""

    line: int
    template: str
    workspace: str


def _named(request: Request) -> _Names:
    return _Names(request.line, request.template, request.workspace)


def _named_by_invalid_rows(checked: Checked, options: Options) -> list[_Names]:
    """What rows name that have problems already: a sheet is mended once, so all of its problems are told at once."""
    valid = {request.line for request in checked.requests}
    columns = {column.strip().lower(): column for column in checked.sheet.columns}
    names = []
    for row in checked.sheet.rows:
        if row.line not in valid:
            template, workspace = (row.cells.get(columns.get(name, "")) for name in ("template", "workspace"))
            names.append(_Names(row.line, _text(template) or options.template, _text(workspace) or options.workspace))
    return names


def _text(cell: object) -> str:
    return str(cell).strip() if isinstance(cell, str | int) else ""


def _missing(request: Request, edition: Edition) -> list[Problem]:
    """What every row must name; on Enterprise the vendor's contract asks for a workspace."""
    needed = {"template": request.template}
    if edition is Edition.ENTERPRISE:
        needed["workspace"] = request.workspace
    return [
        Problem(
            f"{noun}-missing",
            f"the row names no {noun} and the batch has no default: fill the cell, or give --{noun}.",
            line=request.line,
            column=noun,
        )
        for noun, given in needed.items()
        if not given
    ]


def _at(problem: Problem, line: int) -> Problem:
    return Problem(problem.code, problem.message, line, problem.column, problem.value)


def _edition_problems(request: Request, edition: Edition) -> list[Problem]:
    """What Community would drop without a word."""
    if edition is Edition.ENTERPRISE:
        return []
    return [community_problem(name, line=request.line) for name in request.overrides if name in ENTERPRISE_ONLY_FIELDS]


async def _workspaces(references: set[str], studio: Studio) -> dict[str, Workspace | Problem]:
    if not references:
        return {}
    if studio.edition is Edition.COMMUNITY:
        message = (
            "workspaces exist in Label Studio Enterprise alone, and this studio is Community: leave the column empty."
        )
        return {
            reference: Problem("enterprise-only-workspace", message, column="workspace", value=shown(reference))
            for reference in references
        }
    on_studio = await studio.client.workspaces()
    titles = [workspace.title for workspace in on_studio]
    return {
        reference: _open(find(reference, on_studio, titles, kind="workspace"), reference) for reference in references
    }


def _open(found: Workspace | Problem, reference: str) -> Workspace | Problem:
    if isinstance(found, Workspace) and found.is_archived:
        message = (
            f"workspace {found.title!r} (id {found.id}) is archived: name another, or take it out of the archive first."
        )
        return Problem("workspace-archived", message, column="workspace", value=shown(reference))
    return found
