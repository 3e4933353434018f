"""Excel workbooks: the first worksheet, as a person sees it.

Needs openpyxl, an extra of the package, imported when a workbook is read. A workbook is a zip of XML, and openpyxl reads
whatever they say, so what they hold is measured first.
"""

import copy
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time, timedelta
from typing import IO, Protocol, cast

from stencil.problems import Problem, shown
from stencil.sheet.limits import MOST_PROBLEMS, MOST_UNPACKED, note_large_cells, refuse_too_large
from stencil.sheet.model import Row, SheetUnreadable, Table
from stencil.sheet.tables import date_text
from stencil.spreadsheet import unguard

#: Most files in a workbook: each takes a few hundred bytes of memory before anything is read.
MOST_PARTS = 10_000
#: Most elements and attributes in a workbook, about seven for a cell: each takes 100 to 300 bytes while it is parsed.
MOST_MARKS = 10_000_000
#: And most of them between two rows or two texts, which is what stays in memory at once.
MOST_BETWEEN_ROWS = 1_000_000

_FORMULA_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"})
#: Entities multiply what a part holds; no spreadsheet program writes any.
_ENTITIES = tuple("<!ENTITY".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_ROW_OR_TEXT = re.compile(rb"<(?:\w+:)?(?:row|si)[\s/>]")
_PIECE = 1 << 16
#: Longer than any mark that is looked for, which may lie across two pieces.
_OVERLAP = 32


class _Unsaved:
    """A cell with a formula whose value was not saved, as programs leave them that can't calculate."""


_UNSAVED = _Unsaved()


def read_excel(content: bytes) -> Table:
    """The first worksheet, by Excel's own row numbers; formulas count with the values saved for them.

    Raises:
        SheetUnreadable: The extra is not installed, or this is no workbook, a broken one, or far too large a
            one.
    """
    try:
        import openpyxl  # noqa: F401  # an extra: Excel is read by few, and importing it takes a third of a second
    except ImportError:
        raise SheetUnreadable("Excel needs a reader: pip install openpyxl") from None
    has_formulas = _measured(content)
    try:
        with warnings.catch_warnings():
            # About features of the workbook that a reader of values has no use for.
            warnings.simplefilter("ignore")
            table = _table(_with_unsaved(content) if has_formulas else _rows(content, formulas=False, values_only=True))
            if not table.rows and not table.problems:
                _refuse_if_elsewhere(content)
            return table
    except SheetUnreadable:
        raise
    except Exception as error:  # a broken workbook fails in ways that openpyxl does not list
        reason = shown(f"{type(error).__name__}: {error}")
        raise SheetUnreadable(f"The workbook can't be read ({reason}).") from error


def _measured(content: bytes) -> bool:
    """Whether any part has a formula, once all of them are known to be of a size that can be read.

    Raises:
        SheetUnreadable: They are too large, or packed otherwise than a spreadsheet program does.
    """
    if content.count(b"PK\x01\x02") > MOST_PARTS:
        raise SheetUnreadable(f"The workbook holds more than {MOST_PARTS:,} files, and no more are read.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Measure().of(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        # A `RuntimeError` is what a part with a password raises, or a way of packing that is not known.
        raise SheetUnreadable("This is not an Excel workbook (.xlsx), or it is damaged.") from error


class _Measure:
    """What the parts of a workbook hold, added up."""

    def __init__(self) -> None:
        self._size = 0
        self._marks = 0
        self._formulas = False

    def of(self, archive: zipfile.ZipFile) -> bool:
        """Whether any part has a formula."""
        for entry in archive.infolist():
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # Other methods are unpacked in pieces of whatever size the packer chose.
                raise zipfile.BadZipFile(entry.filename)
            # Reading ends at the size that the archive declares, which need not be the true one.
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
                f"The workbook unpacks to more than {MOST_UNPACKED // 10**6} MB, and no more are read: remove what is "
                "no row, or save the sheet as CSV."
            )
        if self._marks > MOST_MARKS or since_row > MOST_BETWEEN_ROWS:
            raise SheetUnreadable(
                f"The workbook has more than {MOST_MARKS:,} XML elements and attributes, of which a cell has about seven, "
                f"or {MOST_BETWEEN_ROWS:,} outside of rows, and no more are read: save the sheet as CSV."
            )
        if any(mark in text for mark in _ENTITIES):
            raise SheetUnreadable(
                "The workbook declares XML entities, which no spreadsheet program does: save it anew."
            )


class _Cell(Protocol):
    """What openpyxl tells of a cell."""

    @property
    def value(self) -> object:
        """What the cell holds."""

    @property
    def data_type(self) -> str:
        """Its kind; `str` is a formula's text, which may be empty."""


def _rows(content: bytes, *, formulas: bool, values_only: bool) -> Iterator[Sequence[object]]:
    import openpyxl

    # Links to other workbooks are not followed anyway, and may be broken.
    workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=not formulas, keep_links=False)
    worksheet = workbook.worksheets[0]
    worksheet.reset_dimensions()
    rows: Iterator[Sequence[object]] = worksheet.iter_rows(values_only=values_only)
    return rows


