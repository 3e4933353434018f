"""Turns a sheet into targets: checks its rows and resolves all names, and reports all problems together."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import NamedTuple
from xml.etree import ElementTree

from label_studio_stencil.access import Instance
from label_studio_stencil.concurrency import together
from label_studio_stencil.files import PERSON, Asker, file_name
from label_studio_stencil.labelstudio.models import Edition, Workspace
from label_studio_stencil.names import find
from label_studio_stencil.options import BadOption, Options, chosen_lines
from label_studio_stencil.plans.plan import Target, description_problem, target_of
from label_studio_stencil.problems import Problem, counted, shown
from label_studio_stencil.redaction import FromFile
from label_studio_stencil.rows.fields import ENTERPRISE_ONLY_FIELDS
from label_studio_stencil.rows.payload import IF_KNOWN_THERE
from label_studio_stencil.rows.predictions import Labelled, doubts, unknown_annotators
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.requests import find_duplicates, no_reference, requests_of
from label_studio_stencil.rows.titles import TitlePattern, cut, fault_of_title
from label_studio_stencil.sheet.model import Sheet
from label_studio_stencil.templates.files import from_here, is_file, read_template
from label_studio_stencil.templates.model import NO_TEMPLATE, Template
from label_studio_stencil.templates.resolution import community_problem, resolve_templates


class Checked:
    """A sheet that was read, and checked as far as possible without a Label Studio."""

    def __init__(
        self, sheet: Sheet, requests: Iterable[Request], problems: Iterable[Problem], template_asker: Asker = PERSON
    ) -> None:
        self.sheet = sheet
        self.template_asker = template_asker
        self.requests = tuple(requests)
        self.problems = tuple(problems)


def check(sheet: Sheet, options: Options, *, template_asker: Asker = PERSON) -> Checked:
    """The requests and problems of a sheet, for the chosen lines. Duplicates are found among all lines.

    Args:
        sheet: The sheet.
        options: How the batch is run.
        template_asker: Who names the template of the options.

    Raises:
        BadPattern: The title pattern is malformed.
        BadOption: The chosen lines are malformed, or the sheet has no row in them.
    """
    lines = chosen_lines(options.lines)
    requests, problems = requests_of(
        sheet,
        template=from_here(options.template),
        workspace=options.workspace,
        allow_unknown_fields=options.allow_unknown_fields,
        titles=TitlePattern(options.title) if options.title.strip() else None,
        cut_titles=options.long_titles == "cut",
        titled_by=is_file,
    )
    if lines is None:
        return _counting_tasks(Checked(sheet, requests, problems, template_asker))
    rows = [row for row in sheet.rows if row.line in lines]
    if sheet.rows and not rows:
        first, last = sheet.rows[0].line, sheet.rows[-1].line
        raise BadOption(
            f"`lines={options.lines}` names no row of {sheet.name}.", hint=f"Its rows are on lines {first} to {last}."
        )
    others = {row.line for row in sheet.rows} - {row.line for row in rows}
    return _counting_tasks(
        Checked(
            replace(sheet, rows=rows, notes=list(sheet.notes)),
            [request for request in requests if request.line in lines],
            [problem for problem in problems if problem.line not in others],
            template_asker,
        )
    )


def _counting_tasks(checked: Checked) -> Checked:
    """The checked sheet with a note that counts the tasks of its rows."""
    files = [request.steps.tasks for request in checked.requests if request.steps.tasks]
    if files:
        total = Labelled(
            sum(file.labelled.predictions for file in files), sum(file.labelled.annotations for file in files)
        )
        rows, tasks = counted(len(files), "row"), counted(sum(file.count for file in files), "task")
        _note(checked.sheet, f"{rows} {'has' if len(files) == 1 else 'have'} {tasks}{total.told}.")
    return checked


def _note(sheet: Sheet, note: str) -> None:
    if note not in sheet.notes:
        sheet.notes.append(note)


async def resolve_targets(checked: Checked, options: Options, label_studio: Instance) -> "Resolved":
    """The targets of all rows that have no problem, and all problems.

    Raises:
        LabelStudioError: Label Studio did not answer.
    """
    problems = [_for_edition(problem, label_studio.edition) for problem in checked.problems]
    named = [*map(_named, checked.requests), *_named_by_invalid_rows(checked, options)]
    references = sorted({names.template for names in named if names.template})
    templates, workspaces = await together(
        (
            resolve_templates(
                references,
                label_studio.client,
                label_studio.edition,
                folder=checked.sheet.folder,
                asker=partial(_asker, checked, options),
            ),
            _workspaces({names.workspace for names in named if names.workspace}, label_studio),
        )
    )
    for names in named:
        found = (templates.get(names.template), workspaces.get(names.workspace))
        problems += [_at(problem, names.line) for problem in found if isinstance(problem, Problem)]
    targets = []
    for each in checked.requests:
        template = templates.get(each.template) if each.template else NO_TEMPLATE
        workspace = workspaces.get(each.workspace)
        own = _edition_problems(each, label_studio.edition)
        own += _missing(each, label_studio.edition)
        request, filled = each, template
        if isinstance(template, Template):
            request, filled, more = filled_by(each, template, cut_titles=options.long_titles == "cut")
            own += more
        if isinstance(filled, Template) and not isinstance(workspace, Problem) and not own:
            place, name = (workspace.id, workspace.title) if workspace else (None, "")
            target = target_of(request, filled, place, name, label_studio.edition)
            mark = description_problem(target)
            own += [mark] if mark else []
            own += _task_problems(target)
            _note_results(target, checked.sheet)
            if not own:
                targets.append(target)
        problems += own
    people, strangers = await _people(targets, label_studio)
    await _note_annotators(targets, label_studio, checked.sheet)
    problems += strangers
    unknown = {problem.line for problem in strangers}
    targets = [target for target in targets if target.request.line not in unknown]
    twins = _twins(targets, checked)
    lines = {problem.line for problem in twins}
    problems = sorted([*problems, *twins], key=lambda problem: problem.line or 0)
    return Resolved([target for target in targets if target.request.line not in lines], problems, people)


def _task_problems(target: Target) -> list[Problem]:
    """A problem if some tasks lack a field that the labelling interface shows; the server would refuse all of them."""
    tasks, interface = target.request.steps.tasks, target.settings.get("label_config")
    if tasks is None or not isinstance(interface, str):
        return []
    lacking = [name for name in _shown_of_tasks(interface) if name not in tasks.keys]
    if not lacking:
        return []
    message = f"not every task has {', '.join(lacking)} in its data, which the labelling interface shows."
    where, hint = shown(file_name(tasks.where)), "Add it to the tasks, or rename the field that holds it."
    return [Problem("bad-step", message, target.request.line, "tasks", where, hint)]


def _note_results(target: Target, sheet: Sheet) -> None:
    """Note predictions and annotations that don't fit the labelling interface."""
    tasks, interface = target.request.steps.tasks, target.settings.get("label_config")
    if tasks is not None and isinstance(interface, str):
        for doubt in doubts(tasks.labelled, interface):
            _note(sheet, f"{file_name(tasks.where)}: {doubt}")


