"""Workbooks, archives and files of other kinds: what is read, what is noted, and what is said of what is no sheet."""

import gzip
import io
import zipfile
from pathlib import Path

import openpyxl
import pytest
from openpyxl.workbook import Workbook

from label_studio_stencil.cli import main
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.model import Sheet, SheetUnreadable
from label_studio_stencil.sheet.sources import read_sheet
from tests.sheet.writing import as_excel, ods_cell, ods_row, ods_table, opendocument

NEXT = opendocument(
    ods_table("Notes", hidden=True),
    ods_table("old", ods_row("title"), ods_row("abc"), hidden=True),
    ods_table("Projects", ods_row("title"), ods_row("def")),
    ods_table("Next year", ods_row("title"), ods_row("ghi")),
)


def saved(book: Workbook) -> bytes:
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def excel_book() -> bytes:
    book = Workbook()
    book.active.title = "Notes"
    book.active.sheet_state = "hidden"
    for name, title in (("old", "abc"), ("Projects", "def"), ("Next year", "ghi")):
        for row in (["title"], [title]):
            book[name].append(row) if name in book.sheetnames else book.create_sheet(name).append(row)
    book["old"].sheet_state = "veryHidden"
    book.active = book["Projects"]
    return saved(book)


BOOKS = pytest.mark.parametrize("content", [excel_book(), NEXT], ids=["xlsx", "ods"])


def titles(sheet: Sheet) -> list[object]:
    assert sheet.problems == []
    return [row.cells["title"] for row in sheet.rows]


@BOOKS
def test_the_first_visible_worksheet_is_read_and_the_others_that_hold_anything_are_noted(content: bytes) -> None:
    sheet = read_sheet(content)
    assert titles(sheet) == ["def"]
    [note] = sheet.notes
    assert "'Projects' was read, and 'old' (hidden) and 'Next year' were not" in note
    assert "`worksheet=" in note


@BOOKS
@pytest.mark.parametrize(("worksheet", "title"), [("old", "abc"), ("Next year", "ghi"), (" next\xa0YEAR ", "ghi")])
def test_a_worksheet_is_chosen_by_its_name(content: bytes, worksheet: str, title: str) -> None:
    assert titles(read_sheet(content, worksheet=worksheet)) == [title]


@BOOKS
def test_a_worksheet_that_is_not_there_names_those_that_are(content: bytes) -> None:
    with pytest.raises(
        SheetUnreadable, match=r"no worksheet 'Budget'\. It has 'Notes', 'old', 'Projects', 'Next year'"
    ):
        read_sheet(content, worksheet="Budget")


@BOOKS
def test_an_empty_worksheet_beside_others_says_where_the_rows_are(content: bytes) -> None:
    with pytest.raises(SheetUnreadable, match=r"'Notes' has no rows, and 'old' .*have some"):
        read_sheet(content, worksheet="Notes")


@pytest.mark.parametrize(("extension", "content"), [("xlsx", excel_book()), ("ods", NEXT)])
def test_a_worksheet_is_named_after_the_file(extension: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"book.{extension}"
    path.write_bytes(content)
    sheet = read_sheet(f"{path}#Next year")
    assert (titles(sheet), sheet.name, sheet.folder) == (["ghi"], path.name, tmp_path.resolve())
    assert titles(read_sheet(f"{path.as_uri()}#Next%20year")) == ["ghi"]
    with pytest.raises(SheetUnreadable, match="Two worksheets are named, 'old' after # and 'Next year'"):
        read_sheet(f"{path}#old", worksheet="Next year")


def test_a_file_whose_name_has_the_mark_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "book.xlsx#1.csv").write_text("title\nabc\n")
    assert titles(read_sheet(tmp_path / "book.xlsx#1.csv")) == ["abc"]


def test_a_worksheet_of_a_file_that_is_not_a_workbook_is_refused() -> None:
    with pytest.raises(SheetUnreadable, match="this is not a workbook"):
        read_sheet(b"title\nabc\n", worksheet="Projects")


def excel_layout() -> bytes:
    book = openpyxl.load_workbook(
        io.BytesIO(
            as_excel(["title", "workspace", "_n"], [["abc", "7", 1], ["def", "", 2], ["ghi", "", ""], ["jkl", "8", ""]])
        )
    )
    book.active.row_dimensions[3].hidden = True
    book.active.column_dimensions["C"].hidden = True
    book.active.merge_cells("B2:B4")
    return saved(book)


ODS_LAYOUT = opendocument(
    ods_table(
        "Projects",
        ods_row("title", "workspace", "_n"),
        ods_row("abc", ods_cell("7", 'table:number-rows-spanned="3"'), 1),
        ods_row("def", "<table:covered-table-cell/>", 2, attributes='table:visibility="filter"'),
        ods_row("ghi", "<table:covered-table-cell/>"),
        ods_row("jkl", "8"),
        columns='<table:table-column table:number-columns-repeated="2"/><table:table-column table:visibility="collapse"/>',
    )
)


