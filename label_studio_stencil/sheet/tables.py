"""Reads Parquet, data frames and lists of dicts, whose values have types already.

Needs pyarrow for Parquet, an extra of the package, imported when one is read.
"""

import io
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.sheet.limits import (
    MOST_CELLS,
    MOST_NESTED,
    MOST_PROBLEMS,
    MOST_UNPACKED,
    nests_too_deeply,
    note_large_cells,
    refuse_too_large,
)
from label_studio_stencil.sheet.model import Row, SheetUnreadable, Table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet as pyarrow_parquet

#: Largest whole number of a data frame or a list, in bits.
_MOST_BITS = 10_000
#: Bytes and rows of a Parquet file that are unpacked at once.
_MOST_AT_ONCE, _MOST_ROWS_AT_ONCE = MOST_UNPACKED // 4, 10_000


def read_parquet(content: bytes) -> Table:
    """All rows of a Parquet file, numbered as if there were a header: the first is line 2.

    Raises:
        SheetUnreadable: The extra is not installed, or the content is not a Parquet file, is broken, or is too
            large.
    """
    try:
        from pyarrow import parquet  # an extra, and half a second of import
    except ImportError:
        raise SheetUnreadable("Parquet needs a reader.", hint="`pip install pyarrow` installs one.") from None
    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        _refuse_large_parquet(file)
        _refuse_periods(file.schema_arrow)
        columns: list[list[object]] = [[] for _ in file.schema_arrow.names]
        for values in _unpacked(file):
            for column, more in zip(columns, values, strict=True):
                column += more
    except SheetUnreadable:
        raise
    except Exception as error:  # a broken file raises errors that pyarrow does not document
        reason = f"{type(error).__name__}: {error}"
        raise SheetUnreadable(f"The Parquet file can't be read ({shown(reason)}).") from error
    return _from_columns([str(name) for name in file.schema_arrow.names], columns)


def _refuse_large_parquet(file: "pyarrow_parquet.ParquetFile") -> None:
    metadata = file.metadata
    refuse_too_large(metadata.num_rows, metadata.num_columns)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > MOST_UNPACKED:
        raise _large_parquet()
    # Raises an error if the metadata of a column is broken; `column()` ends the process (pyarrow 26.0.1).
    file.scan_contents()
    # A list in a cell holds any number of values.
    values = sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    if values > MOST_CELLS:
        raise SheetUnreadable(
            f"The Parquet file holds {values:,} values; at most {MOST_CELLS:,} are read.", hint="Split it."
        )


def _large_parquet() -> SheetUnreadable:
    return SheetUnreadable(
        f"The Parquet file unpacks to more than {MOST_UNPACKED // 10**6} MB, and no more are read.",
        hint="Split it, or put long texts into files beside the sheet, and name them in the cells as @file.",
    )


def _unpacked(file: "pyarrow_parquet.ParquetFile") -> Iterator[list[list[object]]]:
    """The values of each column, some rows at a time.

    A text that all rows share is in the file once, but in memory once for each row. So the number of rows that are unpacked
    at once is limited as if each row had all texts of the file.
    """
    groups = (file.metadata.row_group(number).total_byte_size for number in range(file.metadata.num_row_groups))
    at_once = _MOST_AT_ONCE // max(*groups, 1, 1)
    size = 0
    for batch in file.iter_batches(batch_size=min(max(at_once, 1), _MOST_ROWS_AT_ONCE)):
        found = []
        for column in batch.columns:
            decoded = column.dictionary_decode() if hasattr(column, "dictionary_decode") else column
            size += decoded.nbytes
            if size > MOST_UNPACKED:
                raise _large_parquet()
            values = _values(decoded)
            # Up to here, a shared text inside of lists and structs counts once.
            size += sum(len(str(value)) for value in values) if decoded.type.num_fields else 0
            found.append(values)
        yield found