@lru_cache(maxsize=4)
def _shown_of_tasks(interface: str) -> tuple[str, ...]:
    """The fields of a task's data that an interface shows: the plain `$names` of its objects."""
    try:
        elements = ElementTree.fromstring(interface).iter()  # noqa: S314  # one with a document type was refused
    except ElementTree.ParseError:
        # The server reports what is wrong with it.
        return ()
    named = (element.get("value", "") for element in elements if element.get("name"))
    return tuple(dict.fromkeys(value[1:] for value in named if _OF_A_TASK.fullmatch(value)))


_OF_A_TASK = re.compile(r"\$[A-Za-z_]\w*")


class Resolved(NamedTuple):
    """Targets of valid rows, problems of the others, and the people whom rows name."""

    targets: list[Target]
    problems: list[Problem]
    people: dict[str, int]


async def _people(targets: Sequence[Target], label_studio: Instance) -> tuple[dict[str, int], list[Problem]]:
    """Ids of the people whom rows name as members, and a problem for each row that names an unknown person."""
    named = [target for target in targets if target.request.steps.members]
    if not named:
        return {}, []
    if label_studio.edition is Edition.COMMUNITY:
        message, hint = (
            "only Label Studio Enterprise has members of a project, and this is Community.",
            "Empty the cell.",
        )
        return {}, [
            Problem("enterprise-only-field", message, each.request.line, "members", None, hint) for each in named
        ]
    people = await _users(label_studio)
    problems = []
    for target in named:
        unknown = [member.email for member in target.request.steps.members if member.email not in people]
        if unknown:
            message, hint = "Label Studio has no user with this e-mail address.", "Invite the person, or correct it."
            problems.append(Problem("member-unknown", message, target.request.line, "members", shown(unknown[0]), hint))
    return people, problems


