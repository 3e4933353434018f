"""The rows of a sheet as requests, with everything that is wrong with them at once."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from stencil.json_value import JSON
from stencil.overrides import TEXT_FIELDS, NotJSONError, json_of, parse_overrides
from stencil.problems import Problem, shown
from stencil.sheet.columns import Columns, columns_of
from stencil.sheet.model import Request, Row, Sheet
from stencil.sheet.references import References
from stencil.sheet.tables import is_blank

#: Lengths of a title in code points, as the server counts (measured on Community 1.23.2: after trimming).
SHORTEST_TITLE, LONGEST_TITLE = 3, 50

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def requests_of(
    sheet: Sheet,
    *,
    template: str = "",
    workspace: str = "",
    allow_unknown_fields: bool = False,
    workspaces_required: bool = False,
) -> tuple[list[Request], list[Problem]]:
    """The requests of the valid rows, and all problems: of reading first, of columns next, then of rows.

    A row with a problem gives no request; a problem with the columns leaves none at all.

    Args:
        sheet: The sheet as read.
        template: Template of rows that name none.
        workspace: Workspace of rows that name none.
        allow_unknown_fields: Pass on fields that the model does not know.
        workspaces_required: Whether a row without a workspace is a problem.
    """
    if not sheet.columns:
        return [], list(sheet.problems)
    columns = columns_of(sheet.columns, line=sheet.header_line, allow_unknown=allow_unknown_fields)
    checker = _Checker(
        columns=columns,
        references=References(sheet.folder),
        defaults={"template": _word(template) or "", "workspace": _word(workspace) or ""},
        required={"template"} | ({"workspace"} if workspaces_required else set()),
        allow_unknown=allow_unknown_fields,
    )
    unreadable = {problem.line for problem in sheet.problems}
    checked = [checker.request(row) for row in sheet.rows if row.line not in unreadable]
    keys = ((each.line, each.workspace, each.title) for each, problems in checked if not _untitled(problems))
    rows_problems = [problem for _, problems in checked for problem in problems] + find_duplicates(keys)
    rows_problems.sort(key=lambda problem: problem.line or 0)
    bad = {problem.line for problem in rows_problems}
    requests = [request for request, _ in checked if request.line not in bad]
    return ([] if columns.problems else requests), [*sheet.problems, *columns.problems, *rows_problems]


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
        key = ("" if workspace is None else str(workspace).strip(), _folded(title))
        earlier_line, earlier = first.setdefault(key, (line, title))
        if earlier_line == line:
            continue
        if earlier == title:
            code = "duplicate-row"
            message = f"lines {earlier_line} and {line} ask for the same project: remove one or change its title."
        else:
            code = "near-duplicate-row"
            message = f"lines {earlier_line} and {line} differ only in case, spacing or the form of letters"
            message += f" ({shown(earlier)!r}): remove one, or change its title."
        problems.append(Problem(code, message, line=line, column="title", value=shown(title)))
    return problems


def _folded(title: str) -> str:
    """The title as one reads it: without case, kinds of blanks and forms of letters."""
    if title.isascii():
        return " ".join(title.lower().split())
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", title).casefold()).split())


class _Checker:
    """Turns rows of one sheet into requests."""

    def __init__(
        self,
        *,
        columns: Columns,
        references: References,
        defaults: Mapping[str, str],
        required: Set[str],
        allow_unknown: bool,
    ) -> None:
        self._columns = columns
        self._references = references
        self._defaults = defaults
        self._required = required
        self._allow_unknown = allow_unknown

    def request(self, row: Row) -> tuple[Request, list[Problem]]:
        """The request as far as the row is valid, and what is wrong with it."""
        problems: list[Problem] = []
        found = Request(
            line=row.line,
            title=self._title(row, problems),
            workspace=self._reference("workspace", row, problems),
            template=self._reference("template", row, problems),
            overrides=self._overrides(row, problems),
            cells=row.cells,
        )
        return found, problems

    def _title(self, row: Row, problems: list[Problem]) -> str:
        column = self._columns.own.get("title")
        if column is None:
            return ""
        cell = row.cells.get(column)
        title = _word(cell)
        if title is None:
            code, message = "title-not-text", "the title must be text."
        elif not title:
            code, message = "title-missing", "the row needs a title."
        elif _CONTROL.search(title):
            code = "title-control-character"
            message = "the title holds a line break or another control character: remove it."
        elif len(title) < SHORTEST_TITLE:
            code = "title-too-short"
            message = f"the title has {len(title)} characters, and at least {SHORTEST_TITLE} are needed."
        elif len(title) > LONGEST_TITLE:
            code = "title-too-long"
            message = f"the title has {len(title)} characters, and at most {LONGEST_TITLE} are taken."
        else:
            return title
        value = None if code == "title-missing" else shown(cell)
        problems.append(Problem(code, message, line=row.line, column=column, value=value))
        return title or ""

    def _reference(self, kind: str, row: Row, problems: list[Problem]) -> str:
        column = self._columns.own.get(kind)
        cell = row.cells.get(column) if column is not None else None
        word = _word(cell)
        if word is None or _CONTROL.search(word):
            message = f"a {kind} is named by its id or its name, without line breaks."
            value = shown(cell)
            problems.append(Problem("bad-reference", message, line=row.line, column=column, value=value))
            return ""
        found = word or self._defaults[kind]
        if not found and kind in self._required:
            message = f"the row names no {kind}, and there is no default: fill in the column or use --{kind}."
            problems.append(Problem(f"{kind}-missing", message, line=row.line, column=column or kind))
        return found

    def _overrides(self, row: Row, problems: list[Problem]) -> dict[str, JSON]:
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
                message = f"{name} has another value in its own column: keep one of them."
                problems.append(Problem("conflicting-field", message, line=row.line, column=f"{column}.{name}"))
        return found | more

    def _object(self, row: Row, column: str) -> tuple[dict[str, JSON], list[Problem]]:
        """What the cell of the overrides column sets."""
        cell = row.cells[column]
        code, reason = "not-an-object", 'takes a JSON object, for example {"maximum_annotations": 2}'
        try:
            value = json_of(cell) if isinstance(cell, str) else cell
        except NotJSONError as error:
            code, reason, value = "not-json", f"{reason}; {error}", None
        if not isinstance(value, Mapping):
            return {}, [Problem(code, f"overrides {reason}.", line=row.line, column=column, value=shown(cell))]
        found, problems = self._parsed({str(name): part for name, part in value.items()}, row.line)
        return found, [replace(each, column=f"{column}.{shown(each.column or '')}") for each in problems]

    def _parsed(self, values: dict[str, object], line: int) -> tuple[dict[str, JSON], list[Problem]]:
        problems = []
        for name in values.keys() & TEXT_FIELDS:
            value = values[name]
            if isinstance(value, str) and value.lstrip().startswith("@"):
                text = self._references.resolved(value)
                if text.code:
                    message = f"{name}: {text.value}."
                    problems.append(Problem(text.code, message, line=line, column=name, value=shown(value)))
                    del values[name]
                else:
                    values[name] = text.value
        found, more = parse_overrides(values, line=line, allow_unknown=self._allow_unknown)
        return found, problems + more


def _word(cell: object) -> str | None:
    """A title or reference, normalised and stripped: empty for a blank cell, `None` for one that is no text."""
    if is_blank(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    return unicodedata.normalize("NFC", str(cell)).strip()
