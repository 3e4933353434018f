"""Any source of a sheet, opened: a path, a URL, standard input, bytes, a data frame or a list of dicts."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, Union, cast

from stencil.files import PERSON, STANDARD_INPUT, Asker, Readable, Unusable, drained, file_name, folder_of, read
from stencil.problems import Problem
from stencil.redaction import holds_secrets, marked, visible
from stencil.sheet import excel, json_lines, tables, text
from stencil.sheet.model import Sheet, SheetUnreadable, Table

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = Union[str, Path, bytes, BinaryIO, Sequence[Mapping[str, object]], "pd.DataFrame"]

#: Largest source, in bytes; it is held in memory.
MOST_BYTES = 500_000_000

_FORMATS = {
    "csv": "csv",
    "txt": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
    "xlsx": "excel",
    "xlsm": "excel",
    "excel": "excel",
    "parquet": "parquet",
    "pq": "parquet",
}
#: Extensions of files that are sheets, whatever else lies beside them: not those of a text that a cell may refer to as `@path`.
EXTENSIONS = frozenset(_FORMATS) - {"txt", "json", "excel"}
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def read_sheet(
    source: Source,
    *,
    name: str = "",
    format: str = "",  # noqa: A002  # users know the word
    asker: Asker = PERSON,
) -> Sheet:
    """The sheet that a source holds, with what was wrong with single rows in `problems`.

    Args:
        source: A path or a URL, `-` for standard input, the content as bytes or a binary
            file, a pandas DataFrame, or a sequence of dicts. The rows of the last two are numbered as if they
            stood under a header: the first is line 2.
        name: What messages call it; empty takes the file's name.
        format: `csv`, `tsv`, `jsonl`, `excel` or `parquet`; empty goes by the name's extension, then by the
            content.
        asker: Who names the source; `stencil.files` says what that one, and the rows of the sheet, may open.

    Raises:
        SheetUnreadable: The source as a whole can't be read, or may not be opened.
    """
    try:
        sheet = _read(source, name, format, asker)
        where = str(source) if isinstance(source, str | Path) else ""
        return replace(sheet, rows_asker=asker.rows(where))
    except Unusable as error:
        raise SheetUnreadable(str(error)) from None


def _read(source: Source, name: str, given: str, asker: Asker) -> Sheet:
    if isinstance(source, str | Path):
        where = str(source)
        label = name or ("<stdin>" if where == STANDARD_INPUT else file_name(where))
        content = read(where, asker, most=MOST_BYTES)
        return _from_bytes(content, label, given or _extension(file_name(where)), folder_of(where))
    if isinstance(source, bytes):
        return _from_bytes(source, name or "<bytes>", given or _extension(name), None)
    if _is_frame(source):
        return _sheet(tables.read_frame(cast("pd.DataFrame", source)), name or "DataFrame")
    if hasattr(source, "read"):
        label = name or _label(getattr(source, "name", ""))
        content = drained(cast("Readable", source), label, MOST_BYTES)
        return _from_bytes(content, label, given or _extension(label), None)
    if isinstance(source, Sequence):
        return _sheet(tables.read_records(source), name or "rows")
    raise SheetUnreadable(f"A {type(source).__name__} is no source of a sheet.")


def _is_frame(source: object) -> bool:
    """Whether this is a data frame; asked without importing pandas, which most runs never need."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def _label(opened_as: object) -> str:
    return Path(opened_as).name if isinstance(opened_as, str) and opened_as else "<file>"


def _extension(label: str) -> str:
    return Path(label).suffix.lower().removeprefix(".") if label else ""


def _from_bytes(content: bytes, label: str, given: str, folder: Path | None) -> Sheet:
    """The sheet in these bytes; `given` names a format or an extension, and content that is another wins."""
    if not content.strip():
        raise SheetUnreadable(f"{visible(label)} is empty.")
    try:
        table = _table(content, given.lower())
    except SheetUnreadable as error:
        raise SheetUnreadable(f"{visible(label)}: {error}") from error
    return _sheet(table, label, folder=folder, digest=hashlib.sha256(content).hexdigest())


def _table(content: bytes, given: str) -> Table:
    kind = _recognised(content, _FORMATS.get(given, ""))
    if kind == "excel":
        return excel.read_excel(content)
    if kind == "parquet":
        return tables.read_parquet(content)
    decoded = text.decoded(content)
    start = decoded.lstrip()[:1]
    if kind == "jsonl" or (not kind and start == "{"):
        if start == "[":
            raise SheetUnreadable("This is a JSON array; write JSON lines, one object a line.")
        return json_lines.read_json_lines(decoded)
    return text.read_separated(decoded, "\t" if kind == "tsv" else "")


def _recognised(content: bytes, kind: str) -> str:
    """The kind of file, as its first bytes say; empty for text whose name says nothing."""
    if content.startswith(b"PAR1"):
        return "parquet"
    if content.startswith(b"PK\x03\x04"):
        return "excel"
    if content.startswith(_OLD_OFFICE):
        raise SheetUnreadable("This is an old .xls file, or one with a password: save it as .xlsx, without one.")
    if content.startswith(b"\x1f\x8b"):
        raise SheetUnreadable("This is compressed (gzip): unpack it first.")
    return kind


def _sheet(table: Table, name: str, *, folder: Path | None = None, digest: str = "") -> Sheet:
    secret = [column for column in dict.fromkeys(table.columns) if holds_secrets(column)]
    for row in table.rows if secret else ():
        row.cells.update({column: marked(column, row.cells[column]) for column in secret if column in row.cells})
    problems = table.problems
    if not table.rows and not problems:
        problems = [Problem("empty-sheet", "the sheet has no row: add one below the header.")]
    return Sheet(
        name=visible(name),
        columns=table.columns,
        rows=table.rows,
        problems=problems,
        folder=folder,
        digest=digest or _digest(table),
        header_line=table.header_line,
    )


def _digest(table: Table) -> str:
    """A hash of rows that never were bytes: of what they hold, in order."""
    digest = hashlib.sha256(json.dumps(table.columns).encode())
    for row in table.rows:
        digest.update(f"{row.line}{json.dumps(row.cells, default=repr, sort_keys=True)}\n".encode())
    return digest.hexdigest()