async def _note_annotators(targets: Sequence[Target], label_studio: Instance, sheet: Sheet) -> None:
    """Note annotations by people whom Label Studio doesn't know."""
    files = {tasks.where: tasks for target in targets if (tasks := target.request.steps.tasks)}
    named = [tasks for tasks in files.values() if tasks.labelled.annotators]
    users = await _users(label_studio) if named else {}
    for tasks in named:
        for doubt in unknown_annotators(tasks.labelled, users):
            _note(sheet, f"{file_name(tasks.where)}: {doubt}")


async def _users(label_studio: Instance) -> dict[str, int]:
    """User ids by e-mail address in lower case."""
    return {user.email.strip().lower(): user.id for user in await label_studio.client.users()}


def filled_by(request: Request, template: Template, *, cut_titles: bool) -> tuple[Request, Template, list[Problem]]:
    """The row with a title from its template if it has none, the template as the row fills it, and problems of both."""
    filled, problems = template.filled(request.variables)
    problems = [replace(problem, line=request.line) for problem in problems]
    if request.title or problems:
        return request, filled, problems
    title = cut(filled.title) if cut_titles else filled.title
    if not title:
        message = f"the row has no title, and {shown(template.name)} gives none."
        fault: tuple[str, str, str] | None = ("title-missing", message, "Fill the cell.")
    else:
        fault = fault_of_title(title)
    if fault:
        code, message, hint = fault
        return request, filled, [Problem(code, message, request.line, "title", shown(title) or None, hint)]
    return replace(request, title=title, whole_title=filled.title if title != filled.title else ""), filled, []


def _asker(checked: Checked, options: Options, reference: str) -> Asker:
    """Who named a template: the caller of the batch, or a row."""
    return checked.template_asker if reference == from_here(options.template).strip() else checked.sheet.rows_asker


def check_files(checked: Checked, options: Options) -> list[Problem]:
    """Problems of template files and of the rows that fill them, as far as they show offline."""
    templates = {
        reference: read_template(reference, checked.sheet.folder, _asker(checked, options, reference))
        for reference in sorted({request.template for request in checked.requests if is_file(request.template)})
    }
    problems: list[Problem] = []
    for request in checked.requests:
        template = templates.get(request.template)
        if isinstance(template, Template):
            problems += filled_by(request, template, cut_titles=options.long_titles == "cut")[2]
        elif template is not None:
            problems.append(replace(template, line=request.line))
    return problems


async def refused_interfaces(targets: Iterable[Target], label_studio: Instance) -> list[Problem]:
    """A problem for each target whose labelling interface Label Studio rejects; asks once for each distinct one.

    Raises:
        LabelStudioError: Label Studio did not answer.
    """
    rows: dict[str, list[Target]] = {}
    for target in targets:
        interface = target.settings.get("label_config")
        if isinstance(interface, str) and interface:
            rows.setdefault(interface, []).append(target)
    faults = await asyncio.gather(*(label_studio.client.interface_faults(interface) for interface in rows))
    return [
        _refused(target, "; ".join(said))
        for said, each in zip(faults, rows.values(), strict=True)
        if said
        for target in each
    ]


def _refused(target: Target, said: str) -> Problem:
    own = "label_config" in target.request.overrides
    if isinstance(target.settings.get("label_config"), FromFile):
        said = "its reason may quote the file and is not shown here; paste the file into a project's settings to see it"
    whose = "the row" if own else f"the template {shown(target.template.name)}"
    message = f"Label Studio rejects the labelling interface of {whose}: {said}"
    column = "label_config" if own else "template"
    return Problem("interface-refused", message, line=target.request.line, column=column)


