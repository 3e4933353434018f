"""Turns the rows of a sheet into requests, and collects all their problems."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError

from label_studio_stencil.json_value import JSON, NotJSONError, json_of
from label_studio_stencil.letters import without_unseen
from label_studio_stencil.problems import Problem, listed, shown
from label_studio_stencil.redaction import FromFile, redact, visible
from label_studio_stencil.rows.columns import CONTROL, OWN_COLUMNS, Columns, columns_of
from label_studio_stencil.rows.fields import TEXT_FIELDS
from label_studio_stencil.rows.payload import meant, parse_overrides
from label_studio_stencil.rows.references import References
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.steps import BadStep, Steps, members_in
from label_studio_stencil.rows.titles import TitlePattern, TitleUnmade, cut, fault_of_title, folded
from label_studio_stencil.rows.values import boolean, text
from label_studio_stencil.sheet.leftovers import MISSING_IN_SETTINGS, MISSING_IN_TITLES, MISSING_STARTS, is_missing
from label_studio_stencil.sheet.limits import MOST_COLUMNS, MOST_IN_NAME, MOST_PROBLEMS, normalised
from label_studio_stencil.sheet.model import Row, Sheet
from label_studio_stencil.sheet.tables import is_blank

# Shared by all rows that have none: a sheet may have a hundred thousand.
_NO_VARIABLES: dict[str, object] = {}
_NO_STEPS = Steps()


def requests_of(
    sheet: Sheet,
    *,
    template: str = "",
    workspace: str = "",
    allow_unknown_fields: bool = False,
    workspaces_required: bool = False,
    titles: TitlePattern | None = None,
    cut_titles: bool = False,
    titled_by: Callable[[str], bool] = lambda template: False,
) -> tuple[list[Request], list[Problem]]:
    """The requests of the valid rows, and all problems: those of reading, then of columns, then of rows.

    A row with a problem has no request. If the columns have a problem, or there are too many problems, no row has one. Problems
    can be printed, whatever the sheet holds.

    Args:
        sheet: The sheet as read.
        template: Template of rows that name none.
        workspace: Workspace of rows that name none.
        allow_unknown_fields: Pass on fields that the model does not know.
        workspaces_required: Whether a row without a workspace is a problem.
        titles: Pattern for the titles of rows that have none.
        cut_titles: Whether to cut titles that are too long and add a hash; otherwise they are problems.
        titled_by: Whether a template may give a title to a row that has none. If so, the request has no title yet.
    """
    if not sheet.columns:
        # It may not be a sheet at all, so nothing of it is quoted.
        return [], _told([replace(each, value=None) for each in sheet.problems])
    columns = columns_of(
        sheet.columns,
        line=sheet.header_line,
        allow_unknown=allow_unknown_fields,
        titles_elsewhere=titles is not None or _any_titled_by_template(sheet, template, titled_by),
    )
    in_pattern = titles.columns(sheet.columns) if titles else {}
    if "title" not in columns.own and not (columns.elsewhere and (columns.known or in_pattern)):
        return [], _told([_no_title(sheet)])
    for name in titles.names if titles else ():
        if name not in in_pattern:
            message = f"the title pattern uses the column {shown(name)}, which the sheet doesn't have."
            hint = f"The sheet's columns are {listed([shown(each) for each in sheet.columns], most=20)}."
            columns.problems.append(Problem("column-missing", message, line=sheet.header_line, hint=hint))
    references = References(sheet.folder, sheet.rows_asker)
    checker = _Checker(
        titles=_Titles(titles, in_pattern, cut_titles, titled_by),
        columns=columns,
        references=references,
        defaults={"template": _word(template) or "", "workspace": _word(workspace) or ""},
        required={"template"} | ({"workspace"} if workspaces_required else set()),
        allow_unknown=allow_unknown_fields,
    )
    unreadable = {problem.line for problem in sheet.problems if problem.column is None}
    cells = defaultdict[int | None, set[str]](set)
    for problem in sheet.problems:
        cells[problem.line].update({problem.column} if problem.column is not None else ())
    checked: list[tuple[Request, list[Problem]]] = []
    found = len(sheet.problems) + len(columns.problems)
    for row in sheet.rows:
        if row.line not in unreadable and found <= MOST_PROBLEMS:
            checked.append(_beside(cells[row.line], row, checker) if row.line in cells else checker.request(row))
            found += len(checked[-1][1])
    keys = (
        (each.line, each.workspace, each.title) for each, problems in checked if each.title and not _untitled(problems)
    )
    sheet.notes += [note for note in references.notes if note not in sheet.notes]
    rows_problems = [problem for _, problems in checked for problem in problems] + find_duplicates(keys)
    rows_problems.sort(key=lambda problem: problem.line or 0)
    bad = {problem.line for problem in rows_problems} | cells.keys()
    requests = [request for request, _ in checked if request.line not in bad]
    problems = [*sheet.problems, *columns.problems, *rows_problems]
    useless = (
        columns.problems or len(problems) > MOST_PROBLEMS or (sheet.header_line and sheet.header_line in unreadable)
    )
    return ([] if useless else requests), _told(problems)


def _beside(unread: Set[str], row: Row, checker: "_Checker") -> tuple[Request, list[Problem]]:
    """A row with some cells that can't be read, and the problems of the others."""
    request, problems = checker.request(Row(row.line, {**row.cells, **dict.fromkeys(unread, "")}))
    return request, [each for each in problems if each.column not in unread and each.code != "title-missing"]


