"""Common parts of reading workbooks: the choice of a worksheet, rows under a header, and limits on unpacked sizes."""

import copy
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from label_studio_stencil.letters import without_unseen
from label_studio_stencil.problems import Problem, counted, listed, shown
from label_studio_stencil.sheet.formulas import unguard
from label_studio_stencil.sheet.limits import MOST_PROBLEMS, MOST_UNPACKED, note_large_cells, refuse_too_large
from label_studio_stencil.sheet.model import Row, SheetUnreadable, Table
from label_studio_stencil.sheet.nameless import Nameless
from label_studio_stencil.sheet.tables import plain

#: Most files in a workbook: each takes a few hundred bytes of memory before anything is read.
MOST_PARTS = 10_000
#: Most elements and attributes in a workbook; a cell has about seven, and each takes 100 to 300 bytes while it is parsed.
MOST_MARKS = 10_000_000
#: Most of them between two rows or two texts, which are in memory at once.
MOST_BETWEEN_ROWS = 1_000_000

#: Entities multiply the content of a part; no spreadsheet program writes any.
_ENTITIES = tuple("<!ENTITY".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_ROW_OR_TEXT = re.compile(rb"<(?:\w+:)?(?:row|si|table-row)[\s/>]")
_PIECE = 1 << 16
#: Longer than any searched text, which may span two pieces.
_OVERLAP = 32
#: Most lines and ranges in a note.
_MOST_NAMED = 5


def measured(content: bytes, kind: str) -> bool:
    """Check the size of all parts, and return whether any has a formula.

    Args:
        content: The workbook.
        kind: The expected kind, for messages.

    Raises:
        SheetUnreadable: They are too large, or not packed as spreadsheet programs do.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Measure().of(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        # A part with a password, or an unknown compression, raises a `RuntimeError`.
        raise SheetUnreadable(f"This is not {kind}, or it is damaged.") from error


def refuse_too_many_parts(content: bytes) -> None:
    """Check the number of files in a zip before it is opened.

    Raises:
        SheetUnreadable: It holds too many files.
    """
    if content.count(b"PK\x01\x02") > MOST_PARTS:
        raise SheetUnreadable(f"The file is a zip of more than {MOST_PARTS:,} files, and no more are read.")


class _Measure:
    """The sizes of a workbook's parts, added up."""

    def __init__(self) -> None:
        self._size = 0
        self._marks = 0
        self._formulas = False

    def of(self, archive: zipfile.ZipFile) -> bool:
        """Whether any part has a formula."""
        for entry in archive.infolist():
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # Other methods unpack in pieces of a size that the packer chose.
                raise zipfile.BadZipFile(entry.filename)
            # Reading ends at the size that the archive declares, which may be wrong.
            one_more = copy.copy(entry)
            one_more.file_size += 1
            before = self._size
            with archive.open(one_more) as part:
                self._part(part)
            if self._size - before != entry.file_size:
                raise zipfile.BadZipFile(entry.filename)
        return self._formulas

    def _part(self, part: IO[bytes]) -> None:
        since_row = 0
        end = b""
        while piece := part.read(_PIECE):
            self._size += len(piece)
            marks = piece.count(b"<") + piece.count(b"=")
            self._marks += marks
            text = end + piece
            since_row = marks if _ROW_OR_TEXT.search(text) else since_row + marks
            self._formulas = self._formulas or _FORMULA.search(text) is not None
            self._refuse(since_row, text)
            end = text[-_OVERLAP:]

    def _refuse(self, since_row: int, text: bytes) -> None:
        if self._size > MOST_UNPACKED:
            raise SheetUnreadable(
                f"The workbook unpacks to more than {MOST_UNPACKED // 10**6} MB, and no more are read.",
                hint="Remove everything that is not a row, or save the sheet as CSV.",
            )
        if self._marks > MOST_MARKS or since_row > MOST_BETWEEN_ROWS:
            raise SheetUnreadable(
                f"The workbook has more than {MOST_MARKS:,} XML elements and attributes, of which a cell has "
                f"about seven, or {MOST_BETWEEN_ROWS:,} outside of rows, and no more are read.",
                hint="Save the sheet as CSV.",
            )
        if any(mark in text for mark in _ENTITIES):
            raise SheetUnreadable(
                "The workbook declares XML entities, which no spreadsheet program does.", hint="Save it again."
            )


# Which worksheet.


class Worksheet(NamedTuple):
    """A worksheet that may be read."""

    name: str
    visible: bool


def chosen(worksheets: Sequence[Worksheet], wanted: str) -> int:
    """The worksheet to read: the one that is named, or the first visible one.

    Raises:
        SheetUnreadable: There is no worksheet of this name, or none at all.
    """
    if not worksheets:
        raise SheetUnreadable("The workbook has no worksheet.")
    if not wanted.strip():
        return next((place for place, each in enumerate(worksheets) if each.visible), 0)
    for same in (str, _folded):
        fitting = [place for place, each in enumerate(worksheets) if same(each.name) == same(wanted)]
        if fitting:
            return fitting[0]
    names = ", ".join(shown(repr(each.name)) for each in worksheets[:20])
    raise SheetUnreadable(f"The workbook has no worksheet {shown(wanted)!r}.", hint=f"It has {names}.")


def _folded(name: str) -> str:
    return " ".join(without_unseen(name).casefold().split())


def note_others(table: Table, worksheets: Sequence[Worksheet], place: int, filled: Sequence[int]) -> None:
    """Add a note that names the worksheets that were not read.

    Args:
        table: The table that was read.
        worksheets: All worksheets.
        place: Index of the worksheet that was read.
        filled: Worksheets that are not empty.

    Raises:
        SheetUnreadable: The worksheet is empty, and others are not.
    """
    read = worksheets[place].name
    others = [worksheets[each] for each in filled if each != place]
    if not others:
        return
    told = [f"{shown(each.name)!r}{'' if each.visible else ' (hidden)'}" for each in others]
    names = listed(told, most=_MOST_NAMED)
    way = f'`worksheet="{shown(others[0].name)}"`, or #{shown(others[0].name)} after the file\'s name, chooses another.'
    if not table.rows and not table.problems:
        raise SheetUnreadable(f"The worksheet {shown(read)!r} has no rows, and {names} {_have(told)}.", hint=way)
    table.notes.append(f"The worksheet {shown(read)!r} was read, and {names} {_were(told)} not: {way}")


def _have(names: Sequence[str]) -> str:
    return "has some" if len(names) == 1 else "have some"


def _were(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


# Rows.


class UnsavedFormula:
    """A cell with a formula without a saved value, as programs write that don't calculate."""


UNSAVED = UnsavedFormula()


@dataclass
class Layout:
    """The hidden rows and columns and the merged cells of a worksheet.

    Attributes:
        hidden_rows: Numbers of hidden rows; the first row is 1.
        hidden_columns: Numbers of hidden columns.
        merged: Last row by row and column of a cell that spans rows below it.
    """

    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: dict[tuple[int, int], int] = field(default_factory=dict)


def table_of(records: Iterable[Sequence[object]], layout: Layout) -> Table:
    """The rows below the first row that is not blank, with the spreadsheet program's numbers.

    Args:
        records: All rows, blank ones included.
        layout: Hidden and merged cells. A merged value counts for all rows that it spans, as people see it.
    """
    table = Table()
    header: list[str] = []
    nameless = Nameless((), 1)
    spans = _Spans(layout.merged)
    width = 0
    for line, values in enumerate(records, start=1):
        # Numbers of rows and columns may have gaps, which are filled up.
        width += len(values)
        refuse_too_large(line, len(table.columns), cells=width)
        cells = [None if value is None else _cell(value) for value in values]
        if all(cell is None or cell == "" for cell in cells):
            continue
        if not header:
            header = [_name(cell, line, table.problems) for cell in cells]
            table.columns = [name for name in header if name]
            table.header_line = line
            nameless = Nameless(header, line)
            refuse_too_large(0, len(table.columns))
            continue
        row = _row(line, header, spans.filled(line, cells), table.problems, nameless)
        note_large_cells(table, line, row.cells)
        table.rows.append(row)
        if len(table.problems) + nameless.count > MOST_PROBLEMS:
            break
    if nameless.count:
        table.problems += nameless.problems(len(table.rows))
        table.problems.sort(key=lambda problem: problem.line or 0)
    _note_layout(table, header, layout, spans)
    return table


class _Spans:
    """Fill the rows that a merged cell spans with its value."""

    def __init__(self, merged: Mapping[tuple[int, int], int]) -> None:
        self._merged: dict[int, list[tuple[int, int]]] = {}
        for (row, column), last in merged.items():
            self._merged.setdefault(row, []).append((column, last))
        self._open: dict[int, tuple[object, int, int]] = {}
        self.used: dict[tuple[int, int], int] = {}

    def filled(self, line: int, cells: list[object]) -> list[object]:
        for column, (value, first, last) in list(self._open.items()):
            if line > last:
                del self._open[column]
            elif value is not None and cells[column - 1 : column] in ([], [None], [""]):
                cells += [None] * (column - len(cells))
                cells[column - 1] = value
                self.used[column, first] = line
        for column, last in self._merged.get(line, ()):
            self._open[column] = (cells[column - 1] if column <= len(cells) else None, line, last)
        return cells


def _note_layout(table: Table, header: Sequence[str], layout: Layout, spans: _Spans) -> None:
    hidden = [row.line for row in table.rows if row.line in layout.hidden_rows]
    if hidden:
        rows = counted(len(hidden), "row")
        table.notes.append(
            f"{rows} hidden in the worksheet {_count(hidden, 'is', 'are')} read like the others: {_lines(hidden)}."
        )
    columns = [name for place, name in enumerate(header, start=1) if name and place in layout.hidden_columns]
    if columns:
        names = listed([repr(shown(name)) for name in columns], most=_MOST_NAMED)
        table.notes.append(f"Columns hidden in the worksheet are read like the others: {names}.")
    if spans.used:
        firsts = sorted({first for _, first in spans.used})
        table.notes.append(f"Merged cells count for each of the rows that they span; the first {_lines(firsts)}.")


def _count(items: Sequence[object], one: str, more: str) -> str:
    return one if len(items) == 1 else more


def _lines(lines: Sequence[int]) -> str:
    return f"{_count(lines, 'line', 'lines')} {listed([str(line) for line in lines], most=_MOST_NAMED)}"


def _name(cell: object, line: int, problems: list[Problem]) -> str:
    if cell is UNSAVED:
        problems.append(_unsaved(line, None))
    return "" if cell is None or cell is UNSAVED else unguard(str(cell)).strip()


def _unsaved(line: int, column: str | None) -> Problem:
    hint = "Open the workbook in a spreadsheet program and save it, or write the value itself."
    return Problem("formula-unsaved", "no value is saved for the cell's formula.", line=line, column=column, hint=hint)


def _row(line: int, header: Sequence[str], cells: list[object], problems: list[Problem], nameless: Nameless) -> Row:
    row: dict[str, object] = dict.fromkeys((name for name in header if name), "")
    extra = []
    for position, cell in enumerate(cells):
        if cell is None or cell == "":
            continue
        name = header[position] if position < len(header) else ""
        if not name:
            extra.append(position)
        elif cell is UNSAVED:
            problems.append(_unsaved(line, name))
        else:
            row[name] = cell
    if extra:
        first = cells[extra[0]]
        nameless.add(line, extra, "" if first is UNSAVED else first)
    return Row(line, row)


def _cell(value: object) -> object:
    """A cell as people see it: 3.0 is 3, a date is ISO 8601, and blanks are no value."""
    if isinstance(value, str):
        return unguard(value) if value.strip() else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return plain(value)
