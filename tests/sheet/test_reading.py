import csv
import io
import json
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet import sources as sources_module
from label_studio_stencil.sheet import text as text_module
from label_studio_stencil.sheet.formulas import unguard
from label_studio_stencil.sheet.limits import MOST_UNPACKED
from label_studio_stencil.sheet.model import Row, Sheet, SheetUnreadable
from label_studio_stencil.sheet.sources import read_sheet
from tests.sheet.writing import as_opendocument

PLAIN = "title,description\nabc,café\n"


def only_row(sheet: Sheet) -> dict[str, object]:
    assert sheet.problems == []
    [row] = sheet.rows
    return row.cells


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_the_encodings_that_spreadsheets_write_are_read(encoding: str) -> None:
    assert only_row(read_sheet(PLAIN.encode(encoding))) == {"title": "abc", "description": "café"}


def test_a_big_endian_mark_is_read() -> None:
    content = b"\xfe\xff" + PLAIN.encode("utf-16-be")
    assert only_row(read_sheet(content))["description"] == "café"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
def test_the_separator_is_found_in_the_header(separator: str) -> None:
    content = f'title{separator}"a,b;c|d\te ""x"""{separator}_y\nabc{separator}1{separator}2\n'.encode()
    assert only_row(read_sheet(content)) == {"title": "abc", 'a,b;c|d\te "x"': "1", "_y": "2"}


@pytest.mark.parametrize("name", ["x.tsv", "x.TAB"])
def test_the_extension_of_tab_separated_values_wins_over_the_header(name: str) -> None:
    assert only_row(read_sheet(b"title\t_a,b,c,d\nabc\t1\n", name=name)) == {"title": "abc", "_a,b,c,d": "1"}


def test_the_separator_line_of_excel_is_no_header() -> None:
    sheet = read_sheet(b"sep=;\r\ntitle;_a,b,c\r\nabc;1\r\n")
    assert sheet.rows == [Row(3, {"title": "abc", "_a,b,c": "1"})]
    assert sheet.header_line == 2


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_lines_are_counted_where_records_start(ending: str) -> None:
    lines = ["", "title,_n", '"a', 'b",1', "", ",", "def,2", "", ""]
    sheet = read_sheet(ending.join(lines).encode())
    assert [(row.line, row.cells["title"]) for row in sheet.rows] == [(3, f"a{ending}b"), (7, "def")]
    assert sheet.problems == []


def test_separators_of_other_kinds_end_no_line() -> None:
    sheet = read_sheet("title\na\u2028b\x0bc\x85d\nnext\n".encode())
    assert [row.line for row in sheet.rows] == [2, 3]


def test_a_missing_last_line_end_and_short_rows_are_read() -> None:
    assert only_row(read_sheet(b"title,_a,_b\nabc,1")) == {"title": "abc", "_a": "1", "_b": ""}


def test_blank_cells_beyond_the_header_lose_nothing() -> None:
    assert only_row(read_sheet(b"title,,\nabc,,,,\n")) == {"title": "abc"}


def test_the_guard_against_formulas_is_taken_off() -> None:
    assert only_row(read_sheet(b"title,'=_x\n'=1+1,'tis\n")) == {"title": "=1+1", "=_x": "'tis"}


def test_a_cell_of_a_megabyte_is_ordinary() -> None:
    config = "x" * 1_000_000
    assert only_row(read_sheet(f"title,_n\nabc,{config}\n".encode()))["_n"] == config


def test_reading_goes_on_after_a_broken_quote() -> None:
    sheet = read_sheet(b'title,_n\nabc,"x\ndef,2\n"ghi"z,3\njkl,4\n')
    assert [(row.line, row.cells.get("title")) for row in sheet.rows] == [(2, None), (3, "def"), (4, None), (5, "jkl")]
    assert [(each.code, each.line) for each in sheet.problems] == [("unclosed-quote", 2), ("bad-quote", 4)]


def test_an_unclosed_quote_names_the_line_on_which_it_opens() -> None:
    sheet = read_sheet(b'title,_a,_b\nabc,"one\ntwo","three\nfour\n')
    assert sheet.problems[0].line == 2
    assert "opens on line 3" in sheet.problems[0].message
    assert [row.line for row in sheet.rows] == [2, 4]


def test_a_file_full_of_broken_quotes_is_given_up_at_some_point() -> None:
    sheet = read_sheet(b"title\n" + b'"x\n' * 3000)
    assert len(sheet.problems) == text_module.MOST_BROKEN_QUOTES
    assert "were not read" in sheet.problems[-1].message