def _no_title(sheet: Sheet) -> Problem:
    """The problem of a file without a title column. It may not be a sheet, so nothing is quoted, not even names of columns."""
    near = [number for number, name in enumerate(sheet.columns, 1) if meant(name.strip(), OWN_COLUMNS) == "title"]
    hint = (
        f"Is column {near[0]} the title?" if near else 'Add it, or build titles from other columns: `title="{column}"`.'
    )
    for row in sheet.rows[:_MOST_ABOVE_HEADER]:
        if any(isinstance(cell, str) and cell.strip().casefold() == "title" for cell in row.cells.values()):
            hint = f"Line {row.line} looks like the header: remove what is above it."
            break
    if len(sheet.columns) == 1 and len({*OWN_COLUMNS}.intersection(re.split(r"\W+", sheet.columns[0].casefold()))) > 1:
        hint = "The header is a single cell: separate cells by `,`, `;`, `|` or tabs, or name yours in a line above it: sep=^"
    return Problem("column-missing", "the sheet has no column named title.", line=sheet.header_line, hint=hint)


#: Most rows of headings above a header.
_MOST_ABOVE_HEADER = 30


def _told(problems: list[Problem]) -> list[Problem]:
    """The problems, made printable, and at most `MOST_PROBLEMS` of them."""
    if len(problems) > MOST_PROBLEMS:
        message = f"the sheet has more than {MOST_PROBLEMS:,} problems, and the rest of it was not checked."
        problems = [Problem("too-many-problems", message), *problems[:MOST_PROBLEMS]]
    return [_printable(problem) for problem in problems]


def _printable(problem: Problem) -> Problem:
    """The problem without characters that act on a terminal or can't be written to a file."""
    column = None if problem.column is None else visible(shown(problem.column))
    # A problem quotes its value when it is printed. Only halves of surrogate pairs can't be written as JSON.
    value = None if problem.value is None else redact(problem.value.encode("utf-8", "backslashreplace").decode())
    return replace(problem, column=column, value=value, message=visible(problem.message), hint=visible(problem.hint))


def _untitled(problems: Iterable[Problem]) -> bool:
    return any(problem.code.startswith("title-") for problem in problems)


def find_duplicates(items: Iterable[tuple[int, str | int | None, str]]) -> list[Problem]:
    """A problem for each row whose workspace and title are those of an earlier row, or look like them.

    Args:
        items: Line, workspace (its id, or the reference as text) and title of each row.
    """
    first: dict[tuple[str, str], tuple[int, str]] = {}
    problems: list[Problem] = []
    for line, workspace, title in items:
        key = ("" if workspace is None else str(workspace).strip(), folded(title))
        earlier_line, earlier = first.setdefault(key, (line, title))
        if earlier_line == line:
            continue
        if earlier == title:
            code = "duplicate-row"
            message = f"lines {earlier_line} and {line} ask for the same project."
        else:
            code = "near-duplicate-row"
            message = (
                f"the titles of lines {earlier_line} and {line} differ only in case, spacing or the form of letters."
            )
        hint = "Remove one of the rows, or change its title."
        problems.append(Problem(code, message, line=line, column="title", value=shown(title), hint=hint))
    return problems


