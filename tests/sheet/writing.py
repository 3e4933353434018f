"""The same table in every format that is read, as the programs write it that people have."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from label_studio_stencil.sheet.model import Sheet
from label_studio_stencil.sheet.sources import read_sheet

Rows = Sequence[Sequence[object]]

_NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text", "style")
)


def as_csv(header: Sequence[str], rows: Rows, separator: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator)
    for row in (header, *rows):
        writer.writerow([_text(cell) for cell in row])
    return out.getvalue().encode()


def _text(cell: object) -> object:
    if isinstance(cell, bool):
        return str(cell).upper()
    return json.dumps(cell) if isinstance(cell, dict) else "" if cell is None else cell


def as_records(header: Sequence[str], rows: Rows) -> list[dict[str, object]]:
    return [dict(zip(header, row, strict=True)) for row in rows]


def as_json_lines(header: Sequence[str], rows: Rows) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in as_records(header, rows)).encode()


def as_json(header: Sequence[str], rows: Rows) -> bytes:
    return json.dumps(as_records(header, rows), indent=2).encode()


def as_excel(header: Sequence[str], rows: Rows) -> bytes:
    book, content = openpyxl.Workbook(), io.BytesIO()
    for row in (header, *rows):
        book.active.append(
            [json.dumps(cell) if isinstance(cell, dict) else None if cell == "" else cell for cell in row]
        )
    book.save(content)
    return content.getvalue()


def as_opendocument(header: Sequence[str], rows: Rows) -> bytes:
    return opendocument(ods_table("Sheet1", *(ods_row(*row) for row in (header, *rows))))


def as_frame(header: Sequence[str], rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(header))


def as_arrow(header: Sequence[str], rows: Rows) -> Any:
    return pa.Table.from_pydict({name: [row[place] for row in rows] for place, name in enumerate(header)})


def as_parquet(header: Sequence[str], rows: Rows) -> bytes:
    content = io.BytesIO()
    pq.write_table(as_arrow(header, rows), content)
    return content.getvalue()


#: Every format that is read, by the extension or the kind of object.
FORMATS: dict[str, Callable[[Sequence[str], Rows], Any]] = {
    "csv": as_csv,
    "tsv": lambda header, rows: as_csv(header, rows, "\t"),
    "jsonl": as_json_lines,
    "json": as_json,
    "xlsx": as_excel,
    "ods": as_opendocument,
    "parquet": as_parquet,
    "frame": as_frame,
    "arrow": as_arrow,
    "rows": as_records,
}


def sheet_of(kind: str, header: Sequence[str], rows: Rows) -> Sheet:
    """The sheet that a table is when it is written in a format and read again."""
    source = FORMATS[kind](header, rows)
    return read_sheet(source, name=f"x.{kind}" if isinstance(source, bytes) else "")


# OpenDocument, which no package of the tests writes.


def ods_cell(value: object, attributes: str = "") -> str:
    if value is None or value == "":
        return f"<table:table-cell {attributes}/>"
    if isinstance(value, bool):
        kind = f'office:value-type="boolean" office:boolean-value="{str(value).lower()}"'
    elif isinstance(value, int | float):
        kind = f'office:value-type="float" office:value="{value}"'
    else:
        kind = 'office:value-type="string"'
    text = escape(json.dumps(value) if isinstance(value, dict) else str(value))
    return f"<table:table-cell {kind} {attributes}><text:p>{text}</text:p></table:table-cell>"


def ods_row(*cells: object, attributes: str = "") -> str:
    """A row of values, or of cells that are XML already."""
    made = (cell if isinstance(cell, str) and cell.startswith("<table:") else ods_cell(cell) for cell in cells)
    return f"<table:table-row {attributes}>{''.join(made)}</table:table-row>"


def ods_table(name: str, *rows: str, hidden: bool = False, columns: str = "") -> str:
    style = 'table:style-name="hidden"' if hidden else ""
    return f'<table:table table:name="{name}" {style}>{columns}{"".join(rows)}</table:table>'


def opendocument(*tables: str) -> bytes:
    content = io.BytesIO()
    style = '<style:table-properties table:display="false"/>'
    style = f'<style:style style:name="hidden" style:family="table">{style}</style:style>'
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f'<?xml version="1.0"?><office:document-content {_NAMES}>'
            f"<office:automatic-styles>{style}</office:automatic-styles><office:body><office:spreadsheet>{''.join(tables)}</office:spreadsheet></office:body></office:document-content>",
        )
    return content.getvalue()
