"""Reads a worksheet of an OpenDocument spreadsheet (.ods), from LibreOffice or Google Sheets, as people see it.

Needs python-calamine, an extra of the package, imported when one is read.
"""

import io
import re
import zipfile

from label_studio_stencil.problems import shown
from label_studio_stencil.sheet.limits import MOST_UNPACKED
from label_studio_stencil.sheet.model import SheetUnreadable, Table
from label_studio_stencil.sheet.workbooks import Layout, Worksheet, chosen, measured, note_others, table_of

#: Start of the media type of OpenDocument spreadsheets; templates have a longer one.
MIMETYPE = b"application/vnd.oasis.opendocument.spreadsheet"

_TABLE = re.compile(rb"<table:table[ >].*?</table:table>", re.DOTALL)
_COLUMN = re.compile(rb"<table:table-column\b([^>]*)>")
_ROW = re.compile(rb"<table:table-row\b([^>]*?)(?:/>|>(.*?)</table:table-row>)", re.DOTALL)
_CELL = re.compile(rb"<table:(?:covered-)?table-cell\b([^>]*?)(?:/>|>(.*?)</table:(?:covered-)?table-cell>)", re.DOTALL)
_HIDDEN = re.compile(rb"table:visibility=[\"'](?:collapse|filter)[\"']")
_REPEATED = re.compile(rb"table:number-(?:rows|columns)-repeated=[\"'](\d+)[\"']")
_SPANNED = re.compile(rb"table:number-rows-spanned=[\"'](\d{1,7})[\"']")


def read_opendocument(content: bytes, worksheet: str = "") -> Table:
    """The rows of a worksheet, with the program's row numbers and the saved values of formulas.

    Args:
        content: The workbook.
        worksheet: The worksheet's name; empty takes the first visible one.

    Raises:
        SheetUnreadable: The extra is not installed, or the content is not a workbook, is broken or too large, or has no such
            worksheet.
    """
    try:
        import python_calamine  # an extra: few sheets are of this kind
    except ImportError:
        raise SheetUnreadable(
            "OpenDocument spreadsheets need a reader.", hint="`pip install python-calamine` installs one."
        ) from None
    measured(content, "an OpenDocument spreadsheet (.ods)")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            tables = _TABLE.findall(archive.read("content.xml"))
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        visible = python_calamine.SheetVisibleEnum.Visible
        worksheets = [Worksheet(each.name, each.visible == visible) for each in book.sheets_metadata]
        place = chosen(worksheets[: len(tables)], worksheet)
        layout = _layout(tables[place])
        rows = book.get_sheet_by_index(place).to_python(skip_empty_area=False)
        table = table_of(([None if value == "" else value for value in row] for row in rows), layout)
        filled = [each for each, part in enumerate(tables[: len(worksheets)]) if b"office:value-type=" in part]
        note_others(table, worksheets, place, filled)
    except SheetUnreadable:
        raise
    except Exception as error:  # a broken workbook raises errors that its reader does not document
        reason = shown(f"{type(error).__name__}: {error}")
        raise SheetUnreadable(f"The OpenDocument spreadsheet is damaged and can't be read ({reason}).") from error
    return table


def _layout(table: bytes) -> Layout:
    """The hidden rows and columns and the merged cells of a worksheet, after checking the size of repeated cells.

    Raises:
        SheetUnreadable: Repeated cells are too many.
    """
    layout = Layout()
    column = 1
    for found in _COLUMN.finditer(table):
        count = _repeats(found[1])
        if _HIDDEN.search(found[1]):
            layout.hidden_columns.update(range(column, column + min(count, 1000)))
        column += count
    line, size = 1, 0
    for found in _ROW.finditer(table):
        count, body = _repeats(found[1]), found[2] or b""
        if b"office:value-type=" in body:
            size += count * (
                len(body) + sum(len(cell[0]) * (_repeats(cell[1]) - 1) for cell in _CELL.finditer(body) if cell[2])
            )
            if size > MOST_UNPACKED:
                raise SheetUnreadable(
                    f"The worksheet repeats rows or cells to more than {MOST_UNPACKED // 10**6} MB.",
                    hint="Remove everything that is not a row.",
                )
            if _HIDDEN.search(found[1]):
                layout.hidden_rows.update(range(line, line + count))
            if b"number-rows-spanned" in body:
                _note_spans(layout, line, body)
        line += count
    return layout


def _note_spans(layout: Layout, line: int, body: bytes) -> None:
    column = 1
    for cell in _CELL.finditer(body):
        spanned = _SPANNED.search(cell[1])
        if spanned and int(spanned[1]) > 1:
            layout.merged[line, column] = line + int(spanned[1]) - 1
        column += _repeats(cell[1])


def _repeats(attributes: bytes) -> int:
    found = _REPEATED.search(attributes)
    return int(found[1][:9]) if found else 1