def _any_titled_by_template(sheet: Sheet, default: str, titled_by: Callable[[str], bool]) -> bool:
    column = next((name for name in sheet.columns if name.strip().casefold() == "template"), "")
    return any(titled_by(_word(row.cells.get(column)) or default) for row in sheet.rows)


def no_reference(kind: str) -> tuple[str, str]:
    """The message and the hint about a row that names no template or no workspace."""
    return f"the row names no {kind}, and there is no default.", f"Fill the cell, or give `{kind}=NAME`."


class _Titles(NamedTuple):
    """The sources of titles."""

    pattern: TitlePattern | None
    columns: Mapping[str, str]
    cut: bool
    titled_by: Callable[[str], bool]


def _object_in(row: Row, column: str | None, name: str, example: str) -> Mapping[object, object] | Problem:
    """The JSON object in a cell, or a problem."""
    cell = row.cells.get(column) if column is not None else None
    code, reason = "not-an-object", f"{name} takes a JSON object"
    try:
        value = json_of(cell) if isinstance(cell, str) else cell
    except NotJSONError as error:
        code, reason, value = "not-json", f"{reason}: {error}", None
    if isinstance(value, Mapping):
        return value
    return Problem(code, f"{reason}.", row.line, column, shown(cell), hint=f"For example {example}.")