def _refuse_if_elsewhere(content: bytes) -> None:
    """Raise where the first worksheet has no rows, and there are others: it alone is read."""
    import openpyxl

    first, *others = openpyxl.load_workbook(io.BytesIO(content), read_only=True, keep_links=False).sheetnames
    if others:
        raise SheetUnreadable(
            f"The first worksheet ({shown(first)!r}) has no rows, and it alone is read: move the one with the rows to the "
            f"front ({shown(', '.join(others))})."
        )


def _with_unsaved(content: bytes) -> Iterator[Sequence[object]]:
    """The rows, with a mark in the place of each formula that has no value: a blank cell would mean "not set"."""
    cells = cast("Iterator[Sequence[_Cell]]", _rows(content, formulas=False, values_only=False))
    formulas = _rows(content, formulas=True, values_only=True)
    for row, said in zip(cells, formulas, strict=True):
        yield [
            _UNSAVED if cell.value is None and formula is not None and cell.data_type != "str" else cell.value
            for cell, formula in zip(row, said, strict=True)
        ]


def _table(records: Iterable[Sequence[object]]) -> Table:
    table = Table()
    header: list[str] = []
    width = 0
    for line, values in enumerate(records, start=1):
        # Rows and columns may be numbered as one likes, and what lies between is filled up.
        width += len(values)
        refuse_too_large(line, len(table.columns), cells=width)
        cells = [None if value is None else _cell(value) for value in values]
        if all(cell is None or cell == "" for cell in cells):
            continue
        if not header:
            header = [_name(cell, line, table.problems) for cell in cells]
            table.columns = [name for name in header if name]
            table.header_line = line
            refuse_too_large(0, len(table.columns))
            continue
        row = _row(line, header, cells, table.problems)
        note_large_cells(table, line, row.cells)
        table.rows.append(row)
        if len(table.problems) > MOST_PROBLEMS:
            break
    return table


def _name(cell: object, line: int, problems: list[Problem]) -> str:
    if cell is _UNSAVED:
        problems.append(_unsaved(line, None))
    return "" if cell is None or cell is _UNSAVED else unguard(str(cell)).strip()


def _unsaved(line: int, column: str | None) -> Problem:
    message = (
        "no value is saved for the cell's formula: open the workbook in a spreadsheet program and save it, or write"
    )
    return Problem("formula-unsaved", f"{message} the value itself.", line=line, column=column)


def _row(line: int, header: Sequence[str], cells: list[object], problems: list[Problem]) -> Row:
    row: dict[str, object] = dict.fromkeys((name for name in header if name), "")
    extra = []
    for position, cell in enumerate(cells):
        if cell is None or cell == "":
            continue
        name = header[position] if position < len(header) else ""
        if not name:
            extra.append(position)
        elif cell is _UNSAVED:
            problems.append(_unsaved(line, name))
        elif isinstance(cell, str) and cell in _FORMULA_ERRORS:
            message = "the cell's formula shows an error: mend the formula, or empty the cell."
            problems.append(Problem("formula-error", message, line=line, column=name, value=cell))
        else:
            row[name] = cell
    if extra:
        more = f", nor have those of {len(extra) - 1:,} more cells" if len(extra) > 1 else ""
        message = f"column {extra[0] + 1} has no name in the header{more}: give it one, or empty the cell."
        first = cells[extra[0]]
        value = None if first is _UNSAVED else shown(first)
        problems.append(Problem("extra-cell", message, line=line, value=value))
    return Row(line, row)


def _cell(value: object) -> object:
    """A cell as a person sees it: 3.0 is 3, a date is ISO 8601, and blanks are nothing."""
    if isinstance(value, str):
        return unguard(value) if value.strip() else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, date):
        return date_text(value)
    if isinstance(value, time):
        return value.isoformat()
    return str(value) if isinstance(value, timedelta) else value
