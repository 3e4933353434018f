"""Reads a worksheet of an Excel workbook as people see it.

Needs openpyxl, an extra of the package, imported when a workbook is read. A workbook is a zip of XML files, which
openpyxl reads without limits, so their sizes are checked first.
"""

import io
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from label_studio_stencil.problems import shown
from label_studio_stencil.sheet.model import SheetUnreadable, Table
from label_studio_stencil.sheet.workbooks import UNSAVED, Layout, Worksheet, chosen, measured, note_others, table_of

if TYPE_CHECKING:
    from openpyxl import Workbook

#: Excel's escapes for characters that XML can't hold: `_x000D_` is a carriage return, and `_x005F_` an underscore.
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
_HIDDEN_ROW = re.compile(rb"<(?:\w+:)?row\b(?=[^>]*\bhidden=[\"'](?:1|true)[\"'])[^>]*?\br=[\"'](\d+)[\"']")
_HIDDEN_COLUMN = re.compile(rb"<(?:\w+:)?col\b(?=[^>]*\bhidden=[\"'](?:1|true)[\"'])[^>]*>")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\b[^>]*\bref=[\"']([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})[\"']")
#: Rows of another worksheet that are checked for content.
_LOOKED_AT = 100


def read_excel(content: bytes, worksheet: str = "") -> Table:
    """The rows of a worksheet, with Excel's row numbers and the saved values of formulas.

    Args:
        content: The workbook.
        worksheet: The worksheet's name; empty takes the first visible one.

    Raises:
        SheetUnreadable: The extra is not installed, or the content is not a workbook, is broken or too large, or has no such
            worksheet.
    """
    try:
        import openpyxl  # noqa: F401  # an extra: Excel is read by few, and importing it takes a third of a second
    except ImportError:
        raise SheetUnreadable("Excel needs a reader.", hint="`pip install openpyxl` installs one.") from None
    has_formulas = measured(content, "an Excel workbook (.xlsx)")
    try:
        with warnings.catch_warnings():
            # Warnings about features that don't concern values.
            warnings.simplefilter("ignore")
            return _read(content, worksheet, has_formulas=has_formulas)
    except SheetUnreadable:
        raise
    except Exception as error:  # a broken workbook raises errors that openpyxl does not document
        reason = shown(f"{type(error).__name__}: {error}")
        raise SheetUnreadable(f"The workbook can't be read ({reason}).") from error


def _read(content: bytes, wanted: str, *, has_formulas: bool) -> Table:
    book = _opened(content, formulas=False)
    worksheets = [Worksheet(each.title, each.sheet_state == "visible") for each in book.worksheets]
    place = chosen(worksheets, wanted)
    rows = _with_unsaved(content, place) if has_formulas else _rows(book, place, values_only=True)
    table = table_of(map(_unescaped, rows), _layout(content, book.worksheets[place]))
    note_others(
        table, worksheets, place, [each for each in range(len(worksheets)) if each != place and _is_filled(book, each)]
    )
    return table


def _opened(content: bytes, *, formulas: bool) -> "Workbook":
    import openpyxl

    # Links to other workbooks are not followed, and may be broken.
    return openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=not formulas, keep_links=False)


def _rows(book: "Workbook", place: int, *, values_only: bool) -> Iterator[Sequence[object]]:
    worksheet = book.worksheets[place]
    worksheet.reset_dimensions()
    rows: Iterator[Sequence[object]] = worksheet.iter_rows(values_only=values_only)
    return rows


def _is_filled(book: "Workbook", place: int) -> bool:
    rows = itertools.islice(_rows(book, place, values_only=True), _LOOKED_AT)
    return any(value is not None for row in rows for value in row)


class _Cell(Protocol):
    """The attributes of openpyxl's cells."""

    @property
    def value(self) -> object:
        """The value of the cell."""

    @property
    def data_type(self) -> str:
        """The type of the cell; `str` is the text of a formula, which may be empty."""


def _with_unsaved(content: bytes, place: int) -> Iterator[Sequence[object]]:
    """The rows, with a marker for each formula without a value, because a blank cell would mean "not set"."""
    cells = cast("Iterator[Sequence[_Cell]]", _rows(_opened(content, formulas=False), place, values_only=False))
    formulas = _rows(_opened(content, formulas=True), place, values_only=True)
    for row, said in zip(cells, formulas, strict=True):
        yield [
            UNSAVED if cell.value is None and formula is not None and cell.data_type != "str" else cell.value
            for cell, formula in zip(row, said, strict=True)
        ]


def _unescaped(row: Sequence[object]) -> Sequence[object]:
    if not any(isinstance(value, str) and "_x" in value for value in row):
        return row
    return [_plain(value) if isinstance(value, str) else value for value in row]


def _plain(text: str) -> str:
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    # Two escapes stand for one character beyond the first 65,536.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _layout(content: bytes, worksheet: Any) -> Layout:  # openpyxl has no types
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Private, but in this mode nothing else shows hidden rows.
        part = archive.read(worksheet._worksheet_path.lstrip("/"))
    layout = Layout()
    if b"hidden=" in part:
        layout.hidden_rows.update(int(found[1]) for found in _HIDDEN_ROW.finditer(part))
        for found in _HIDDEN_COLUMN.finditer(part):
            first, last = (re.search(rb"\b%s=[\"'](\d{1,5})[\"']" % name, found[0]) for name in (b"min", b"max"))
            if first and last:
                layout.hidden_columns.update(range(int(first[1]), int(last[1]) + 1))
    for column, first_row, last_row in _MERGED.findall(part):
        if first_row != last_row:
            layout.merged[int(first_row), _number(column.decode())] = int(last_row)
    return layout


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number