class _Checker:
    """Turns rows of one sheet into requests."""

    def __init__(
        self,
        *,
        titles: _Titles,
        columns: Columns,
        references: References,
        defaults: Mapping[str, str],
        required: Set[str],
        allow_unknown: bool,
    ) -> None:
        self._titles = titles
        self._columns = columns
        self._references = references
        self._defaults = defaults
        self._required = required
        self._allow_unknown = allow_unknown
        own = [column for name, column in columns.own.items() if name != "title"]
        self._settings = (*own, *columns.fields.values(), *columns.variables.values())
        self._overriding = (*columns.fields.values(), columns.own.get("overrides", ""))
        self._known: dict[object, dict[str, JSON]] = {}

    def request(self, row: Row) -> tuple[Request, list[Problem]]:
        """The request, as far as the row is valid, and its problems."""
        problems: list[Problem] = []
        given, row = row, self._without_missing(row, problems)
        named: list[Problem] = []
        faults: list[Problem] = []
        overrides = self._overrides(row, faults)
        # A row with its own interface needs no template.
        unreadable = any((fault.column or "").endswith("label_config") for fault in faults)
        optional = {"template"} if "label_config" in overrides or unreadable else set()
        workspace, template = (self._reference(kind, row, named, optional) for kind in ("workspace", "template"))
        whole = self._title(row, template, problems)
        problems += named + faults
        title = cut(whole) if self._titles.cut else whole
        found = Request(
            line=row.line,
            title=title,
            workspace=workspace,
            template=template,
            overrides=overrides,
            cells=given.cells,
            variables=self._variables(row, problems) or _NO_VARIABLES,
            whole_title=whole if whole != title else "",
            steps=self._steps(row, problems),
        )
        missing = {each.column for each in problems if each.code == "missing-value"}
        return found, [each for each in problems if each.code == "missing-value" or each.column not in missing]

    def _without_missing(self, row: Row, problems: list[Problem]) -> Row:
        """The row with cells emptied that hold a word for a missing value, so that each has one problem only."""
        cells = row.cells
        found = {
            name: ""
            for name in self._settings
            if isinstance(cell := cells.get(name), str)
            and cell[:1] in MISSING_STARTS
            and is_missing(cell, MISSING_IN_SETTINGS)
        }
        for name in found:
            message = "this usually stands for a missing value."
            hint = "Empty the cell. If you mean the text itself, set it in the column overrides."
            problems.append(Problem("missing-value", message, row.line, name, str(cells[name]).strip(), hint))
        return Row(row.line, {**cells, **found}) if found else row

    def _title(self, row: Row, template: str, problems: list[Problem]) -> str:
        """The title, uncut; empty if there is none, or if the template has it."""
        column = self._columns.own.get("title")
        cell = row.cells.get(column) if column is not None else None
        title = _word(cell)
        fault: tuple[str, str, str] | None = None
        if title is None or (len(title) < 6 and title.casefold() in ("true", "false")):
            fault = ("title-not-text", "the title must be text.", "")
        elif is_missing(title, MISSING_IN_TITLES):
            fault = ("title-missing", "this usually stands for a missing value.", "Give the row a title.")
        elif not title and self._titles.pattern and self._titles.columns.keys() < set(self._titles.pattern.names):
            # That is a problem of the whole sheet.
            return ""
        elif not title and self._titles.pattern:
            try:
                title = cell = self._titles.pattern.title(row.cells, self._titles.columns)
            except TitleUnmade as error:
                fault = ("title-missing", f"{error}.", "Fill it, or give the row a title.")
        elif not title and self._titles.titled_by(template):
            return ""
        elif not title:
            # A missing column is a problem of the whole sheet.
            fault = ("title-missing", "the row has no title.", "") if column is not None else None
        if title and not fault:
            fault = fault_of_title(cut(title) if self._titles.cut else title)
        if fault:
            value = None if title == "" else shown(cell)
            code, message, hint = fault
            problems.append(Problem(code, message, row.line, column or "title", value, hint))
        return title or ""

    def _variables(self, row: Row, problems: list[Problem]) -> dict[str, object]:
        """The template variables that the row sets, in `var.*` columns and the column `vars`."""
        found = {
            name: row.cells[column]
            for name, column in self._columns.variables.items()
            if not is_blank(row.cells.get(column))
        }
        column = self._columns.own.get("vars")
        cell = row.cells.get(column) if column is not None else None
        if is_blank(cell):
            return found
        value = _object_in(row, column, "vars", '{"customer": "Alder"}')
        if isinstance(value, Problem):
            problems.append(value)
            return found
        for name, part in value.items():
            if name in found and found[name] != part:
                message = f"{shown(name)} has another value in its own column."
                problems.append(Problem("conflicting-field", message, line=row.line, column=f"{column}.{shown(name)}"))
            elif part is not None:
                found[str(name)] = part
        return found

    def _steps(self, row: Row, problems: list[Problem]) -> Steps:
        """The steps of the row."""
        cells = {
            name: row.cells.get(column)
            for name in ("members", "tasks", "publish", "pin")
            if (column := self._columns.own.get(name)) is not None and not is_blank(row.cells.get(column))
        }
        if not cells:
            return _NO_STEPS
        found: dict[str, Any] = {}
        for name, cell in cells.items():
            try:
                if name == "members":
                    found[name] = members_in(text(cell))
                elif name == "tasks":
                    found[name] = self._references.tasks(text(cell))
                else:
                    found[name] = boolean(cell)
            except (BadStep, PydanticCustomError) as error:
                reason = error.message() if isinstance(error, PydanticCustomError) else str(error)
                message = f"{name} {reason}." if isinstance(error, PydanticCustomError) else f"{reason}."
                column = self._columns.own[name]
                hint = error.hint if isinstance(error, BadStep) else ""
                problems.append(Problem("bad-step", message, row.line, column, shown(cell), hint))
        return Steps(**found)

    def _reference(self, kind: str, row: Row, problems: list[Problem], optional: Set[str]) -> str:
        column = self._columns.own.get(kind)
        cell = row.cells.get(column) if column is not None else None
        word = _word(cell)
        word = without_unseen(word).strip() if word else word
        if word is None or len(word) > MOST_IN_NAME or CONTROL.search(word):
            message = f"a {kind} is given by its id or name, on one line of at most {MOST_IN_NAME:,} characters."
            value = shown(cell)
            problems.append(Problem("bad-reference", message, line=row.line, column=column, value=value))
            return ""
        found = word or self._defaults[kind]
        if not found and kind in self._required - optional:
            message, hint = no_reference(kind)
            problems.append(Problem(f"{kind}-missing", message, line=row.line, column=column or kind, hint=hint))
        return found

    def _overrides(self, row: Row, problems: list[Problem]) -> dict[str, JSON]:
        """The overrides of the row. Rows with the same cells share one object, which must not be changed."""
        cells = [row.cells.get(column) for column in self._overriding]
        # To Python, True, 1 and 1.0 are equal.
        key = (*cells, *map(type, cells))
        try:
            if (known := self._known.get(key)) is not None:
                return known
        except TypeError:
            # A list or an object.
            return self._settings_of(row, problems)
        before = len(problems)
        found = self._settings_of(row, problems)
        if len(problems) == before and len(self._known) < _MOST_KNOWN and not _has_parts(found):
            self._known[key] = found
        return found

    def _settings_of(self, row: Row, problems: list[Problem]) -> dict[str, JSON]:
        cells = {
            name: row.cells[column]
            for name, column in self._columns.fields.items()
            if not is_blank(row.cells.get(column))
        }
        found, own_problems = self._parsed(cells, row.line)
        names = self._columns.fields
        problems += [replace(each, column=names.get(each.column or "")) for each in own_problems]
        column = self._columns.own.get("overrides")
        if column is None or is_blank(row.cells.get(column)):
            return found
        more, more_problems = self._object(row, column)
        problems += more_problems
        for name in found.keys() & more.keys():
            if found[name] != more[name]:
                message = f"{name} has another value in its own column."
                problems.append(Problem("conflicting-field", message, line=row.line, column=f"{column}.{name}"))
        return found | more

    def _object(self, row: Row, column: str) -> tuple[dict[str, JSON], list[Problem]]:
        """The settings in the cell of the overrides column."""
        cell = row.cells[column]
        value = _object_in(row, column, "overrides", '{"maximum_annotations": 2}')
        if isinstance(value, Problem):
            return {}, [value]
        fault = _fault_of_names([str(name) for name in value])
        if fault:
            return {}, [Problem("unknown-field", fault, line=row.line, column=column, value=shown(cell))]
        found, problems = self._parsed({str(name): part for name, part in value.items()}, row.line)
        return found, [replace(each, column=f"{column}.{shown(each.column or '')}") for each in problems]

    def _parsed(self, values: dict[str, object], line: int) -> tuple[dict[str, JSON], list[Problem]]:
        problems = []
        files: dict[str, str] = {}
        for name, value in list(values.items()):
            if isinstance(value, str) and name in TEXT_FIELDS and value.lstrip().startswith("@"):
                read = self._references.instructions if name == "expert_instruction" else self._references.resolved
                text = read(value)
                if text.code:
                    message = f"{name}: {text.value}."
                    problems.append(Problem(text.code, message, line, name, shown(value), text.hint))
                    del values[name]
                else:
                    values[name] = text.value
                    if not value.strip().startswith("@@"):
                        files[name] = shown(value)
        found, more = parse_overrides(values, line=line, allow_unknown=self._allow_unknown)
        found |= {name: FromFile(found[name]) for name in found.keys() & files.keys()}
        # A problem with the text of a file shows the name of the file.
        more = [replace(each, value=files.get(each.column or "", each.value)) for each in more]
        return found, problems + more


#: Most distinct overrides that are cached for rows with the same cells.
_MOST_KNOWN = 10_000


def _has_parts(overrides: Mapping[str, JSON]) -> bool:
    """Whether one of them is an object or a list, which could be changed."""
    return any(isinstance(value, dict | list) for value in overrides.values())


def _fault_of_names(names: Sequence[str]) -> str:
    """The fault of the names in an overrides object, apart from unknown names; empty if there is none."""
    if len(names) > MOST_COLUMNS:
        return f"overrides has {len(names):,} fields, and at most {MOST_COLUMNS:,} are allowed."
    strange = next((name for name in names if len(name) > MOST_IN_NAME or CONTROL.search(name)), None)
    if strange is not None:
        return f"no field can be named {shown(strange)!r}: the name is too long, or holds a control character."
    return ""


def _word(cell: object) -> str | None:
    """A title or reference, normalised and stripped; empty for a blank cell, `None` if the cell is not text."""
    if isinstance(cell, str):
        text = cell.strip()
        return text if text.isascii() else normalised(text).strip()
    if is_blank(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, Decimal):
        cell = format(cell, "f")
    if isinstance(cell, bool) or not isinstance(cell, str | int | float) or cell in (math.inf, -math.inf):
        return None
    return str(cell)
