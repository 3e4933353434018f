"""Excel, Parquet, data frames and lists of dicts: values that have types already.

Needs openpyxl for Excel and pyarrow for Parquet, each an extra of the package, imported when one is read.
"""

import io
import math
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from stencil.problems import Problem, shown
from stencil.sheet.model import Row, SheetUnreadable, Table
from stencil.sheet.text import MOST_IN_CELL
from stencil.spreadsheet import unguard

if TYPE_CHECKING:
    import pandas as pd

#: Largest Excel workbook, unpacked: a few kilobytes of zip can hold gigabytes.
MOST_UNPACKED = 200_000_000
#: Largest whole number of a data frame or a list, in bits.
_MOST_BITS = 10_000
#: Most rows that are read from a source which can say many rows in a few bytes.
MOST_ROWS = 1_048_576

_FORMULA_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"})


def read_excel(content: bytes) -> Table:
    """The first worksheet, by Excel's own row numbers; formulas count with the values saved for them.

    Raises:
        SheetUnreadable: The extra is not installed, or this is no workbook, a broken one, or far too large a
            one.
    """
    try:
        import openpyxl  # an extra: Excel is read by few, and importing it takes a third of a second
    except ImportError:
        raise SheetUnreadable("Excel needs an extra: pip install 'stencil[excel]'") from None
    _refuse_bomb(content)
    try:
        with warnings.catch_warnings():
            # About features of the workbook that a reader of values has no use for.
            warnings.simplefilter("ignore")
            workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            worksheet = workbook.worksheets[0]
            worksheet.reset_dimensions()
            return _excel_table(worksheet.iter_rows(values_only=True))
    except SheetUnreadable:
        raise
    except Exception as error:  # a broken workbook fails in ways that openpyxl does not list
        raise SheetUnreadable(f"The workbook can't be read ({type(error).__name__}: {error}).") from error


def _refuse_bomb(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise SheetUnreadable("This is not an Excel workbook (.xlsx), or it is damaged.") from error
    if unpacked > MOST_UNPACKED:
        raise SheetUnreadable(
            f"The workbook unpacks to {unpacked // 10**6} MB; at most {MOST_UNPACKED // 10**6} MB are read."
        )


def _excel_table(records: Iterable[Sequence[object]]) -> Table:
    table = Table()
    header: list[str] = []
    for line, values in enumerate(records, start=1):
        cells = [_excel_cell(value) for value in values]
        if all(cell is None or cell == "" for cell in cells):
            continue
        if not header:
            header = ["" if cell is None else unguard(str(cell)).strip() for cell in cells]
            table.columns = [name for name in header if name]
            table.header_line = line
            continue
        table.rows.append(_excel_row(line, header, cells, table.problems))
    return table


def _excel_row(line: int, header: Sequence[str], cells: list[object], problems: list[Problem]) -> Row:
    row: dict[str, object] = dict.fromkeys((name for name in header if name), "")
    for position, cell in enumerate(cells):
        if cell is None or cell == "":
            continue
        name = header[position] if position < len(header) else ""
        if not name:
            message = f"column {position + 1} has no name in the header: give it one, or empty the cell."
            problems.append(Problem("extra-cell", message, line=line, value=shown(cell)))
        elif isinstance(cell, str) and cell in _FORMULA_ERRORS:
            message = "the cell's formula shows an error: mend the formula, or empty the cell."
            problems.append(Problem("formula-error", message, line=line, column=name, value=cell))
        else:
            row[name] = cell
    return Row(line, row)


def _excel_cell(value: object) -> object:
    """A cell as a person sees it: 3.0 is 3, a date is ISO 8601, and blanks are nothing."""
    if isinstance(value, str):
        return unguard(value) if value.strip() else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, timedelta) else value