@pytest.mark.parametrize("content", [excel_layout(), ODS_LAYOUT], ids=["xlsx", "ods"])
def test_what_is_hidden_is_read_and_noted_and_a_merged_cell_counts_for_all_its_rows(content: bytes) -> None:
    sheet = read_sheet(content)
    assert [row.cells["workspace"] for row in sheet.rows] == ["7", "7", "7", "8"]
    assert sheet.notes == [
        "1 row hidden in the worksheet is read like the others: line 3.",
        "Columns hidden in the worksheet are read like the others: '_n'.",
        "Merged cells count for each of the rows that they span; the first line 2.",
    ]


def test_excels_escapes_are_the_letters_that_they_spell() -> None:
    cells = [["abc", "a_x000D_\nb"], ["def", "_x005F_x000D_"], ["ghi", "_xD83D__xDE00_"], ["jkl", "_xyz_"]]
    sheet = read_sheet(as_excel(["title", "description"], cells))
    assert [row.cells["description"] for row in sheet.rows] == ["a\r\nb", "_x000D_", "😀", "_xyz_"]


def test_notes_reach_the_plan_and_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.csv").write_bytes("title,template,workspace\nPrüfung,1,1\n".encode("cp1252"))
    for command in ("check", "plan"):
        assert main([command, str(tmp_path / "x.csv"), "--sandbox"]) == 0
        assert "Windows-1252" in capsys.readouterr().out
        assert main([command, str(tmp_path / "x.csv"), "--sandbox", "--json"]) == 0
        assert '"notes": [\n    "The text is not UTF-8' in capsys.readouterr().out


def test_a_sheet_of_opendocument_that_would_fill_the_memory_is_refused() -> None:
    long = ods_cell("x" * 1000, 'table:number-columns-repeated="1000"')
    with pytest.raises(SheetUnreadable, match="repeats rows or cells to more than 200 MB"):
        read_sheet(
            opendocument(
                ods_table("One", ods_row("title"), ods_row(long, attributes='table:number-rows-repeated="1000"'))
            )
        )


def test_rows_that_opendocument_repeats_are_rows_and_empty_ones_are_none() -> None:
    empty = ods_row(
        ods_cell("", 'table:number-columns-repeated="16384"'), attributes='table:number-rows-repeated="1048000"'
    )
    twice = ods_row("abc", attributes='table:number-rows-repeated="2"')
    sheet = read_sheet(opendocument(ods_table("One", ods_row("title"), twice, empty)))
    assert [(row.line, row.cells) for row in sheet.rows] == [(2, {"title": "abc"}), (3, {"title": "abc"})]


# Archives.


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    return content.getvalue()