def _values(column: "pa.Array") -> list[object]:
    """The values of a column: short floats as they are written, structs without nulls."""
    values: list[object] = column.to_pylist()
    kind = getattr(column.type, "value_type", column.type) if hasattr(column, "dictionary") else column.type
    if _has_short_floats(kind):
        values = [_as_written(value, kind) for value in values]
    return [_pruned(value) if isinstance(value, dict) else value for value in values]


def _has_short_floats(kind: "pa.DataType") -> bool:
    return str(kind) in _SHORT_FLOATS or any(
        _has_short_floats(kind.field(number).type) for number in range(kind.num_fields)
    )


def _as_written(value: object, kind: "pa.DataType") -> object:
    """A value with floats as decimals write them: 0.8 as a float of 32 bits is 0.800000012."""
    if isinstance(value, float) and str(kind) in _SHORT_FLOATS:
        return _short(value, _SHORT_FLOATS[str(kind)])
    if isinstance(value, list) and kind.num_fields == 1:
        return [_as_written(part, kind.field(0).type) for part in value]
    if isinstance(value, dict):
        kinds = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
        return {name: _as_written(part, kinds[name]) for name, part in value.items()}
    return value


#: Floats of fewer than 64 bits: their names in Arrow and in numpy.
_SHORT_FLOATS = {"float": "float32", "halffloat": "float16"}


def _short(value: float, numpy_kind: str) -> float:
    import numpy as np

    return float(str(np.dtype(numpy_kind).type(value)))


def _pruned(value: object) -> object:
    """A struct without nulls: in Arrow, all structs of a column have the same keys, and missing ones are null."""
    if isinstance(value, dict):
        return {name: _pruned(part) for name, part in value.items() if part is not None}
    return value


def read_frame(frame: "pd.DataFrame") -> Table:
    """All rows of a data frame, numbered as if there were a header: the first is line 2. NaN and the like are blank.

    A named level of the index is a column, as in a file that pandas writes, unless a column has its name.
    """
    names = [str(name) for name in frame.columns]
    levels = [place for place, name in enumerate(frame.index.names) if name is not None and str(name) not in names]
    columns = [_column(frame.index.get_level_values(place).to_series()) for place in levels]
    names = [str(frame.index.names[place]) for place in levels] + names
    columns += [_column(frame.iloc[:, position]) for position in range(frame.shape[1])]
    return _from_columns(names, columns)


def _column(series: "pd.Series[Any]") -> list[object]:
    blank = series.isna().tolist()
    values = series.tolist()
    if str(series.dtype).lower() in ("float32", "float16"):
        values = [
            value if no else _short(value, str(series.dtype).lower()) for value, no in zip(values, blank, strict=True)
        ]
    return [None if no else value for value, no in zip(values, blank, strict=True)]


def read_arrow(source: object) -> Table:
    """All rows of a table of pyarrow, polars or another Arrow library, numbered as if there were a header: the first is line 2.

    Raises:
        SheetUnreadable: The extra is not installed, or the table has values that Arrow can't hold.
    """
    kind = type(source).__name__
    try:
        import pyarrow
    except ImportError:
        raise SheetUnreadable(
            f"A {kind} needs a reader.", hint="`pip install pyarrow` installs one. Or give its rows as a list of dicts."
        ) from None
    try:
        table = pyarrow.table(source)
        refuse_too_large(table.num_rows, table.num_columns)
        _refuse_periods(table.schema)
        columns = [[value for chunk in column.chunks for value in _values(chunk)] for column in table.columns]
    except SheetUnreadable:
        raise
    except Exception as error:  # each library has its own errors
        raise SheetUnreadable(
            f"The {kind} can't be read ({shown(f'{type(error).__name__}: {error}')}).",
            hint="Give its rows as a list of dicts.",
        ) from error
    return _from_columns([str(name) for name in table.column_names], columns)