def test_a_broken_quote_in_the_header_is_the_only_problem() -> None:
    sheet = read_sheet(b'title,"x\nabc,1\n')
    assert [each.code for each in requests_of(sheet)[1]] == ["unclosed-quote"]


def test_json_lines_keep_types_and_lines_and_go_on_after_bad_ones() -> None:
    lines = ['{"title": "abc", "overrides": {"is_draft": true}}', "", "nope", "[1]", '{"title": 7, "_n": null}']
    sheet = read_sheet("\n".join(lines).encode())
    assert sheet.columns == ["title", "overrides", "_n"]
    assert [row.line for row in sheet.rows] == [1, 3, 4, 5]
    assert sheet.rows[0].cells == {"title": "abc", "overrides": {"is_draft": True}}
    assert sheet.rows[3].cells == {"title": 7, "_n": None}
    assert [(each.code, each.line) for each in sheet.problems] == [("not-a-row", 3), ("not-a-row", 4)]


def excel(*rows: list[object]) -> bytes:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    content = io.BytesIO()
    workbook.save(content)
    return content.getvalue()


def test_excel_cells_are_read_as_a_person_sees_them() -> None:
    moment = pd.Timestamp("2026-11-24 09:30").to_pydatetime()
    date = pd.Timestamp("2026-11-24").to_pydatetime()
    content = excel(["title", "_a", "_b", "_c", "_d", None], [3.0, True, 0.5, moment, date], [], ["abc", " ", "x"])
    sheet = read_sheet(content)
    assert sheet.columns == ["title", "_a", "_b", "_c", "_d"]
    first = {"title": 3, "_a": True, "_b": 0.5, "_c": "2026-11-24T09:30:00", "_d": "2026-11-24"}
    assert sheet.rows == [
        Row(2, first),
        Row(4, {"title": "abc", "_a": "", "_b": "x", "_c": "", "_d": ""}),
    ]


def test_excel_is_known_by_its_content() -> None:
    assert only_row(read_sheet(excel(["title"], ["abc"]), name="renamed.csv")) == {"title": "abc"}


def test_a_workbook_that_unpacks_to_gigabytes_is_refused_before_it_is_parsed() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"\0" * (MOST_UNPACKED + 1))
    assert len(content.getvalue()) < 500_000
    with pytest.raises(SheetUnreadable, match="unpacks to more than 200 MB"):
        read_sheet(content.getvalue())