CSV = b"title\nabc\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv.gz", gzip.compress(CSV)),
        ("x.jsonl.gz", gzip.compress(b'{"title": "abc"}')),
        ("x.gz", gzip.compress(CSV)),
        ("x.zip", zipped(**{"x.csv": CSV})),
        (
            "x.zip",
            zipped(**{"folder/x.csv": CSV, "__MACOSX/._x.csv": b"x", ".DS_Store": b"x", "folder/read me.md": b"x"}),
        ),
        ("x.zip", zipped(**{"x.xlsx": as_excel(["title"], [["abc"]])})),
    ],
    ids=["csv.gz", "jsonl.gz", "gz", "zip", "a Mac's zip", "a workbook in a zip"],
)
def test_one_sheet_that_is_packed_is_read(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    sheet = read_sheet(tmp_path / name)
    assert (titles(sheet), sheet.name) == (["abc"], name)


PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(**{"a.csv": CSV, "b.csv": CSV}), "2 sheets (a.csv, b.csv). Unpack it"),
        (zipped(**{"a.txt.exe": b"x"}), "zip archive without a sheet"),
        (zipped(), "an empty zip archive"),
        (zipped(**{"xl/workbook.bin": b"x", "[Content_Types].xml": b"x"}), "binary workbook (.xlsb). Save it as .xlsx"),
        (zipped(**{"word/document.xml": b"x"}), "a Word document"),
        (zipped(**{"ppt/presentation.xml": b"x"}), "a PowerPoint document"),
        (zipped(**{"Index/Document.iwa": b"x"}), "a Numbers document. Export it as Excel"),
        (zipped(mimetype=b"application/vnd.oasis.opendocument.text"), "an OpenDocument file, but no spreadsheet"),
        (zipped(mimetype=b"application/vnd.oasis.opendocument.spreadsheet"), "OpenDocument spreadsheet is damaged"),
        (PAGE, "web page, not a sheet. Does its address ask for a sign-in"),
        (b"\n <!-- x -->\n<HTML><body>", "web page"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>no</Message></Error>', "AccessDenied"),
        (b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook xmlns="x">', "old XML format"),
        (b'<?xml version="1.0"?>\n<rows><row/></rows>', "This is XML"),
        (b"| title | workspace |\n|---|---|\n| abc | x |\n", "Markdown table"),
        (b"%PDF-1.7 x", "a PDF"),
        (b"{\\rtf1 x}", "RTF"),
        (b"SQLite format 3\0x", "SQLite"),
        (b"ARROW1\0\0", "Save it as Parquet"),
        (b"BZh9x", "bzip2"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old .xls file, or one with a password"),
        (b"version https://git-lfs.github.com/spec/v1\noid x\n", "git lfs pull"),
        (gzip.compress(CSV)[:-9], "damaged"),
        (gzip.compress(gzip.compress(CSV)), "twice"),
        (gzip.compress(b" \n"), "is empty"),
        (zipped(**{"x.csv": b" \n"}), "is empty"),
    ],
    # A zip holds the time of day, and no two processes may find other tests.
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("name", ["x.csv", "x.zip", ""])
def test_a_file_that_is_no_sheet_says_what_it_is_and_what_to_do(content: bytes, words: str, name: str) -> None:
    with pytest.raises(SheetUnreadable) as caught:
        read_sheet(content, name=name)
    assert words in str(caught.value)


def test_a_packed_bomb_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_stencil.sheet.formats.MOST_BYTES", 1_000_000)
    for content in (gzip.compress(b"x" * 2_000_000), zipped(**{"x.csv": b"x" * 2_000_000})):
        with pytest.raises(SheetUnreadable, match="unpacks to more than 1 MB"):
            read_sheet(content)


# JSON of other shapes, and tables that programs write.


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('[{"title": "abc"}, {"title": "def"}]', [1, 2]),
        ('[\n  {\n    "title": "abc"\n  },\n\n  {"title": "def"}\n]\n', [2, 6]),
        ('{\n  "title": "abc"\n}\n{\n  "title": "def"\n}\n', [1, 4]),
        ('{"title": "abc"}\n\n{"title": "def"}', [1, 3]),
    ],
    ids=["an array", "an array with lines", "objects with lines", "lines"],
)
def test_json_of_any_layout_gives_rows_with_the_lines_they_start_on_or_a_number_each(
    text: str, lines: list[int]
) -> None:
    sheet = read_sheet(text.encode())
    assert (titles(sheet), [row.line for row in sheet.rows]) == (["abc", "def"], lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"title": {"0": "abc"}, "workspace": {"0": 7}}', "orient='records'"),
        ('{"schema": {}, "data": [{"title": "abc"}]}', "holds the rows in a list"),
        ('{"columns": ["title"], "data": [["abc"]]}', "holds the rows in a list"),
        ('[["title"], ["abc"]]', "list of lists"),
    ],
)
def test_json_that_is_no_list_of_rows_says_what_it_is(text: str, words: str) -> None:
    with pytest.raises(SheetUnreadable) as caught:
        read_sheet(text.encode(), name="x.json")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "read"),
    [
        ('[{"title": "abc"},\n{"title": }]', "line 2", 1),
        ('[{"title": "abc"}\n {"title": "def"}]', "line 2", 1),
        ('[{"title": "abc"}]\nx', "line 2", 1),
        ('[{"title": "abc"},', "line 1", 1),
    ],
)
def test_broken_json_is_a_problem_with_its_line_and_ends_the_sheet(text: str, line: str, read: int) -> None:
    sheet = read_sheet(text.encode())
    [problem] = sheet.problems
    assert (problem.line, len(sheet.rows)) == (None, read)
    assert f"broken on {line}" in problem.message


def test_a_first_column_without_a_name_is_one_problem_that_names_the_way_out() -> None:
    rows = "".join(f"{n},row {n}\n" for n in range(600))
    requests, [problem] = requests_of(read_sheet(f",title\n{rows}".encode()), template="t")
    assert (problem.code, problem.line, requests) == ("extra-cell", 1, [])
    assert "600 rows" in problem.message
    assert "index=False" in problem.hint


def test_a_header_that_is_one_short_in_every_row_is_one_problem() -> None:
    sheet = read_sheet(b'"title","_n"\n"1","abc",2\n"2","def",3\n')
    [problem] = sheet.problems
    assert (problem.code, problem.line) == ("extra-cell", 1)
    assert "row.names=FALSE" in problem.hint


@pytest.mark.parametrize(
    "first",
    ["sep=;", "SEP=;", '"sep=;"', "sep = ;", "sep=;;;;", "\ufeffsep=;", "sep=\t", "sep=\\t", "sep=^", '"sep=|"||'],
)
def test_the_separator_line_of_excel_is_read_in_every_form(first: str) -> None:
    one = "\t" if "\t" in first or "\\t" in first else next(each for each in ";^|" if each in first)
    sheet = read_sheet(f"{first}\r\ntitle{one}_a,b\r\nabc{one}1\r\n".encode())
    assert [(row.line, row.cells) for row in sheet.rows] == [(3, {"title": "abc", "_a,b": "1"})]


def test_an_extension_that_promises_tabs_and_has_none_is_read_as_the_header_shows() -> None:
    assert titles(read_sheet(b"title,_n\nabc,1\n", name="x.tsv")) == ["abc"]


def test_a_table_of_r_that_is_separated_by_blanks_names_the_way_out() -> None:
    with pytest.raises(SheetUnreadable, match=r"write\.csv\(x, row\.names=FALSE\)"):
        read_sheet(b'"title" "workspace"\n"1" "abc" "x"\n')
