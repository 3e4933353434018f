"""Reads rows of JSON with their line numbers: JSON Lines, an array of objects, or objects one after the other.

A line number names one row. Where several rows start on a line, each gets a number of its own: in a list on one line, 1, 2, 3.
"""

from collections.abc import Mapping

from label_studio_stencil.json_value import JSON, NotJSONError, json_at, json_of
from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.sheet.limits import (
    MOST_CELLS,
    MOST_PROBLEMS,
    nests_too_deeply,
    note_large_cells,
    refuse_too_large,
)
from label_studio_stencil.sheet.model import Row, SheetUnreadable, Table
from label_studio_stencil.sheet.tables import is_blank
from label_studio_stencil.sheet.text import lines_of

_BLANK = " \t\r\n"


def read_json(text: str) -> Table:
    """The rows of JSON. In JSON Lines, a line that is not an object is a problem, and the other lines are read.

    Raises:
        SheetUnreadable: The text is too large, or its JSON is not a list of rows.
    """
    if sum(map(text.count, ",[{")) > MOST_CELLS:
        raise SheetUnreadable(
            f"The text has more than {MOST_CELLS:,} JSON values, and no more are read.", hint="Split the sheet."
        )
    rows = _Rows()
    start = _after_blanks(text, 0)
    if text[start : start + 1] == "[":
        _read_array(text, start, rows)
    elif _spans_lines(text, start):
        _read_objects(text, start, rows)
    else:
        for number, line in enumerate(lines_of(text), start=1):
            if line.strip() and not rows.full:
                rows.read(number, line)
    rows.refuse_other_shapes()
    rows.table.columns = list(rows.columns)
    return rows.table


class _Rows:
    """The table so far."""

    def __init__(self) -> None:
        self.table = Table(header_line=None)
        self.columns: dict[str, str] = {}
        self._values = 0
        self._last = 0

    @property
    def full(self) -> bool:
        """Whether there are too many problems to go on."""
        return len(self.table.problems) > MOST_PROBLEMS

    def read(self, number: int, line: str) -> None:
        """Add the row of one line."""
        try:
            self.add(number, json_of(line), line)
        except NotJSONError as error:
            self.refuse(number, line, str(error), "Write one object a line.")

    def add(self, number: int, value: JSON, source: str) -> None:
        """Add a row unless it is blank."""
        self._values += 1
        self._last = number = max(number, self._last + 1)
        if not isinstance(value, dict):
            self.refuse(number, source, "it is another JSON value", "Write an object for each row.")
        elif nests_too_deeply(value):
            self.refuse(number, source, "it nests too deeply", "Write settings as Label Studio has them.")
        else:
            # Rows share the strings of their names.
            cells: dict[str, object] = {self.columns.setdefault(name, name): part for name, part in value.items()}
            if not all(map(is_blank, cells.values())):
                note_large_cells(self.table, number, cells)
                self._append(number, cells)

    def refuse(self, number: int, source: str, reason: str, advice: str) -> None:
        """Add a row that can't be read."""
        message = f"the row is not a JSON object: {reason}."
        self.table.problems.append(Problem("not-a-row", message, line=number, value=shown(source), hint=advice))
        self._append(number, {})

    def stop(self, number: int, reason: str) -> None:
        """Add the problem of the place where the text stops being JSON; the rows after it are unknown."""
        message = f"the JSON is broken on line {number}, and what follows was not read: {reason}."
        self.table.problems.append(Problem("not-a-row", message))

    def _append(self, number: int, cells: dict[str, object]) -> None:
        self.table.rows.append(Row(number, cells))
        refuse_too_large(len(self.table.rows), len(self.columns))

    def refuse_other_shapes(self) -> None:
        """Raise an error if the only object is a whole table instead of a row."""
        if self._values != 1 or len(self.table.rows) != 1 or self.table.problems:
            return
        cells = self.table.rows[0].cells
        if any(name.strip().casefold() == "title" and not isinstance(cell, dict) for name, cell in cells.items()):
            return
        if all(isinstance(cell, dict) for cell in cells.values()):
            raise SheetUnreadable(
                "The JSON is one object of columns or of rows by number, as DataFrame.to_json writes it.",
                hint="Write rows, with to_json(path, orient='records', lines=True).",
            )
        if any(isinstance(cell, list) and cell and isinstance(cell[0], Mapping | list) for cell in cells.values()):
            raise SheetUnreadable("The JSON is one object that holds the rows in a list.", hint="Save that list alone.")


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _spans_lines(text: str, start: int) -> bool:
    """Whether the first value is an object of several lines, as it is when indented."""
    end = text.find("\n", start)
    if end < 0 or text[start : start + 1] != "{":
        return False
    try:
        json_of(text[start:end])
    except NotJSONError:
        try:
            return json_at(text, start)[1] > end
        except NotJSONError:
            return False
    return False


def _read_array(text: str, start: int, rows: _Rows) -> None:
    """The items of an array."""
    line, seen, at = 1, 0, _after_blanks(text, start + 1)
    while text[at : at + 1] != "]" and not rows.full:
        line, seen = line + text.count("\n", seen, at), at
        if not (end := _read_value(text, at, line, rows)):
            return
        at = _after_blanks(text, end)
        if text[at : at + 1] == ",":
            at = _after_blanks(text, at + 1)
        elif text[at : at + 1] != "]":
            rows.stop(line + text.count("\n", seen, at), "a comma or the end of the list is missing")
            return
    rest = _after_blanks(text, at + 1)
    if rest < len(text) and not rows.full:
        rows.stop(line + text.count("\n", seen, rest), "something follows the list")


def _read_objects(text: str, start: int, rows: _Rows) -> None:
    """Objects one after the other, regardless of line ends."""
    line, seen, at = 1, 0, start
    while at < len(text) and not rows.full:
        line, seen = line + text.count("\n", seen, at), at
        if not (end := _read_value(text, at, line, rows)):
            return
        at = _after_blanks(text, end)


def _read_value(text: str, at: int, line: int, rows: _Rows) -> int:
    """Add the value that starts here as a row, and return its end; 0 if it is broken."""
    try:
        value, end = json_at(text, at)
    except NotJSONError as error:
        rows.stop(line, f"in the value that starts there, {error}")
        return 0
    if isinstance(value, list) and not rows.table.rows:
        raise SheetUnreadable(
            "The JSON is a list of lists.", hint="Write an object for each row, with the names of the columns."
        )
    rows.add(line, value, text[at : min(end, at + 400)])
    return end