def read_parquet(content: bytes) -> Table:
    """All rows of a Parquet file, numbered as if they stood under a header: the first is line 2.

    Raises:
        SheetUnreadable: The extra is not installed, or this is no Parquet file, a broken one, or far too
            large a one.
    """
    try:
        from pyarrow import parquet  # an extra, and half a second of import
    except ImportError:
        raise SheetUnreadable("Parquet needs an extra: pip install 'stencil[parquet]'") from None
    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        _refuse_many(file.metadata.num_rows)
        found = file.read()
        columns = [_pruned_column(column.to_pylist()) for column in found.columns]
    except SheetUnreadable:
        raise
    except Exception as error:  # a broken file fails in ways that pyarrow does not list
        reason = f"{type(error).__name__}: {error}"
        raise SheetUnreadable(f"The Parquet file can't be read ({reason}).") from error
    return _from_columns([str(name) for name in found.column_names], columns)


def _refuse_many(rows: int) -> None:
    if rows > MOST_ROWS:
        raise SheetUnreadable(f"The sheet has {rows:,} rows; at most {MOST_ROWS:,} are read.")


def _pruned_column(values: list[object]) -> list[object]:
    return [_pruned(value) if isinstance(value, dict) else value for value in values]


def _pruned(value: object) -> object:
    """A struct without nulls: all structs of a column have the keys of all, null where a row has none."""
    if isinstance(value, dict):
        return {name: _pruned(part) for name, part in value.items() if part is not None}
    return value


def read_frame(frame: "pd.DataFrame") -> Table:
    """All rows of a data frame, numbered as if under a header: the first is line 2; NaN and such are blank."""
    names = [str(name) for name in frame.columns]
    columns = []
    for position in range(len(names)):
        series = frame.iloc[:, position]
        blank = series.isna().tolist()
        columns.append([None if no else value for value, no in zip(series.tolist(), blank, strict=True)])
    return _from_columns(names, columns)


def _from_columns(names: list[str], columns: list[list[object]]) -> Table:
    table = Table(columns=[name.strip() for name in names])
    for position, values in enumerate(zip(*columns, strict=True)):
        cells = {name: plain(value) for name, value in zip(table.columns, values, strict=True)}
        add_row(table, position + 2, cells)
    return table


def read_records(records: Iterable[object]) -> Table:
    """A row for each mapping, numbered as if they stood under a header: the first is line 2."""
    table = Table()
    columns: dict[str, None] = {}
    for line, record in enumerate(records, start=2):
        cells: dict[str, object] = {}
        if isinstance(record, Mapping):
            cells = {str(name).strip(): plain(value) for name, value in record.items()}
            add_row(table, line, cells)
        else:
            message = "the item is not a mapping of column names to values."
            table.problems.append(Problem("not-a-row", message, line=line, value=shown(record)))
            table.rows.append(Row(line, cells))
        columns.update(dict.fromkeys(cells))
    table.columns = list(columns)
    return table


def add_row(table: Table, line: int, cells: dict[str, object]) -> None:
    """Adds a row unless it is blank, with a problem for each cell that is too large."""
    if all(is_blank(value) for value in cells.values()):
        return
    for name, value in cells.items():
        if isinstance(value, str) and len(value) > MOST_IN_CELL:
            message = f"the cell holds {len(value):,} characters; at most {MOST_IN_CELL:,} are read."
            table.problems.append(Problem("cell-too-large", message, line=line, column=name))
    table.rows.append(Row(line, cells))


def is_blank(value: object) -> bool:
    """Whether a cell says nothing: None, blanks only, or a NaN."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: object, depth: int = 0) -> object:
    """A value without numpy or pandas in it, as far as that goes; their missing values are None."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        # Python itself refuses to write it out, and so would every message about it.
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, str | bool | int):
        return str(value) if type(value) is not str and isinstance(value, str) else value
    if isinstance(value, float):
        return None if math.isnan(value) and not depth else float(value)
    if depth > 50:
        return value
    if isinstance(value, dict):
        return {str(name): plain(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, depth + 1) for part in value]
    if isinstance(value, datetime | date):
        return None if str(value) == "NaT" else value.isoformat()
    if isinstance(value, Decimal):
        return value if value.is_finite() else str(value)
    return _without_numpy(value, depth)


def _without_numpy(value: object, depth: int) -> object:
    name = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if name in ("pandas.NAType", "pandas.NaTType"):
        return None
    if name.startswith("numpy.") and hasattr(value, "tolist"):
        return plain(value.tolist(), depth + 1)
    return value