def _twins(targets: Sequence[Target], checked: Checked) -> list[Problem]:
    """Duplicate rows that the offline check can't find: one names the workspace by id, the other by name."""
    known = {(problem.code, problem.line) for problem in checked.problems}
    rows = ((target.request.line, target.workspace, target.request.title) for target in targets)
    return [problem for problem in find_duplicates(rows) if (problem.code, problem.line) not in known]


@dataclass(frozen=True, slots=True)
class _Names:
    """The template and workspace that a row names."""

    line: int
    template: str
    workspace: str


def _named(request: Request) -> _Names:
    return _Names(request.line, request.template, request.workspace)


def _named_by_invalid_rows(checked: Checked, options: Options) -> list[_Names]:
    """References of rows that have other problems, so that all problems of a sheet are reported together.

    A cell that has a problem itself is left out.
    """
    valid = {request.line for request in checked.requests}
    faulty = {(problem.line, problem.column) for problem in checked.problems}
    columns = {column.strip().lower(): column for column in checked.sheet.columns}
    names = []
    for row in checked.sheet.rows:
        if row.line not in valid:
            template, workspace = (
                "" if (row.line, column) in faulty else _text(row.cells.get(column)) or default
                for column, default in (
                    (columns.get("template", ""), from_here(options.template)),
                    (columns.get("workspace", ""), options.workspace),
                )
            )
            names.append(_Names(row.line, template, workspace))
    return names


def _text(cell: object) -> str:
    return str(cell).strip() if isinstance(cell, str | int) else ""


def _missing(request: Request, edition: Edition) -> list[Problem]:
    """Problems of rows without a template or, on Enterprise, a workspace."""
    needed = {} if "label_config" in request.overrides else {"template": request.template}
    if edition is Edition.ENTERPRISE:
        needed["workspace"] = request.workspace
    return [_without_reference(noun, request.line) for noun, given in needed.items() if not given]


def _without_reference(noun: str, line: int) -> Problem:
    message, hint = no_reference(noun)
    return Problem(f"{noun}-missing", message, line=line, column=noun, hint=hint)


def _at(problem: Problem, line: int) -> Problem:
    return replace(problem, line=line)


def _edition_problems(request: Request, edition: Edition) -> list[Problem]:
    """Problems of settings that Community would ignore."""
    if edition is Edition.ENTERPRISE:
        return []
    return [community_problem(name, line=request.line) for name in request.overrides if name in ENTERPRISE_ONLY_FIELDS]


def _for_edition(problem: Problem, edition: Edition) -> Problem:
    # Passing on what Stencil does not know is no help there (measured on Community 1.23.2).
    if edition is Edition.ENTERPRISE or IF_KNOWN_THERE not in problem.hint:
        return problem
    return replace(
        problem, hint=problem.hint.replace(IF_KNOWN_THERE, "Community ignores settings that it does not know.")
    )


async def _workspaces(references: set[str], label_studio: Instance) -> dict[str, Workspace | Problem]:
    if not references:
        return {}
    if label_studio.edition is Edition.COMMUNITY:
        message = "only Label Studio Enterprise has workspaces, and this is Community."
        hint = "Empty the column, and leave out `workspace=NAME`."
        return {
            reference: Problem("enterprise-only-workspace", message, None, "workspace", shown(reference), hint)
            for reference in references
        }
    existing = await label_studio.client.workspaces()
    titles = [workspace.title for workspace in existing]
    return {
        reference: _open(find(reference, existing, titles, kind="workspace"), reference) for reference in references
    }


def _open(found: Workspace | Problem, reference: str) -> Workspace | Problem:
    if isinstance(found, Workspace) and found.is_archived:
        message = f"workspace {found.title!r} (id {found.id}) is archived."
        hint = "Name another workspace, or restore this one in Label Studio first."
        return Problem("workspace-archived", message, column="workspace", value=shown(reference), hint=hint)
    return found
