"""Any source of a sheet, opened: a path, a URL, standard input, bytes, a data frame or a list of dicts."""

import hashlib
import io
import json
import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias, Union, cast
from urllib.parse import SplitResult, unquote, urlsplit

from stencil.problems import Problem
from stencil.sheet import excel, json_lines, tables, text
from stencil.sheet.legible import visible
from stencil.sheet.model import Sheet, SheetUnreadable, Table

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = Union[str, Path, bytes, BinaryIO, Sequence[Mapping[str, object]], "pd.DataFrame"]

#: Largest source, in bytes; it is held in memory.
MOST_BYTES = 500_000_000
#: How much of it is asked for at once.
_PIECE = 1 << 24

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
        return _from_bytes(_drained(cast("_Readable", source), label), label, format or _extension(label), None)
    if isinstance(source, Sequence):
        return _sheet(tables.read_records(source), name or "rows")
    raise SheetUnreadable(f"A {type(source).__name__} is no source of a sheet.")


def content_of(where: str, *, most: int = MOST_BYTES) -> bytes:
    """What is at a path or URL.

    Raises:
        SheetUnreadable: It can't be read, or has more than `most` bytes.
    """
    content, _ = _opened(where)
    if len(content) > most:
        raise SheetUnreadable(f"{file_name(where)} has more than {most // 1_000_000} MB")
    return content


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
            path = unquote(_parts(where).path)
            if not path:
                raise SheetUnreadable(f"{visible(where)} names no file: write file:///folder/sheet.csv.")
            return _file(Path(path))
        return _fetched(where), None
    return _file(Path(where))


def _file(path: Path) -> tuple[bytes, Path]:
    label = visible(str(path))
    try:
        with _opened_file(path, label) as file:
            return _drained(file, label), path.resolve().parent
    except FileNotFoundError:
        raise SheetUnreadable(f"{label}: there is no such file (looked in {Path.cwd()}).") from None
    except IsADirectoryError:
        raise SheetUnreadable(f"{label} is a folder, not a sheet.") from None
    except (OSError, ValueError, RuntimeError) as error:
        # No access, a NUL in the name, a ring of links.
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise SheetUnreadable(f"{label}: can't be read: {reason}.") from error


def _opened_file(path: Path, label: str) -> BinaryIO:
    found = path.stat()
    if stat.S_ISFIFO(found.st_mode):
        # Opened without waiting: one that nobody writes to is empty, where it would be waited for without end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise SheetUnreadable(f"{label} is a device, not a sheet; for standard input write -.")
    if found.st_size > MOST_BYTES:
        raise SheetUnreadable(_too_large(label, found.st_size))
    return path.open("rb")


def _fetched(url: str) -> bytes:
    # Half of the time that `import stencil` may take, and most sheets are local files.
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            return _drained(file, _safe(url))
    except SheetUnreadable:
        raise
    except ImportError as error:
        raise SheetUnreadable(f"{_safe(url)}: its protocol needs a package: {error}.") from None
    except Exception as error:  # noqa: BLE001  # each file system has exceptions of its own
        # Their texts may repeat the URL with its credentials, so the exception is not chained either.
        words = " ".join(_without_secrets(str(error), url).split())
        reason = f"{type(error).__name__}: {words}"
        raise SheetUnreadable(f"{_safe(url)}: can't be read ({reason}).") from None


def _safe(url: str) -> str:
    """The URL without what may be a secret: user and password, and the query, where signatures are."""
    return visible(re.sub(r"//[^/@?#]*@", "//", url).partition("?")[0])


def _parts(url: str) -> SplitResult:
    """The parts of a URL; all are empty where it is malformed."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _without_secrets(message: str, url: str) -> str:
    parts = _parts(url)
    if not parts.scheme:
        return "the URL is malformed"
    user, at, _ = parts.netloc.rpartition("@")
    for secret in (f"{user}{at}", parts.query):
        if secret:
            message = message.replace(secret, "***")
    return message


def _too_large(label: str, size: int) -> str:
    return f"{label} has {size // 1_000_000} MB; at most {MOST_BYTES // 1_000_000} MB are read: split it."


class _Readable(Protocol):
    """A file that is open, for bytes where it is the right one."""

    def read(self, size: int, /) -> bytes | str:
        """At most so many bytes or characters; nothing at the end."""


def _drained(file: _Readable, label: str) -> bytes:
    """All that a file has; it may have no end, and give less at once than it is asked for."""
    content = io.BytesIO()
    while piece := file.read(_PIECE):
        if not isinstance(piece, bytes):
            raise SheetUnreadable(f"{label} is open for text: open it with 'rb', so that its encoding can be seen.")
        content.write(piece)
        if content.tell() > MOST_BYTES:
            raise SheetUnreadable(
                f"{label} has more than {MOST_BYTES // 1_000_000} MB; at most those are read: split it."
            )
    return content.getvalue()


def file_name(where: str) -> str:
    """The name of the file that a path or URL names, without a URL's query."""
    return visible(Path(_parts(where).path if "://" in where else where).name or _safe(where))


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