@pytest.mark.parametrize(
    ("content", "given", "words"),
    [
        (b"PK\x03\x04 nonsense", "", "not an Excel workbook"),
        (b"title\nabc", "xlsx", "not an Excel workbook"),
        (b"PAR1 nonsense", "", "Parquet file can't be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "", "password"),
        (b"\x1f\x8b\x08", "csv", "compressed"),
        (b"ti\0tle\nabc", "csv", "not a text file"),
        (b"  \n \n", "", "is empty"),
        (b"", "", "is empty"),
    ],
)
def test_content_that_is_no_sheet_says_what_it_is(content: bytes, given: str, words: str) -> None:
    with pytest.raises(SheetUnreadable, match=words):
        read_sheet(content, format=given)


def test_a_damaged_workbook_is_unreadable() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/nothing.xml", "<a/>")
    with pytest.raises(SheetUnreadable, match="workbook can't be read"):
        read_sheet(content.getvalue())


@pytest.mark.parametrize(
    ("module", "content"),
    [("openpyxl", excel()), ("python_calamine", as_opendocument(["title"], [])), ("pyarrow", b"PAR1")],
    ids=["openpyxl", "python_calamine", "pyarrow"],
)
def test_a_missing_reader_is_named(module: str, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SheetUnreadable, match=f"pip install {module.replace('_', '-')}"):
        read_sheet(content)


FRAME = pd.DataFrame(
    {
        "title": ["abc", None, "def"],
        "maximum_annotations": [3, None, float("nan")],
        "overrides": [{"color": "#000000"}, None, {"is_draft": True}],
        "pinned_at": [pd.Timestamp("2026-11-24"), pd.NaT, pd.NaT],
    }
)


def test_missing_values_of_a_data_frame_are_blank_and_blank_rows_skipped() -> None:
    sheet = read_sheet(FRAME)
    assert sheet.name == "DataFrame"
    requests, problems = requests_of(sheet, template="t")
    assert problems == []
    assert [(each.line, each.overrides) for each in requests] == [
        (2, {"maximum_annotations": 3, "color": "#000000", "pinned_at": "2026-11-24T00:00:00Z"}),
        (4, {"is_draft": True}),
    ]


def test_parquet_gives_the_rows_of_the_frame_without_the_nulls_of_its_structs() -> None:
    content = io.BytesIO()
    FRAME.to_parquet(content)
    content.seek(0)
    expected, _ = requests_of(read_sheet(FRAME), template="t")
    requests, problems = requests_of(read_sheet(content, name="x.parquet"), template="t")
    assert problems == []
    assert [each.overrides for each in requests] == [each.overrides for each in expected]


def test_numpys_values_become_pythons() -> None:
    frame = pd.DataFrame({"title": ["abc"], "_n": [np.int64(3)], "_b": [np.bool_(True)]}, dtype=object)
    frame["_l"] = pd.Series([{"a": np.array([1, 2]), "b": np.float64(0.5)}], dtype=object)
    cells = only_row(read_sheet(frame))
    assert cells == {"title": "abc", "_n": 3, "_b": True, "_l": {"a": [1, 2], "b": 0.5}}
    assert json.loads(json.dumps(cells)) == cells


def test_a_list_of_dicts_counts_from_line_two() -> None:
    sheet = read_sheet([{"title": "abc"}, {"title": None}, {"title": "def", "_n": 10**9999}])
    assert sheet.columns == ["title", "_n"]
    assert [row.line for row in sheet.rows] == [2, 4]


def test_equal_content_has_an_equal_digest() -> None:
    rows = [{"title": "abc"}]
    assert read_sheet(rows).digest == read_sheet(list(rows)).digest
    assert read_sheet(rows).digest != read_sheet([{"title": "abd"}]).digest
    assert read_sheet(b"title\nabc").digest != read_sheet(b"title\nabd").digest


def test_a_path_gives_its_name_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("title\nabc\n")
    for source in (path, str(path), path.as_uri()):
        sheet = read_sheet(source)
        assert (sheet.name, sheet.folder) == ("rows.csv", tmp_path.resolve())


def test_standard_input_is_read_and_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"title\nabc\n")))
    sheet = read_sheet("-")
    assert (sheet.name, sheet.folder, len(sheet.rows)) == ("<stdin>", None, 1)


def test_a_url_is_opened_by_fsspec() -> None:
    import fsspec

    with fsspec.open("memory://folder/rows.csv", "wb") as file:
        file.write(b"title\nabc\n")
    sheet = read_sheet("memory://folder/rows.csv")
    assert (sheet.name, sheet.folder, len(sheet.rows)) == ("rows.csv", None, 1)


@pytest.mark.parametrize("url", ["memory://u:geheim@x/none.csv?sig=geheim", "nope://u:geheim@x/a.csv?s=geheim"])
def test_a_url_that_can_not_be_read_keeps_its_secrets(url: str) -> None:
    with pytest.raises(SheetUnreadable) as caught:
        read_sheet(url)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["none.csv", ".", "x\0y"], ids=["missing", "folder", "nul"])
def test_a_path_that_can_not_be_read_is_unreadable(name: str, tmp_path: Path) -> None:
    with pytest.raises(SheetUnreadable):
        read_sheet(f"{tmp_path}/{name}")


def test_a_path_through_a_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("title\nabc\n")
    with pytest.raises(SheetUnreadable, match="can't be read"):
        read_sheet(tmp_path / "rows.csv" / "more.csv")


def test_a_source_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "MOST_BYTES", 5)
    path = tmp_path / "rows.csv"
    path.write_text("title\nabc\n")
    for source in (path, io.BytesIO(b"title\nabc\n")):
        with pytest.raises(SheetUnreadable, match="at most"):
            read_sheet(source)


def test_a_file_open_for_text_says_how_to_open_it() -> None:
    with pytest.raises(SheetUnreadable, match="'rb'"):
        read_sheet(io.StringIO("title\nabc\n"))  # type: ignore[arg-type]


def test_what_is_no_source_is_unreadable() -> None:
    with pytest.raises(SheetUnreadable, match="from a value of type int"):
        read_sheet(3)  # type: ignore[arg-type]


