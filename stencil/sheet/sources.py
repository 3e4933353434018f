"""Any source of a sheet, opened: a path, a URL, standard input, bytes, a data frame or a list of dicts."""

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, Union, cast
from urllib.parse import unquote, urlsplit

from stencil.problems import Problem
from stencil.sheet import tables, text
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


def read_sheet(source: Source, *, name: str = "", format: str = "") -> Sheet:  # noqa: A002  # users know the word
    """The sheet that a source holds, with what was wrong with single rows in `problems`.

    Args:
        source: A path or a URL that fsspec opens, `-` for standard input, the content as bytes or a binary
            file, a pandas DataFrame, or a sequence of dicts. The rows of the last two are numbered as if they
            stood under a header: the first is line 2.
        name: What messages call it; empty takes the file's name.
        format: `csv`, `tsv`, `jsonl`, `excel` or `parquet`; empty goes by the name's extension, then by the
            content.

    Raises:
        SheetUnreadable: The source as a whole can't be read.
    """
    if isinstance(source, str | Path):
        where = str(source)
        content, folder = _opened(where)
        label = name or ("<stdin>" if where == "-" else file_name(where))
        return _from_bytes(content, label, format or _extension(file_name(where)), folder)
    if isinstance(source, bytes):
        return _from_bytes(source, name or "<bytes>", format or _extension(name), None)
    if _is_frame(source):
        return _sheet(tables.read_frame(cast("pd.DataFrame", source)), name or "DataFrame")
    if hasattr(source, "read"):
        label = name or _label(getattr(source, "name", ""))
        return _from_bytes(_drained(source, label), label, format or _extension(label), None)
    if isinstance(source, Sequence):
        return _sheet(tables.read_records(source), name or "rows")
    raise SheetUnreadable(f"A {type(source).__name__} is no source of a sheet.")


def _is_frame(source: object) -> bool:
    """Whether this is a data frame; asked without importing pandas, which most runs never need."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def _opened(where: str) -> tuple[bytes, Path | None]:
    """The content, and the folder that the sheet's cells may refer to."""
    if where == "-":
        return _drained(sys.stdin.buffer, "<stdin>"), None
    if "://" in where:
        if where.startswith("file://"):
            return _file(Path(unquote(urlsplit(where).path)))
        return _fetched(where), None
    return _file(Path(where))


def _file(path: Path) -> tuple[bytes, Path]:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise SheetUnreadable(_too_large(str(path), size))
        return path.read_bytes(), path.resolve().parent
    except FileNotFoundError:
        raise SheetUnreadable(f"{path}: there is no such file (looked in {Path.cwd()}).") from None
    except IsADirectoryError:
        raise SheetUnreadable(f"{path} is a folder, not a sheet.") from None
    except (OSError, ValueError) as error:
        raise SheetUnreadable(f"{path}: can't be read: {error}.") from error


def _fetched(url: str) -> bytes:
    # Half of the time that `import stencil` may take, and most sheets are local files.
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            content: bytes = file.read(MOST_BYTES + 1)
    except ImportError as error:
        raise SheetUnreadable(f"{_safe(url)}: its protocol needs a package: {error}.") from None
    except Exception as error:  # noqa: BLE001  # each file system has exceptions of its own
        # Their texts may repeat the URL with its credentials, so the exception is not chained either.
        words = " ".join(_without_secrets(str(error), url).split())
        reason = f"{type(error).__name__}: {words}"
        raise SheetUnreadable(f"{_safe(url)}: can't be read ({reason}).") from None
    if len(content) > MOST_BYTES:
        raise SheetUnreadable(_too_large(_safe(url), len(content)))
    return content


def _safe(url: str) -> str:
    """The URL without what may be a secret: user and password, and the query, where signatures are."""
    return re.sub(r"//[^/@?#]*@", "//", url).partition("?")[0]


def _without_secrets(message: str, url: str) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    for secret in (f"{user}{at}", parts.query):
        if secret:
            message = message.replace(secret, "***")
    return message


def _too_large(label: str, size: int) -> str:
    return f"{label} has {size // 1_000_000} MB; at most {MOST_BYTES // 1_000_000} MB are read."


def _drained(file: object, label: str) -> bytes:
    content = file.read()  # type: ignore[attr-defined]
    if not isinstance(content, bytes):
        raise SheetUnreadable(f"{label} is open for text: open it with 'rb', so that its encoding can be seen.")
    if len(content) > MOST_BYTES:
        raise SheetUnreadable(_too_large(label, len(content)))
    return content


def file_name(where: str) -> str:
    """The name of the file that a path or URL names, without a URL's query."""
    return Path(urlsplit(where).path if "://" in where else where).name or where


def _label(opened_as: object) -> str:
    return Path(opened_as).name if isinstance(opened_as, str) and opened_as else "<file>"


def _extension(label: str) -> str:
    return Path(label).suffix.lower().removeprefix(".") if label else ""


def _from_bytes(content: bytes, label: str, given: str, folder: Path | None) -> Sheet:
    """The sheet in these bytes; `given` names a format or an extension, and content that is another wins."""
    if not content.strip():
        raise SheetUnreadable(f"{label} is empty.")
    try:
        table = _table(content, given.lower())
    except SheetUnreadable as error:
        raise SheetUnreadable(f"{label}: {error}") from error
    return _sheet(table, label, folder=folder, digest=hashlib.sha256(content).hexdigest())


def _table(content: bytes, given: str) -> Table:
    kind = _recognised(content, _FORMATS.get(given, ""))
    if kind == "excel":
        return tables.read_excel(content)
    if kind == "parquet":
        return tables.read_parquet(content)
    decoded = text.decoded(content)
    start = decoded.lstrip()[:1]
    if kind == "jsonl" or (not kind and start == "{"):
        if start == "[":
            raise SheetUnreadable("This is a JSON array; write JSON lines, one object a line.")
        return text.read_json_lines(decoded)
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
    problems = table.problems
    if not table.rows and not problems:
        problems = [Problem("empty-sheet", "the sheet has no row: add one below the header.")]
    return Sheet(
        name=name,
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
