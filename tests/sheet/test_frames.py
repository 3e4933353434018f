"""Values that only Python, pandas and Arrow know: each is read as the same value in a CSV file is."""

import datetime as dt
import io
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.model import SheetUnreadable
from label_studio_stencil.sheet.sources import read_sheet
from tests.sheet.writing import as_csv

UNIFORM = "Uniform sampling"


def judged(source: Any) -> tuple[list[tuple[int, str, dict[str, Any]]], list[tuple[str, int | None, str | None]]]:
    requests, problems = requests_of(
        read_sheet(source, name="x.csv" if isinstance(source, bytes) else ""), template="t"
    )
    return (
        [(each.line, each.title, each.overrides) for each in requests],
        [(each.code, each.line, each.column) for each in problems],
    )


def parquet(table: Any) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


#: A field, its values in a frame, and as CSV has them.
COLUMNS: dict[str, tuple[str, Any, Sequence[str]]] = {
    "missing number": ("maximum_annotations", [1, math.nan], ["1", ""]),
    "pandas NA": ("maximum_annotations", pd.array([1, None], dtype="Int64"), ["1", ""]),
    "categories of numbers": ("maximum_annotations", pd.Categorical([1, None]), ["1", ""]),
    "32 bits": ("agreement_threshold", pd.array([0.8, None], dtype="float32"), ["0.8", ""]),
    "16 bits": ("agreement_threshold", pd.array([0.8, None], dtype="float16"), ["0.8", ""]),
    "decimals": ("agreement_threshold", [Decimal("0.80"), None], ["0.80", ""]),
    "infinities": ("agreement_threshold", [math.inf, -math.inf], ["inf", "-inf"]),
    "infinities as text": ("description", [math.inf, -math.inf], ["inf", "-inf"]),
    "booleans": ("is_draft", pd.array([True, None], dtype="boolean"), ["True", ""]),
    "categories": ("sampling", pd.Categorical([UNIFORM, None]), [UNIFORM, ""]),
    "a text that means missing": ("description", ["NaN", "None"], ["NaN", "None"]),
    "NA in a column of text": ("description", pd.array([pd.NA, "NA"], dtype="string"), ["", "NA"]),
    "errors of formulas": ("description", ["#REF!", "#N/A"], ["#REF!", "#N/A"]),
    "days": ("description", pd.to_datetime(["2026-01-02", ""]), ["2026-01-02", ""]),
    "moments": ("pinned_at", pd.to_datetime(["2026-01-02T03:04", ""]).tz_localize("UTC"), ["2026-01-02T03:04Z", ""]),
    "Python's days": ("description", [dt.date(2026, 1, 2), None], ["2026-01-02", ""]),
    "times of day": ("description", [dt.time(1, 2), None], ["01:02:00", ""]),
    "bytes": ("description", [b"abc", None], ["abc", ""]),
    "UUIDs": ("description", [UUID(int=1), None], [str(UUID(int=1)), ""]),
}


@pytest.mark.parametrize("kind", ["frame", "records", "arrow", "parquet"])
@pytest.mark.parametrize("column", COLUMNS)
def test_values_of_a_frame_are_those_of_a_csv_file(column: str, kind: str) -> None:
    field, values, written = COLUMNS[column]
    frame = pd.DataFrame({"title": ["One", "Two"], field: values})
    if kind in ("arrow", "parquet"):
        table = pa.table(frame)
        source: Any = parquet(table) if kind == "parquet" else table
    else:
        # The values themselves: `to_dict` makes floats of 64 bits of those of 32.
        source = (
            frame
            if kind == "frame"
            else [
                {"title": title, field: value} for title, value in zip(frame["title"], frame[field].array, strict=True)
            ]
        )
    assert judged(source) == judged(as_csv(["title", field], [("One", written[0]), ("Two", written[1])]))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (pd.Period("2026-01"), "2026-01"),
        (pd.Timedelta(hours=26), "1 days 02:00:00"),
        (Path("a/b.txt"), "a/b.txt"),
        (np.datetime64("2026-01-02", "ns"), "2026-01-02"),
        (np.datetime64("NaT"), ""),
        (np.timedelta64(26, "h"), "1 day, 2:00:00"),
        (np.str_("abc"), "abc"),
        (np.True_, "TRUE"),
        (np.int64(7), "7"),
        (Decimal("NaN"), ""),
        (pd.NaT, ""),
        (pd.NA, ""),
    ],
    ids=repr,
)
def test_a_value_in_a_dict_is_that_of_a_csv_file(value: object, written: str) -> None:
    assert judged([{"title": "One", "description": value}]) == judged(
        as_csv(["title", "description"], [("One", written)])
    )


