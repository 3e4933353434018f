"""JSON lines, one object a line, to rows with the lines they stand on."""

from stencil.overrides import NotJSONError, json_of
from stencil.problems import Problem, shown
from stencil.sheet.limits import MOST_CELLS, MOST_PROBLEMS, nests_too_deeply, note_large_cells, refuse_too_large
from stencil.sheet.model import Row, SheetUnreadable, Table
from stencil.sheet.text import lines_of


def read_json_lines(text: str) -> Table:
    """The rows of JSON lines, one object a line; a line that is none is a problem, and the rest is read.

    Raises:
        SheetUnreadable: The text is too large.
    """
    if sum(map(text.count, ",[{")) > MOST_CELLS:
        raise SheetUnreadable(
            f"The text has more than {MOST_CELLS:,} JSON values, and no more are read: split the sheet."
        )
    table = Table(header_line=None)
    columns: dict[str, None] = {}
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        cells: dict[str, object] = {}
        try:
            cells = _object(line)
        except NotJSONError as error:
            table.problems.append(_no_row(number, line, str(error)))
        note_large_cells(table, number, cells)
        columns.update(dict.fromkeys(cells))
        table.rows.append(Row(number, cells))
        refuse_too_large(len(table.rows), len(columns))
        if len(table.problems) > MOST_PROBLEMS:
            break
    table.columns = list(columns)
    return table


def _object(line: str) -> dict[str, object]:
    found = json_of(line)
    if not isinstance(found, dict):
        raise NotJSONError("it is JSON, but not an object")
    if nests_too_deeply(found):
        raise NotJSONError("it nests too deeply")
    return dict(found)


def _no_row(number: int, line: str, reason: str) -> Problem:
    message = f"the line is not a JSON object: {reason}; write one object a line."
    return Problem("not-a-row", message, line=number, value=shown(line))
