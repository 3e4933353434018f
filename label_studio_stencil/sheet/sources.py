"""Opens any source of a sheet: a path, a URL, standard input, bytes, a data frame or a list of dicts."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, TypeAlias, Union, cast
from urllib.parse import unquote

from label_studio_stencil.files import (
    PERSON,
    STANDARD_INPUT,
    Asker,
    Readable,
    Unusable,
    drained,
    file_name,
    folder_of,
    read,
)
from label_studio_stencil.letters import without_unseen
from label_studio_stencil.problems import Problem
from label_studio_stencil.redaction import holds_secrets, marked, visible
from label_studio_stencil.sheet import formats, tables
from label_studio_stencil.sheet.leftovers import note_formula_errors
from label_studio_stencil.sheet.model import Row, Sheet, SheetUnreadable, Table

if TYPE_CHECKING:
    import pandas as pd


class ArrowTable(Protocol):
    """A DataFrame of polars, a table of pyarrow, or any other object that can be read as Arrow."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the rows as an Arrow stream."""


Source: TypeAlias = Union[str, Path, bytes, BinaryIO, Sequence[Mapping[str, object]], "pd.DataFrame", ArrowTable]

#: Largest source, in bytes; it is held in memory.
MOST_BYTES = 500_000_000

#: Extensions of sheets; not those of texts that a cell may name as `@path`.
EXTENSIONS = frozenset(formats.FORMATS) - {"txt", "json", "excel"}


def read_sheet(
    source: Source,
    *,
    name: str = "",
    format: str = "",  # noqa: A002  # users know the word
    encoding: str = "",
    worksheet: str = "",
    asker: Asker = PERSON,
) -> Sheet:
    """Read the sheet of a source. Problems of single rows are in its `problems`.

    Args:
        source: A path or a URL, `-` for standard input, the content as bytes or a binary file, a DataFrame of pandas or polars,
            a table of pyarrow, or a sequence of dicts. Rows of the last three are numbered as if there were a
            header: the first is line 2. `book.xlsx#Projects` names a worksheet.
        name: Name in messages; empty takes the file's name.
        format: `csv`, `tsv`, `json`, `excel`, `ods` or `parquet`; empty goes by the extension, then by the
            content.
        encoding: Encoding of text, by any name that Python knows; empty detects it.
        worksheet: Worksheet of a workbook, by name; empty takes the one after `#`, or the first visible one.
        asker: Who names the source, which decides what the source and its rows may open (`label_studio_stencil.files`).

    Raises:
        SheetUnreadable: The source can't be read, or may not be opened.
    """
    where, named = split_worksheet(str(source)) if isinstance(source, str | Path) else ("", "")
    if named and worksheet and named != worksheet:
        raise SheetUnreadable(f"Two worksheets are named, {named!r} after # and {worksheet!r}.", hint="Leave one out.")
    try:
        sheet = _read(source, where, _How(name, format, encoding, worksheet or named), asker)
        return replace(sheet, rows_asker=asker.rows(where))
    except Unusable as error:
        raise SheetUnreadable(error.message, hint=error.hint) from None


class _How(NamedTuple):
    """How to read a source: its name, format or extension, encoding and worksheet."""

    name: str
    given: str
    encoding: str
    worksheet: str


def _read(source: Source, where: str, how: _How, asker: Asker) -> Sheet:
    if isinstance(source, str | Path):
        label = how.name or ("<stdin>" if where == STANDARD_INPUT else file_name(where))
        how = how._replace(given=how.given or _extension(file_name(where)))
        return _from_bytes(read(where, asker, most=MOST_BYTES), label, how, folder_of(where))
    if isinstance(source, bytes):
        return _from_bytes(source, how.name or "<bytes>", how)
    if _is_frame(source):
        return _sheet(tables.read_frame(cast("pd.DataFrame", source)), how.name or "DataFrame")
    if hasattr(source, "__arrow_c_stream__"):
        return _sheet(tables.read_arrow(source), how.name or type(source).__name__)
    if hasattr(source, "read"):
        label = how.name or _label(getattr(source, "name", ""))
        return _from_bytes(drained(cast("Readable", source), label, MOST_BYTES), label, how)
    if isinstance(source, Sequence):
        return _sheet(tables.read_records(source), how.name or "rows")
    if hasattr(source, "collect"):
        raise SheetUnreadable(f"A {type(source).__name__} holds no rows yet.", hint="Give what its collect() returns.")
    raise SheetUnreadable(
        f"A sheet can't be read from a value of type {type(source).__name__}.",
        hint="Give a path, a DataFrame, or a list of dicts, one for each row.",
    )


def split_worksheet(where: str) -> tuple[str, str]:
    """The file and worksheet of `book.xlsx#Projects`. If a file has exactly that name, there is no worksheet."""
    file, mark, worksheet = where.rpartition("#")
    if not mark or _extension(file.partition("?")[0]) not in formats.WORKBOOKS:
        return where, ""
    if "://" in where:
        return file, unquote(worksheet)
    return (where, "") if Path(where).exists() else (file, worksheet)


def _is_frame(source: object) -> bool:
    """Whether this is a data frame, without importing pandas, which most runs never need."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def _label(opened_as: object) -> str:
    return Path(opened_as).name if isinstance(opened_as, str) and opened_as else "<file>"


def _extension(label: str) -> str:
    return Path(label).suffix.lower().removeprefix(".") if label else ""


def _from_bytes(content: bytes, label: str, how: _How, folder: Path | None = None) -> Sheet:
    """The sheet in bytes; the content decides its format."""
    if not content.strip():
        raise SheetUnreadable(f"{visible(label)} is empty.")
    given = how.given or _extension(label)
    try:
        table = formats.table_of(content, label, given, encoding=how.encoding, worksheet=how.worksheet)
    except SheetUnreadable as error:
        raise SheetUnreadable(f"{visible(label)}: {error.message}", hint=error.hint) from error
    return _sheet(table, label, folder=folder, digest=hashlib.sha256(content).hexdigest())


def _sheet(table: Table, name: str, *, folder: Path | None = None, digest: str = "") -> Sheet:
    _clean_names(table)
    note_formula_errors(table)
    secret = [column for column in dict.fromkeys(table.columns) if holds_secrets(column)]
    for row in table.rows if secret else ():
        row.cells.update({column: marked(column, row.cells[column]) for column in secret if column in row.cells})
    problems = table.problems
    if not table.rows and not problems:
        problems = [Problem("empty-sheet", "the sheet has no rows.", hint="Add one below the header.")]
    return Sheet(
        name=visible(name),
        columns=table.columns,
        rows=table.rows,
        problems=problems,
        folder=folder,
        digest=digest or _digest(table),
        header_line=table.header_line,
        notes=[visible(note) for note in table.notes],
        separator=table.separator,
    )


def _clean_names(table: Table) -> None:
    """Remove invisible characters from the names of columns, in every row."""
    names = {name: without_unseen(name).strip() for name in table.columns}
    changed = {name for name, clean in names.items() if name != clean}
    if not changed:
        return
    table.columns = [names[name] for name in table.columns]
    table.rows = [
        Row(row.line, {names.get(name, name): cell for name, cell in row.cells.items()})
        if changed & row.cells.keys()
        else row
        for row in table.rows
    ]


def _digest(table: Table) -> str:
    """A hash of rows that have no bytes, over their values in order."""
    digest = hashlib.sha256(json.dumps(table.columns).encode())
    for row in table.rows:
        digest.update(f"{row.line}{json.dumps(row.cells, default=repr, sort_keys=True)}\n".encode())
    return digest.hexdigest()