def test_reading_text_does_not_import_pandas() -> None:
    import subprocess

    code = (
        "import sys; from label_studio_stencil.sheet.sources import read_sheet; "
        "read_sheet(b'title'); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# Letters of Windows-1252, and for the others every character but NUL and half ones.
LATIN = st.text(st.sampled_from('abc ",;\t|\n\räöüÀÿ'), max_size=8)
UNICODE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    separator=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_any_table_is_read_back_with_its_lines(data: st.DataObject, separator: str, ending: str, encoding: str) -> None:
    cell = LATIN if encoding == "cp1252" else UNICODE
    rows = data.draw(st.lists(st.tuples(cell, cell, cell), max_size=5))
    out = io.StringIO(newline="")
    # The writer leaves a carriage return unquoted where it ends lines with a line feed alone.
    writer = csv.writer(
        out,
        delimiter=separator,
        lineterminator=ending,
        quoting=csv.QUOTE_ALL if ending == "\n" else csv.QUOTE_MINIMAL,
    )
    writer.writerow(["title", "_a", "_b"])
    expected = []
    for row in rows:
        line = len(list(io.StringIO(out.getvalue(), newline=""))) + 1
        writer.writerow(row)
        if any(value.strip() for value in row):
            expected.append((line, [unguard(value) for value in row]))
    sheet = read_sheet(out.getvalue().encode(encoding), encoding=encoding)
    assert [(row.line, list(row.cells.values())) for row in sheet.rows] == expected
    assert [each.code for each in sheet.problems] == ([] if expected else ["empty-sheet"])


TABLE_LIKE = st.lists(
    st.sampled_from([b"title", b"color", b",", b";", b'"', b"\n", b"\r", b"abc", b"\0", b"\xe9", b"@x", b"{", b"'="]),
    max_size=40,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200) | TABLE_LIKE | st.binary(max_size=50).map(b"title,overrides,color\n".__add__),
    st.sampled_from(["", "csv", "tsv", "jsonl", "xlsx", "parquet"]),
)
def test_any_bytes_are_a_sheet_or_unreadable(content: bytes, given_format: str) -> None:
    try:
        sheet = read_sheet(content, format=given_format)
    except SheetUnreadable:
        return
    requests, problems = requests_of(sheet, template="t", allow_unknown_fields=True)
    bad = {problem.line for problem in problems}
    assert not bad & {request.line for request in requests}


def test_a_day_reads_the_same_in_every_kind_of_sheet(tmp_path: Path) -> None:
    """Or a sheet that is run once as Excel and once as a frame would make two sets of projects."""
    frame = pd.DataFrame({"title": [pd.Timestamp("2026-01-02")], "_at": [pd.Timestamp("2026-01-02 03:04")]})
    frame.to_excel(tmp_path / "days.xlsx", index=False)
    frame.to_parquet(tmp_path / "days.parquet")
    days = frame.assign(title=[date(2026, 1, 2)])
    days.to_parquet(tmp_path / "dates.parquet")
    for name in ("days.xlsx", "days.parquet", "dates.parquet"):
        (row,) = read_sheet(str(tmp_path / name)).rows
        assert dict(row.cells) == {"title": "2026-01-02", "_at": "2026-01-02T03:04:00"}


def test_a_workbook_whose_rows_are_on_another_worksheet_says_which_are_there(tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "two.xlsx") as workbook:
        pd.DataFrame().to_excel(workbook, sheet_name="Cover", index=False)
        pd.DataFrame({"title": ["One"]}).to_excel(workbook, sheet_name="Q2", index=False)
    with pytest.raises(SheetUnreadable, match=r"'Cover'.* has no rows.*Q2"):
        read_sheet(str(tmp_path / "two.xlsx"))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('[{"title":"One"},{"title":"x"},{},{"title":"Four"}]', [1, 2, 4]),
        ('[\n{"title":"One"},\n{"title":"x"},\n{"title":"Four"}]', [2, 3, 4]),
        ('[\n{"title":"One"}, {"title":"x"},\n\n{"title":"Four"}]', [2, 3, 4]),
        ('{"title":\n"One"}{"title":"x"}{"title":"Four"}', [1, 2, 3]),
        ('{"title":"One"}\n{"title":"x"}\n\n{"title":"Four"}', [1, 2, 4]),
    ],
)
def test_rows_of_json_have_a_line_each_and_a_bad_one_is_none_of_the_others(text: str, lines: list[int]) -> None:
    sheet = read_sheet(text.encode(), name="x.json")
    assert [row.line for row in sheet.rows] == lines
    _, problems = requests_of(sheet, template="1")
    assert [(problem.line, problem.code) for problem in problems] == [(lines[1], "title-too-short")]
