"""Files of tasks: read as sheets are, and checked before the first write."""

import asyncio
import json
from pathlib import Path

import openpyxl
import pytest

from stencil.checking import check, resolve_targets
from stencil.files import PERSON
from stencil.options import Options
from stencil.problems import Problem
from stencil.sheet import read_sheet
from stencil.sheet import task_files as task_files_module
from stencil.sheet.references import References
from stencil.sheet.task_files import open_tasks, read_tasks
from stencil.steps import BadStep
from stencil.studio import open_sandbox
from tests.sheet.writing import as_csv, as_excel, as_json, as_json_lines, as_opendocument, as_parquet

HEADER, ROWS = ["text", "label"], [["hello", "x"], ["world", "y"]]
TASKS = [{"text": "hello", "label": "x"}, {"text": "world", "label": "y"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", as_csv(HEADER, ROWS)),
        ("t.csv", as_csv(HEADER, ROWS, ";")),
        ("t.tsv", as_csv(HEADER, ROWS, "\t").decode().encode("utf-16")),
        ("t.txt", b"sep=|\r\n" + as_csv(HEADER, ROWS, "|")),
        ("t.json", as_json(HEADER, ROWS)),
        ("t.json", as_json(HEADER, ROWS).decode().encode("utf-16")),
        ("t.jsonl", as_json_lines(HEADER, ROWS)),
        ("t.xlsx", as_excel(HEADER, ROWS)),
        ("t.ods", as_opendocument(HEADER, ROWS)),
        ("t.parquet", as_parquet(HEADER, ROWS)),
    ],
    ids=["csv", "semicolon", "unicode text", "sep=", "json", "json in utf-16", "jsonl", "xlsx", "ods", "parquet"],
)
def test_tasks_are_read_of_every_format_of_a_sheet(name: str, content: bytes) -> None:
    found = read_tasks(content, name)
    assert found.tasks == TASKS
    assert (set(found.keys), found.notes) == ({"text", "label"}, ())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"text\n#REF!\n", "line 2: the cell shows a formula's error"),
        (b",text\n0,a\n1,b\n", "index=False"),
        (b"<!DOCTYPE html>", "web page"),
        (b"%PDF-1.7", "a PDF"),
        (b"text\n\xc4\xe0 \xed\xe5\xf2\n", "windows-1251 (Cyrillic); "),
        (b"text\n", "no tasks"),
    ],
)
def test_a_table_that_holds_no_tasks_says_why(content: bytes, words: str) -> None:
    with pytest.raises(BadStep) as caught:
        read_tasks(content, "t.csv")
    assert words in str(caught.value)
    assert "--encoding" not in str(caught.value)


@pytest.mark.parametrize(("cell", "count"), [("t.xlsx", 1), ("t.xlsx#First", 1), ("t.xlsx#More", 2)])
def test_a_worksheet_of_tasks_is_named_after_the_file(tmp_path: Path, cell: str, count: int) -> None:
    book = openpyxl.Workbook()
    book.active.title = "First"
    for sheet, texts in ((book.active, "a"), (book.create_sheet("More"), "bc")):
        for text in ("text", *texts):
            sheet.append([text])
    book.save(tmp_path / "t.xlsx")
    where = str(tmp_path / cell)
    assert len(open_tasks(where, PERSON).tasks) == count
    assert References(tmp_path, PERSON).tasks(cell).count == count


def test_worksheets_of_one_file_are_different_tasks(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(as_excel(HEADER, ROWS))
    found = [open_tasks(str(tmp_path / name), PERSON).digest for name in ("t.xlsx", "t.xlsx#Sheet")]
    assert len(set(found)) == 2


def test_a_worksheet_of_tasks_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(as_excel(HEADER, ROWS))
    with pytest.raises(BadStep, match=r"t\.xlsx: .*Nope"):
        References(tmp_path, PERSON).tasks("t.xlsx#Nope")


def test_more_tasks_than_label_studio_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_files_module, "MOST_TASKS", 1)
    with pytest.raises(BadStep, match="holds 2 tasks, and Label Studio takes 1 at once"):
        read_tasks(as_csv(HEADER, ROWS), "t.csv")


TEMPLATE = """
label_config: |
  <View><Header value="$heading"/><Text name="text" value="$text"/>
  <Choices name="c" toName="text"><Choice value="$5"/></Choices></View>
"""


def resolved(folder: Path) -> tuple[list[Problem], list[str]]:
    async def found() -> tuple[list[Problem], list[str]]:
        options = Options(template="t.yaml", workspace="1")
        checked = check(read_sheet(folder / "s.csv"), options)
        async with open_sandbox(options) as studio:
            return (await resolve_targets(checked, options, studio)).problems, checked.sheet.notes

    return asyncio.run(found())


@pytest.mark.parametrize(
    ("tasks", "lacking"),
    [
        ([{"text": "a", "heading": 1}], ""),
        ([{"data": {"text": "a"}, "predictions": []}], ""),
        ([{"text": "a"}, {"txt": "b"}], "text"),
        ([{"data": {"txt": "b"}}], "text"),
    ],
)
def test_tasks_lack_nothing_that_the_interface_shows(tmp_path: Path, tasks: list[object], lacking: str) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    (tmp_path / "t.json").write_text(json.dumps(tasks))
    (tmp_path / "s.csv").write_text("title,tasks\nabc,t.json\n")
    problems, _ = resolved(tmp_path)
    assert [(each.code, each.line, each.column) for each in problems] == ([("bad-step", 2, "tasks")] if lacking else [])
    assert not lacking or f"not every task has {lacking} in its data" in problems[0].message


def test_how_a_file_of_tasks_was_read_is_a_note_of_the_sheet(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    (tmp_path / "t.csv").write_bytes("text\nPrüfung\n".encode("cp1252"))
    (tmp_path / "s.csv").write_text("title,tasks\nabc,t.csv\n")
    problems, [note] = resolved(tmp_path)
    assert problems == []
    assert note.startswith("t.csv: The text is not UTF-8, and was read as Windows-1252")