@pytest.mark.parametrize("index", [["title"], ["title", "color"]], ids=["one", "two levels"])
def test_a_named_index_is_a_column(index: list[str]) -> None:
    frame = pd.DataFrame({"title": ["One", "Two"], "color": ["#000000"] * 2, "is_draft": [True, False]})
    assert judged(frame.set_index(index)) == judged(frame)


def test_an_index_that_is_named_like_a_column_is_none() -> None:
    frame = pd.DataFrame({"title": ["One", "Two"]})
    assert judged(frame.set_index(pd.Index([7, 8], name="title"))) == judged(frame)


def test_rows_of_nothing_are_none_and_lines_are_those_of_the_frame() -> None:
    frame = pd.DataFrame({"title": ["One", None, " ", "Two"], "is_draft": [True, None, pd.NA, False]})
    rows, problems = judged(frame)
    assert ([line for line, *_ in rows], problems) == ([2, 5], [])
    assert judged(pa.table(frame)) == (rows, problems)
    assert judged(frame.to_dict("records")) == (rows, problems)


def test_rows_that_were_chosen_from_a_frame_are_numbered_anew() -> None:
    frame = pd.DataFrame({"title": ["One", "Two", "Three"]})
    assert [line for line, *_ in judged(frame[frame.title != "Two"])[0]] == [2, 3]


class Stream:
    """What polars gives out: an Arrow stream whose texts and categories are of kinds that pyarrow itself never makes."""

    def __init__(self, **columns: Any) -> None:
        self._table = pa.table(columns)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_texts_and_categories_of_polars_are_read() -> None:
    words = pa.array(["One", "Two"]).cast(pa.string_view())
    categories = pa.DictionaryArray.from_arrays(pa.array([0, None], pa.uint32()), words)
    assert judged(Stream(title=words, description=categories)) == judged(b"title,description\nOne,One\nTwo,\n")


def test_floats_of_32_bits_in_lists_and_categories_are_read_as_they_are_written() -> None:
    floats = pa.array([0.8], pa.float32())
    coded = pa.DictionaryArray.from_arrays(pa.array([0]), floats)
    [row] = read_sheet(Stream(a=floats, b=coded, c=pa.ListArray.from_arrays([0, 1], floats))).rows
    assert row.cells == {"a": 0.8, "b": 0.8, "c": [0.8]}


@pytest.mark.parametrize("form", [pa.table, lambda frame: parquet(pa.table(frame))], ids=["arrow", "parquet"])
def test_periods_which_arrow_keeps_as_bare_numbers_are_refused(form: Any) -> None:
    frame = pd.DataFrame({"title": pd.period_range("2026-01", periods=2, freq="M")})
    with pytest.raises(SheetUnreadable, match=r"'title' holds periods of pandas. Make them text, with astype\(str\)"):
        read_sheet(form(frame))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (pd.Series(["One"]), "The Series can't be read"),
        ({"title": ["One"]}, "can't be read from a value of type dict"),
        (object(), "can't be read from a value of type object"),
    ],
    ids=["series", "dict", "object"],
)
def test_what_is_no_table_says_what_to_give(source: Any, said: str) -> None:
    with pytest.raises(SheetUnreadable, match=said):
        read_sheet(source)
