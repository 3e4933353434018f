"""The shapes that public sheets have, generated: each program's dialect of the same three projects is read as the same three.

A shape is what programs choose differently: encoding, separator, line ends, quotes, header, what stands before and behind.
"""

import csv
import io
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.sources import read_sheet

HEADER = ["title", "workspace", "maximum_annotations", "is_draft", "description", "_ticket"]
ROWS = [
    ["Prüfung Österreich", "7", "3", "TRUE", "line one\nline two", "OPS-1"],
    ["Reviews, January; all", "Customer Feedback", "", "no", 'says "hello"', ""],
    ["2026", "12", "1", "", "=1+1 is two", "-5"],
]


class Shape(NamedTuple):
    """How a program writes a sheet."""

    encoding: str = "utf-8"
    separator: str = ","
    ending: str = "\r\n"
    quoting: int = csv.QUOTE_MINIMAL
    header: str = "as it is"
    before: str = ""
    behind: str = ""
    name: str = "x.csv"

    def __str__(self) -> str:
        """What differs from the plainest shape."""
        return (
            "-".join(ascii(value)[:14] for value, plain in zip(self, Shape(), strict=True) if value != plain) or "plain"
        )


HEADERS: dict[str, Callable[[str], str]] = {
    "as it is": lambda name: name,
    "capitals": lambda name: name if name.startswith("_") else name.upper(),
    "words": lambda name: name if name.startswith("_") else name.replace("_", " ").title(),
    "hyphens": lambda name: name if name.startswith("_") else name.replace("_", "-"),
    "blanks": lambda name: f" {name} ",
    "unseen": lambda name: f"\u200b{name}\xa0",
}


def shapes() -> Iterator[Shape]:
    """Every pair of choices that programs are known to make."""
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1")
    yield from (Shape(encoding, separator) for encoding, separator in itertools.product(encodings, ",;\t|"))
    # Excel writes `sep=`, and its "Unicode text" is UTF-16 with tabs and the extension of a text.
    yield from (
        Shape(separator=separator, before=before)
        for separator in ",;\t|^"
        for before in (
            f"sep={separator}\r\n",
            f'"sep={separator}"\r\n',
            f"SEP = {separator}\r\n",
            f"\ufeffsep={separator}\r\n",
        )
    )
    yield from (Shape("utf-16", "\t", name=f"x.{extension}") for extension in ("txt", "tsv", "tab", "csv", ""))
    endings = ("\n", "\r\n", "\r")
    quotings = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)
    yield from (
        Shape(separator=separator, ending=ending, quoting=quoting)
        for separator, ending, quoting in itertools.product(",;\t|", endings, quotings)
        if ending != "\r" or quoting == csv.QUOTE_ALL
    )
    yield from (
        Shape(encoding, separator, header=header)
        for encoding, separator, header in itertools.product(("utf-8", "utf-8-sig", "utf-16"), ",;\t", HEADERS)
    )
    # Blank lines before and behind, rows of separators, empty columns, no last line end, a DOS end of file.
    before = ("\n", "\r\n\r\n", ",,,,,\r\n", "  \r\n")
    behind = ("\r\n\r\n", ",,,,,\r\n,,,,,\r\n", " , , , , , \r\n", "no end", ",,,,,,,,\r\n" * 50)
    yield from (Shape(before=one, behind=other) for one, other in itertools.product(("", *before), behind))
    yield from (
        Shape(encoding, separator, header=header, behind="empty columns")
        for encoding, separator, header in itertools.product(
            ("utf-8", "utf-8-sig", "cp1252"), ",;\t", ("as it is", "words")
        )
    )
    yield from (
        Shape(encoding, separator, ending="\n", quoting=csv.QUOTE_ALL, name=name)
        for encoding, separator, name in itertools.product(
            ("utf-8", "utf-8-sig"), ",;\t|", ("export.csv", "export.txt", "export", "results (1).CSV", "x.xls")
        )
    )


SHAPES = list(dict.fromkeys(shapes()))


def written(shape: Shape) -> bytes:
    out = io.StringIO(newline="")
    out.write(shape.before)
    writer = csv.writer(out, delimiter=shape.separator, lineterminator=shape.ending, quoting=shape.quoting)  # type: ignore[arg-type]
    more = ["", ""] if shape.behind == "empty columns" else []
    unseen = shape.header == "unseen" and shape.encoding in ("cp1252", "latin-1")
    rename = HEADERS["as it is" if unseen else shape.header]
    for row in ([rename(name) for name in HEADER], *ROWS):
        writer.writerow([*row, *more])
    text = out.getvalue()
    if shape.behind == "no end":
        text = text.removesuffix(shape.ending)
    elif not more:
        text += shape.behind
    return text.encode(shape.encoding)


def test_there_are_two_hundred_shapes() -> None:
    assert len(SHAPES) >= 200


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_projects_are_read_of_every_shape(shape: Shape) -> None:
    sheet = read_sheet(written(shape), name=shape.name)
    requests, problems = requests_of(sheet, template="t")
    assert problems == []
    assert [(each.title, each.workspace, dict(each.overrides)) for each in requests] == [
        ("Prüfung Österreich", "7", {"maximum_annotations": 3, "is_draft": True, "description": "line one\nline two"}),
        ("Reviews, January; all", "Customer Feedback", {"is_draft": False, "description": 'says "hello"'}),
        ("2026", "12", {"maximum_annotations": 1, "description": "=1+1 is two"}),
    ]
    assert [each.cells["_ticket"] for each in requests] == ["OPS-1", "", "-5"]
    assert bool(sheet.notes) == (shape.encoding in ("cp1252", "latin-1"))
