"""What people's files have in them, in each format that can have it: the same cell is judged alike, whatever it comes from."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from label_studio_stencil.problems import Problem
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.model import Sheet
from tests.sheet.writing import FORMATS, Rows, sheet_of

#: Formats with a header that stands in a row, where names may be missing, doubled or below something else.
WITH_HEADER = ("csv", "tsv", "xlsx", "ods")
#: Formats that have types.
TYPED = ("jsonl", "json", "xlsx", "ods", "parquet", "frame", "arrow", "rows")


class Kind(NamedTuple):
    """A kind of table, and what is right: the problems by code and column, or the titles and overrides of its rows."""

    name: str
    header: Sequence[str]
    rows: Rows
    problems: Sequence[tuple[str, str | None]] = ()
    titles: Sequence[str] = ()
    overrides: Sequence[dict[str, object]] = ()
    formats: Sequence[str] = tuple(FORMATS)


MISSING = ("NaN", "nan", "NaT", "<NA>", "None", "null", "NULL", "(null)", "[NULL]", r"\N", "undefined")

KINDS = [
    Kind("plain", ["title"], [["abc"], ["def"]], titles=["abc", "def"]),
    Kind("blank rows", ["title", "_n"], [["abc", "1"], [None, None], ["", " "], ["def", "2"]], titles=["abc", "def"]),
    Kind("a formula's error in a title", ["title"], [["#REF!"], ["abc"]], [("formula-error", "title")], titles=["abc"]),
    Kind(
        "formulas' errors of many languages",
        ["title", "description"],
        [
            [f"row {n}", text]
            for n, text in enumerate(["#NAME?", "#BEZUG!", "#NV", "#VALEUR!", "#¡REF!", "Err:502", "####"])
        ],
        [("formula-error", "description")] * 7,
    ),
    Kind(
        "a missing value, many times",
        ["title", "description"],
        [[f"row {n}", "NaN"] for n in range(9)],
        [("missing-value", "description")] * 9,
    ),
    *(
        Kind(f"{word} as a setting", ["title", "description"], [["abc", word]], [("missing-value", "description")])
        for word in (*MISSING, "NA")
    ),
    *(
        Kind(
            f"{word} as a number",
            ["title", "maximum_annotations"],
            [["abc", word]],
            [("missing-value", "maximum_annotations")],
        )
        for word in ("NaN", r"\N")
    ),
    *(
        Kind(f"{word} as a title", ["title", "_n"], [[word, "1"]], [("title-missing", "title")])
        for word in ("NaN", "None", "NULL", r"\N")
    ),
    Kind(
        "NA and N/A are titles",
        ["title", "_n"],
        [["NA ", "1"], ["N/A", "2"]],
        [("title-too-short", "title")],
        titles=["N/A"],
    ),
    Kind(
        "N/A is a text", ["title", "description"], [["abc", "N/A"]], titles=["abc"], overrides=[{"description": "N/A"}]
    ),
    Kind("a missing reference", ["title", "template"], [["abc", "nan"]], [("missing-value", "template")]),
    Kind("a carried cell says what it likes", ["title", "_n"], [["abc", "NaN"]], titles=["abc"]),
    Kind(
        "an unseen letter in a header",
        ["\ufefftitle", "maximum\u200b_annotations"],
        [["abc", 3]],
        titles=["abc"],
        overrides=[{"maximum_annotations": 3}],
    ),
    Kind(
        "a blank that does not break, in a header",
        ["title", "maximum\xa0annotations"],
        [["abc", 3]],
        titles=["abc"],
        overrides=[{"maximum_annotations": 3}],
    ),
    Kind("an unseen letter in a title", ["title"], [["ab\u200bc"]], [("title-unseen-letter", "title")]),
    Kind("a blank that does not break, in a title", ["title"], [["ab\xa0cd"]], [("title-unseen-letter", "title")]),
    Kind(
        "an unseen letter in a number",
        ["title", "maximum_annotations"],
        [["abc", "\u200e3\u200b"]],
        titles=["abc"],
        overrides=[{"maximum_annotations": 3}],
    ),
    Kind("a lost letter in a title", ["title"], [["M\ufffdnchen"]], [("title-control-character", "title")]),
    Kind("true as a title", ["title", "_n"], [[True, "1"]], [("title-not-text", "title")]),
    Kind(
        "true as a text", ["title", "description"], [["abc", True]], titles=["abc"], overrides=[{"description": "TRUE"}]
    ),
    Kind(
        "a whole number as a text",
        ["title", "description"],
        [["abc", 7]],
        titles=["abc"],
        overrides=[{"description": "7"}],
    ),
    Kind(
        "a whole number that is a float",
        ["title", "maximum_annotations"],
        [["abc", 3.0]],
        titles=["abc"],
        overrides=[{"maximum_annotations": 3}],
    ),
    Kind("a number as a title", ["title", "_n"], [[2026, "1"]], titles=["2026"]),
    Kind(
        "a decimal",
        ["title", "agreement_threshold"],
        [["abc", 0.8]],
        titles=["abc"],
        overrides=[{"agreement_threshold": "0.80"}],
    ),
    Kind(
        "a boolean",
        ["title", "is_draft"],
        [["abc", True], ["def", False]],
        titles=["abc", "def"],
        overrides=[{"is_draft": True}, {"is_draft": False}],
    ),
    Kind(
        "a boolean in words",
        ["title", "is_draft"],
        [["abc", "yes"], ["def", "NO"]],
        titles=["abc", "def"],
        overrides=[{"is_draft": True}, {"is_draft": False}],
    ),
    Kind(
        "a day",
        ["title", "pinned_at"],
        [["abc", "2026-11-24"]],
        titles=["abc"],
        overrides=[{"pinned_at": "2026-11-24T00:00:00Z"}],
    ),
    Kind(
        "an object",
        ["title", "overrides"],
        [["abc", {"is_draft": True}]],
        titles=["abc"],
        overrides=[{"is_draft": True}],
    ),
    Kind("typographic quotes", ["title", "overrides"], [["abc", "{“is_draft”: true}"]], [("not-json", "overrides")]),
    Kind("a Python dict", ["title", "overrides"], [["abc", "{'is_draft': True}"]], [("not-json", "overrides")]),
    Kind(
        "a column without a name",
        ["", "title"],
        [[n, f"row {n}"] for n in range(9)],
        [("extra-cell", None)],
        formats=WITH_HEADER,
    ),
    Kind(
        "a column without a name, as a key",
        ["", "title"],
        [["0", "abc"]],
        [("unknown-column", "")],
        formats=("jsonl", "json", "parquet", "frame", "arrow", "rows"),
    ),
    Kind("an index that was read back", ["Unnamed: 0", "title"], [[0, "abc"]], [("unknown-column", "Unnamed: 0")]),
    Kind(
        "a header that is there twice",
        ["title", "color", "color"],
        [["abc", "#000000", "#000000"]],
        [("duplicate-column", "color")],
        formats=(*WITH_HEADER, "frame"),
    ),
    Kind(
        "headings above the header",
        ["Projects of the third quarter", ""],
        [["title", "color"], ["abc", "#000000"]],
        [("column-missing", None)],
        formats=WITH_HEADER,
    ),
    Kind("empty columns behind", ["title", "", ""], [["abc", "", ""]], titles=["abc"], formats=WITH_HEADER),
    Kind(
        "spaces round everything",
        [" title ", " is_draft"],
        [["  abc ", " yes "]],
        titles=["abc"],
        overrides=[{"is_draft": True}],
    ),
    Kind(
        "an infinite number",
        ["title", "maximum_annotations"],
        [["abc", math.inf]],
        [("not-a-number", "maximum_annotations")],
        formats=("parquet", "frame", "arrow", "rows", "csv", "tsv"),
    ),
]
TABLE = [(kind, each) for kind in KINDS for each in kind.formats]


def judged(sheet: Sheet) -> tuple[list[Request], list[Problem]]:
    return requests_of(sheet, template="t")


@pytest.mark.parametrize(("kind", "written"), TABLE, ids=[f"{kind.name}-{written}" for kind, written in TABLE])
def test_a_cell_is_judged_alike_in_every_format(kind: Kind, written: str) -> None:
    requests, problems = judged(sheet_of(written, kind.header, kind.rows))
    assert sorted((each.code, each.column or "") for each in problems) == sorted(
        (code, column or "") for code, column in kind.problems
    )
    assert [request.title for request in requests] == list(kind.titles)
    if kind.overrides:
        assert [request.overrides for request in requests] == list(kind.overrides)


@pytest.mark.parametrize("written", FORMATS)
def test_a_row_is_numbered_as_its_format_numbers_it(written: str) -> None:
    requests, _ = judged(sheet_of(written, ["title", "_n"], [["abc", "1"], [None, None], ["def", "2"]]))
    first = {"jsonl": 1, "json": 2}.get(written, 2)
    step = {"json": 8}.get(written, 2)
    assert [request.line for request in requests] == [first, first + step]
