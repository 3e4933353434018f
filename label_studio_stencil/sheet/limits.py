"""Limits on the size of a sheet.

Sheets are untrusted, and a few bytes can expand to a lot: a row that fills a thousand columns, a workbook that unpacks to
gigabytes, a problem for every cell. Each limit is far above what projects need. Together they keep a hostile sheet within
about two gigabytes of memory.
"""

import unicodedata
from collections.abc import Iterable, Mapping

from label_studio_stencil.problems import Problem
from label_studio_stencil.sheet.model import SheetUnreadable, Table

#: Longest cell, in characters. A labelling configuration of 1 MB is ordinary; a longer cell is something
#: else.
MOST_IN_CELL = 10_000_000
#: Longest line of text, in characters: two of the longest cells. Split into cells or JSON values, a line takes twenty times
#: its size.
MOST_IN_LINE = 20_000_000
#: Most lines of text: a blank line is one byte, and takes eight to sixty.
MOST_LINES = 10_000_000
#: Most rows, as in Excel.
MOST_ROWS = 1_048_576
#: Most columns. There are fewer than a hundred settings, and each unknown column is compared with all of them.
MOST_COLUMNS = 1_000
#: Most rows times columns, and most values of JSON Lines: each row has a cell in every column, blank or not.
MOST_CELLS = 20_000_000
#: Largest Excel workbook or Parquet file, unpacked, in bytes: a few kilobytes can hold gigabytes.
MOST_UNPACKED = 200_000_000
#: Longest title or reference that is checked, in characters.
MOST_IN_NAME = 1_000
#: How deeply lists and objects may nest. Settings allow 50 levels, and Python fails at some hundreds.
MOST_NESTED = 60
#: Problems after which a sheet is not checked any further; nobody reads as many.
MOST_PROBLEMS = 100_000


def refuse_too_large(rows: int, columns: int, *, cells: int = 0) -> None:
    """Check the size of a sheet.

    Args:
        rows: Rows, or lines that may be rows.
        columns: Columns that have a name.
        cells: Cells, if they may be more than rows times columns.

    Raises:
        SheetUnreadable: The sheet is too large.
    """
    if rows > MOST_ROWS:
        raise SheetUnreadable(f"The sheet has more than {MOST_ROWS:,} rows, and no more are read.", hint="Split it.")
    if columns > MOST_COLUMNS:
        raise SheetUnreadable(
            f"The sheet has {columns:,} columns; at most {MOST_COLUMNS:,} are read.",
            hint="Remove those that no row needs.",
        )
    if max(rows * columns, cells) > MOST_CELLS:
        raise SheetUnreadable(
            f"The sheet has more than {MOST_CELLS:,} cells (rows times columns), and no more are read.",
            hint="Split it, or remove columns that no row needs.",
        )


def note_large_cells(table: Table, line: int, cells: Mapping[str, object]) -> None:
    """Add a problem for each cell that is too large."""
    for name, value in cells.items():
        if isinstance(value, str) and len(value) > MOST_IN_CELL:
            table.problems.append(large_cell(len(value), line, name))


def large_cell(length: int, line: int, column: str | None) -> Problem:
    """The problem of a cell that has so many characters."""
    message = f"the cell holds {length:,} characters; at most {MOST_IN_CELL:,} are read."
    return Problem("cell-too-large", message, line=line, column=column)


def normalised(name: str) -> str:
    """The name in NFC, unless it is too long to be valid.

    Sorting combining marks takes quadratic time: nothing for a thousand, hours for a million.
    """
    return unicodedata.normalize("NFC", name) if len(name) <= MOST_IN_NAME else name


def nests_too_deeply(value: object, depth: int = 0) -> bool:
    """Whether lists and objects nest too deeply."""
    if not isinstance(value, dict | list | tuple):
        return False
    if depth >= MOST_NESTED:
        return True
    parts: Iterable[object] = value.values() if isinstance(value, dict) else value
    for part in parts:  # noqa: SIM110  # a generator doubles the frames of the recursion
        if nests_too_deeply(part, depth + 1):
            return True
    return False