def _refuse_periods(schema: "pa.Schema") -> None:
    """Reject columns of pandas periods, which Arrow stores as plain numbers."""
    for field in schema:
        extension = (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()
        if "pandas.period" in (extension, getattr(field.type, "extension_name", "")):
            raise SheetUnreadable(
                f"The column {shown(field.name)!r} holds periods of pandas.", hint="Make them text, with astype(str)."
            )


def _from_columns(names: list[str], columns: list[list[object]]) -> Table:
    table = Table(columns=[name.strip() for name in names])
    refuse_too_large(len(columns[0]) if columns else 0, len(columns))
    for position, values in enumerate(zip(*columns, strict=True)):
        if any(map(nests_too_deeply, values)):
            _add_deep_row(table, position + 2)
            continue
        cells = {name: plain(value) for name, value in zip(table.columns, values, strict=True)}
        add_row(table, position + 2, cells)
    return table


def read_records(records: Iterable[object]) -> Table:
    """A row for each mapping, numbered as if there were a header: the first is line 2."""
    table = Table()
    columns: dict[str, None] = {}
    for line, record in enumerate(records, start=2):
        cells: dict[str, object] = {}
        if nests_too_deeply(record):
            _add_deep_row(table, line)
        elif isinstance(record, Mapping):
            cells = {str(name).strip(): plain(value) for name, value in record.items()}
            add_row(table, line, cells)
        else:
            message = "the item is not a mapping of column names to values."
            table.problems.append(Problem("not-a-row", message, line=line, value=shown(record)))
            table.rows.append(Row(line, cells))
        columns.update(dict.fromkeys(cells))
        refuse_too_large(len(table.rows), len(columns))
        if len(table.problems) > MOST_PROBLEMS:
            break
    table.columns = list(columns)
    return table


def _add_deep_row(table: Table, line: int) -> None:
    message = f"the row holds lists or objects that nest more than {MOST_NESTED} deep."
    table.problems.append(Problem("not-a-row", message, line=line))
    table.rows.append(Row(line, {}))


def add_row(table: Table, line: int, cells: dict[str, object]) -> None:
    """Add a row unless it is blank, and a problem for each cell that is too large."""
    if all(is_blank(value) for value in cells.values()):
        return
    note_large_cells(table, line, cells)
    table.rows.append(Row(line, cells))


def is_blank(value: object) -> bool:
    """Whether a cell has no value: None, only blanks, or NaN."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: object, depth: int = 0) -> object:
    """A value with types of numpy and pandas converted to Python's, if possible; their missing values are None."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        # Python refuses to write it out, so every message about it would fail.
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, str | bool | int):
        return str(value) if type(value) is not str and isinstance(value, str) else value
    if isinstance(value, float):
        if depth or math.isfinite(value):
            return float(value)
        # An infinity is text, as in CSV.
        return None if math.isnan(value) else str(float(value))
    if depth > 50:
        return value
    if isinstance(value, dict):
        return {str(name): plain(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, depth + 1) for part in value]
    if isinstance(value, bytes):
        return _text_of(value)
    if isinstance(value, date):
        return None if str(value) == "NaT" else date_text(value)
    if isinstance(value, Decimal):
        return value if value.is_finite() else plain(float(value), depth)
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, timedelta | UUID | PurePath):
        return str(value)
    return _without_numpy(value, depth)


def _text_of(value: bytes) -> object:
    """The text in bytes, since some programs write texts as bytes; other bytes are kept."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def date_text(value: date | datetime) -> str:
    """ISO 8601; midnight is written as a day only, because Excel and pandas store days as times."""
    if isinstance(value, datetime) and value.time() == time() and value.tzinfo is None:
        return value.date().isoformat()
    return value.isoformat()


def _without_numpy(value: object, depth: int) -> object:
    name = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if name in ("pandas.NAType", "pandas.NaTType"):
        return None
    if name in ("pandas.Period", "pandas.Interval"):
        return str(value)
    if name in ("numpy.float32", "numpy.float16"):
        return plain(float(str(value)), depth)
    if name in ("numpy.datetime64", "numpy.timedelta64"):
        # numpy turns nanoseconds, which Python's times don't have, into a whole number.
        return plain(value.astype(f"{name.removeprefix('numpy.')}[us]").item(), depth)  # type: ignore[attr-defined]
    if name.startswith("numpy.") and hasattr(value, "tolist"):
        return plain(value.tolist(), depth + 1)
    return value
