"""How much of a sheet is read.

A sheet comes from anywhere, and a few bytes can say a lot: a row that fills a thousand columns, a workbook that unpacks
to gigabytes, a problem for every cell. Each limit is far above what projects need; together they keep a hostile sheet
within about two gigabytes of memory, where Python and the readers of the formats would take all there is.
"""

import unicodedata
from collections.abc import Iterable, Mapping

from label_studio_stencil.problems import Problem
from label_studio_stencil.sheet.model import SheetUnreadable, Table

#: Longest cell, in characters; a labelling configuration of 1 MB is ordinary, beyond this something else is
#: in the file.
MOST_IN_CELL = 10_000_000
#: Longest line of text, in characters: two of the longest cells. Cut into cells or JSON values, a line takes twenty times
#: its size.
MOST_IN_LINE = 20_000_000
#: Most lines of text: a blank line is one byte, and takes eight to sixty.
MOST_LINES = 10_000_000
#: Most rows: as many as Excel has lines.
MOST_ROWS = 1_048_576
#: Most columns: there are fewer than a hundred settings, and for each unknown column the nearest one is looked for.
MOST_COLUMNS = 1_000
#: Most rows times columns, and most values of JSON lines: a row has a cell in every column, whether it says so or not.
MOST_CELLS = 20_000_000
#: Largest Excel workbook or Parquet file, unpacked, in bytes: a few kilobytes can hold gigabytes.
MOST_UNPACKED = 200_000_000
#: Longest title or reference that is looked at, in characters.
MOST_IN_NAME = 1_000
#: How deeply lists and objects may nest: settings take 50 levels, and Python gives up at some hundreds, wherever that is.
MOST_NESTED = 60
#: Problems after which a sheet is not looked at any further; nobody reads as many.
MOST_PROBLEMS = 100_000


def refuse_too_large(rows: int, columns: int, *, cells: int = 0) -> None:
    """Returns where a sheet of this size is read.

    Args:
        rows: Rows, or lines that may be rows.
        columns: Columns that have a name.
        cells: Cells, where they may be more than rows times columns.

    Raises:
        SheetUnreadable: It is not read.
    """
    if rows > MOST_ROWS:
        raise SheetUnreadable(f"The sheet has more than {MOST_ROWS:,} rows, and no more are read: split it.")
    if columns > MOST_COLUMNS:
        raise SheetUnreadable(
            f"The sheet has {columns:,} columns; at most {MOST_COLUMNS:,} are read: remove those that no row needs."
        )
    if max(rows * columns, cells) > MOST_CELLS:
        raise SheetUnreadable(
            f"The sheet has more than {MOST_CELLS:,} cells (rows times columns), and no more are read: split it, or "
            "remove columns that no row needs."
        )


def note_large_cells(table: Table, line: int, cells: Mapping[str, object]) -> None:
    """Adds a problem for each cell that is too large."""
    for name, value in cells.items():
        if isinstance(value, str) and len(value) > MOST_IN_CELL:
            table.problems.append(large_cell(len(value), line, name))


def large_cell(length: int, line: int, column: str | None) -> Problem:
    """The problem with a cell of so many characters."""
    message = f"the cell holds {length:,} characters; at most {MOST_IN_CELL:,} are read."
    return Problem("cell-too-large", message, line=line, column=column)


def normalised(name: str) -> str:
    """The name in NFC; one that is too long for any use as it is.

    To put combining marks in order takes the square of their number: nothing for a thousand, hours for a million.
    """
    return unicodedata.normalize("NFC", name) if len(name) <= MOST_IN_NAME else name


def nests_too_deeply(value: object, depth: int = 0) -> bool:
    """Whether lists and objects nest more deeply than is read."""
    if not isinstance(value, dict | list | tuple):
        return False
    if depth >= MOST_NESTED:
        return True
    parts: Iterable[object] = value.values() if isinstance(value, dict) else value
    for part in parts:  # noqa: SIM110  # a generator doubles the frames of the recursion
        if nests_too_deeply(part, depth + 1):
            return True
    return False
