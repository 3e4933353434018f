"""Recognises the format of a file and reads its rows; says what a file is that is not a sheet."""

import gzip
import io
import re
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import NoReturn

from label_studio_stencil.problems import shown
from label_studio_stencil.redaction import visible
from label_studio_stencil.sheet import encodings, excel, json_rows, opendocument, tables, text
from label_studio_stencil.sheet.model import SheetUnreadable, Table
from label_studio_stencil.sheet.workbooks import refuse_too_many_parts

#: Largest file inside of another, in bytes.
MOST_BYTES = 500_000_000

FORMATS = {
    "csv": "csv",
    "txt": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "jsonl": "json",
    "ndjson": "json",
    "json": "json",
    "xlsx": "excel",
    "xlsm": "excel",
    "excel": "excel",
    "ods": "ods",
    "parquet": "parquet",
    "pq": "parquet",
}
#: Extensions of workbooks, which a worksheet may follow after `#`.
WORKBOOKS = ("xlsx", "xlsm", "ods")

#: Other files: their first bytes, their name, and what to do.
_OTHERS = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old .xls file, or one with a password: save it as .xlsx, without one"),
    (b"%PDF", "a PDF: save the sheet as .xlsx or CSV"),
    (b"{\\rtf", "a text document (RTF): save the sheet as .xlsx or CSV"),
    (b"SQLite format 3\0", "a SQLite database: export the table as CSV"),
    (b"ARROW1", "an Arrow or Feather file: save it as Parquet"),
    (b"\xff\xff\xff\xff", "an Arrow stream: save it as Parquet"),
    (b"ORC", "an ORC file: save it as Parquet"),
    (b"Obj\x01", "an Avro file: save it as Parquet"),
    (b"\x89HDF", "an HDF5 file: save the table as Parquet"),
    (b"\x80\x04", "a Python pickle, which can run programs: save the table as Parquet"),
    (b"\x80\x05", "a Python pickle, which can run programs: save the table as Parquet"),
    (b"\x89PNG", "a picture: export the sheet itself"),
    (b"\xff\xd8\xff", "a picture: export the sheet itself"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"BZh", "compressed (bzip2): unpack it first"),
    (b"\xfd7zXZ\0", "compressed (xz): unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd): unpack it first"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS, not the file: `git lfs pull` fetches it"),
)
_WEB_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|script|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
_ERROR_DOCUMENT = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<Error>.{0,200}?<Code>(?P<code>[^<]{1,80})</Code>", re.DOTALL)
_EXCEL_XML = re.compile(r"\s*<\?xml[^>]*>\s*(?:<\?mso-application[^>]*>\s*)?<(?:\w+:)?Workbook\b")
_XML = re.compile(r"\s*<\?xml\b|\s*<[A-Za-z][\w:.-]*(?:\s[^<>]*)?>\s*<")
_MARKDOWN = re.compile(r"\s*\|?[^\n|]+\|[^\n]*\n\s*\|?\s*:?-{3,}:?\s*\|[\s|:-]*(?:\n|$)")


def table_of(content: bytes, label: str, given: str, *, encoding: str = "", worksheet: str = "") -> Table:
    """The rows of a file.

    Args:
        content: The whole file.
        label: Its name; a packed file gets its name from it.
        given: A format or an extension; the content wins over it.
        encoding: Encoding of a text; empty detects it.
        worksheet: Worksheet of a workbook; empty takes the first visible one.

    Raises:
        SheetUnreadable: It can't be read; the message says what the file is, if that is known.
    """
    given = given.lower()
    kind = FORMATS.get(given, "")
    if content.startswith(b"\x1f\x8b"):
        content, inner = _gunzipped(content), PurePosixPath(label.removesuffix(".gz"))
        return table_of(content, str(inner), _suffix(str(inner)) or given, encoding=encoding, worksheet=worksheet)
    if content.startswith(b"PK\x03\x04"):
        refuse_too_many_parts(content)
        kind = _kind_of_zip(content, kind)
        if not kind:
            name, content = _only_sheet(content)
            table = table_of(content, name, _suffix(name), encoding=encoding, worksheet=worksheet)
            table.notes.append(f"The sheet is {visible(shown(name))!r} of the zip archive.")
            return table
    elif content.startswith(b"PAR1"):
        kind = "parquet"
    for start, words in _OTHERS:
        if content.startswith(start):
            what, _, advice = words.partition(": ")
            raise SheetUnreadable(f"This is {what}.", hint=f"{advice[:1].upper()}{advice[1:]}." if advice else "")
    if kind in ("excel", "ods"):
        read = excel.read_excel if kind == "excel" else opendocument.read_opendocument
        return read(content, worksheet)
    if worksheet.strip():
        raise SheetUnreadable(
            f"The worksheet {shown(worksheet)!r} is named, but this is not a workbook.", hint="Leave it out."
        )
    return tables.read_parquet(content) if kind == "parquet" else _text_table(content, kind, encoding)


def _text_table(content: bytes, kind: str, encoding: str) -> Table:
    decoded, notes = encodings.decoded(content, encoding)
    start = decoded.lstrip()[:1]
    if kind == "json" or (not kind and start == "{") or start == "[":
        table = json_rows.read_json(decoded)
    else:
        _refuse_markup(decoded[:10_000])
        table = text.read_separated(decoded, "\t" if kind == "tsv" else "")
    table.notes += notes
    return table


def _refuse_markup(start: str) -> None:
    if _WEB_PAGE.match(start):
        raise SheetUnreadable(
            "This is a web page, not a sheet.",
            hint="Does its address ask for a sign-in? Give the address of the file itself (of Google Sheets the one that ends "
            "in /export?format=csv), or download it. Save a table of a page as .xlsx or CSV.",
        )
    if found := _ERROR_DOCUMENT.match(start):
        raise SheetUnreadable(
            f"This is an error of the storage, not a sheet: {shown(found['code'])}.", hint="Check the address."
        )
    if _EXCEL_XML.match(start):
        raise SheetUnreadable("This is a workbook in Excel's old XML format.", hint="Save it as .xlsx.")
    if _XML.match(start):
        raise SheetUnreadable("This is XML, not a sheet.", hint="Save the table as .xlsx or CSV.")
    if _MARKDOWN.match(start):
        raise SheetUnreadable("This is a Markdown table.", hint="Save it as CSV.")


def _gunzipped(content: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SheetUnreadable(f"This is compressed (gzip), and damaged: {shown(error)}.") from None
    _refuse_large(unpacked)
    if unpacked.startswith(b"\x1f\x8b"):
        raise SheetUnreadable("This is compressed (gzip) twice.", hint="Unpack it first.")
    if not unpacked.strip():
        raise SheetUnreadable("The compressed file is empty.")
    return unpacked


def _kind_of_zip(content: bytes, kind: str) -> str:
    """The kind of the zip: `excel`, `ods`, or empty for an archive of files."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            mimetype = archive.read("mimetype")[:100] if "mimetype" in names else b""
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError, NotImplementedError):
        # The reader of the workbook reports what is wrong with it.
        return kind if kind in ("excel", "ods") else "excel"
    if mimetype.startswith(opendocument.MIMETYPE):
        return "ods"
    if mimetype.startswith(b"application/vnd.oasis.opendocument."):
        raise SheetUnreadable(
            "This is an OpenDocument file, but no spreadsheet.", hint="Save the table as .ods, .xlsx or CSV."
        )
    folders = {name.partition("/")[0] for name in names}
    if "xl/workbook.bin" in names:
        raise SheetUnreadable("This is a binary workbook (.xlsb).", hint="Save it as .xlsx.")
    if "word" in folders:
        raise SheetUnreadable("This is a Word document.", hint="Save its table as .xlsx or CSV.")
    if "ppt" in folders:
        raise SheetUnreadable("This is a PowerPoint document.", hint="Save its table as .xlsx or CSV.")
    if any(name.endswith(".iwa") for name in names) or "Index.zip" in names:
        raise SheetUnreadable("This is a Numbers document.", hint="Export it as Excel (.xlsx) or CSV.")
    return "excel" if "xl" in folders or kind == "excel" else kind if kind == "ods" else ""


def _only_sheet(content: bytes) -> tuple[str, bytes]:
    """Name and content of the only sheet in a zip of files."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sheets = [
                entry
                for entry in archive.infolist()
                if _suffix(entry.filename) in FORMATS and not entry.is_dir() and not _is_clutter(entry.filename)
            ]
            if len(sheets) != 1:
                _refuse_count([entry.filename for entry in sheets])
            with archive.open(sheets[0]) as file:
                unpacked = file.read(MOST_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError, NotImplementedError) as error:
        raise SheetUnreadable(f"The zip archive has a password or is damaged: {shown(error)}.") from None
    _refuse_large(unpacked)
    if not unpacked.strip():
        raise SheetUnreadable(f"{visible(shown(sheets[0].filename))} in the zip archive is empty.")
    return sheets[0].filename, unpacked


def _refuse_count(names: list[str]) -> NoReturn:
    if not names:
        raise SheetUnreadable(
            "This is a zip archive without a sheet: a CSV, JSON, Excel, OpenDocument or Parquet file."
        )
    told = ", ".join(visible(shown(name)) for name in names[:5]) + (", ..." if len(names) > 5 else "")
    raise SheetUnreadable(
        f"This is a zip archive of {len(names)} sheets ({told}).", hint="Unpack it, and give one of them."
    )


def _is_clutter(name: str) -> bool:
    """Whether a file was added by the archiver of macOS."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")


def _refuse_large(unpacked: bytes) -> None:
    if len(unpacked) > MOST_BYTES:
        raise SheetUnreadable(
            f"It unpacks to more than {MOST_BYTES // 1000000} MB, and Stencil reads at most that.", hint="Split it."
        )


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower().removeprefix(".")
