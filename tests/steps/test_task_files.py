"""Files of tasks: read as sheets are, and checked before the first write."""

import asyncio
import json
from pathlib import Path

import openpyxl
import pytest

from label_studio_stencil.access import open_sandbox
from label_studio_stencil.files import PERSON
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check, resolve_targets
from label_studio_stencil.problems import Problem
from label_studio_stencil.rows import task_files as task_files_module
from label_studio_stencil.rows.predictions import doubts
from label_studio_stencil.rows.references import References
from label_studio_stencil.rows.steps import BadStep
from label_studio_stencil.rows.task_files import open_tasks, read_tasks
from label_studio_stencil.sheet.sources import read_sheet
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
    assert "encoding=" not in str(caught.value)


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


def test_a_missing_worksheet_of_tasks_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(as_excel(HEADER, ROWS))
    with pytest.raises(BadStep, match=r"t\.xlsx: .*Nope"):
        References(tmp_path, PERSON).tasks("t.xlsx#Nope")


def test_more_tasks_than_label_studio_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_files_module, "MOST_TASKS", 1)
    with pytest.raises(BadStep, match="holds 2 tasks, and Label Studio takes 1 at once"):
        read_tasks(as_csv(HEADER, ROWS), "t.csv")


def test_tasks_that_are_larger_as_they_are_sent_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = as_csv(["text"], [["é" * 10]])
    assert len(read_tasks(content, "t.csv").tasks) == 1
    # As JSON, with braces and quotes.
    monkeypatch.setattr(task_files_module, "MOST_SENT", len(content))
    with pytest.raises(BadStep, match="of JSON: split it"):
        read_tasks(content, "t.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (r'[{"text":"fine"},{"text":"a\u0000b"}]', "task 2 of t.json holds a NUL"),
        (r'[{"te\u0000xt":"fine"}]', "task 1 of t.json holds a NUL"),
        (r'[{"text":"fine"},{"text":["a\ud83d"]}]', "task 2 of t.json holds an unpaired surrogate"),
    ],
)
def test_text_that_a_label_studio_can_not_keep_is_refused(content: str, words: str) -> None:
    with pytest.raises(BadStep, match=words):
        read_tasks(content.encode(), "t.json")


@pytest.mark.parametrize("text", [r"\ud83d\ude00", r"\\u0000", r"\\ud83d"])
def test_text_that_looks_like_it_is_taken(text: str) -> None:
    assert len(read_tasks(f'[{{"text":"{text}"}}]'.encode(), "t.json").tasks) == 1


def test_a_file_of_more_than_100_megabytes_is_read_and_one_of_200_is_not(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(b'[{"text":"a"}]' + b" " * 101_000_000)
    assert References(tmp_path, PERSON).tasks("t.json").count == 1
    with (tmp_path / "t.json").open("ab") as file:
        file.truncate(200_000_001)
    with pytest.raises(BadStep, match="at most 200 MB"):
        References(tmp_path, PERSON).tasks("t.json")


@pytest.mark.parametrize("value", ["{}", "[]", "1"])
def test_values_that_would_fill_the_memory_are_refused_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(task_files_module, "MOST_MEMORY", 30_000)
    content = f'[{{"text": [{",".join([value] * 1000)}]}}]'.encode()
    with pytest.raises(BadStep, match="more values than fit"):
        read_tasks(content, "t.json")


def test_numbers_that_json_does_not_have_are_problems_before_the_first_write() -> None:
    with pytest.raises(BadStep, match="NaN or Infinity"):
        read_tasks(b'[{"text": NaN}]', "t.json")


RESULT = {"from_name": "c", "to_name": "text", "type": "choices", "value": {"choices": ["x"]}}


def within(key: str, *items: object) -> bytes:
    return json.dumps([{"data": {"text": "private"}}, {"data": {"text": "private"}, key: [*items]}]).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"data": {}, "predictions": null}]', "the predictions of task 1 are not a list"),
        (b'[{"data": {}, "annotations": {"private": 1}}]', "the annotations of task 1 are not a list"),
        (within("predictions", {"result": []}, "private"), "prediction 2 of task 2 is not an object"),
        (within("annotations", {"private": []}), "annotation 1 of task 2 has no result"),
        (within("annotations", {"result": {"private": 1}}), "the result of annotation 1 of task 2 is not a list"),
        (
            within("annotations", {"result": [], "completed_by": "private"}),
            "the completed_by of annotation 1 of task 2 is neither",
        ),
        (
            within("annotations", {"result": [], "completed_by": {"id": 1}}),
            "the completed_by of annotation 1 of task 2 has no email",
        ),
        (within("predictions", {"result": None}), "the result of prediction 1 of task 2 is not a list"),
        (within("predictions", {"result": [RESULT, "private"]}), "result 2 in prediction 1 of task 2 is not an object"),
    ],
)
def test_predictions_and_annotations_that_label_studio_rejects_are_problems_with_their_place(
    content: bytes, words: str
) -> None:
    with pytest.raises(BadStep) as caught:
        read_tasks(content, "t.json")
    assert str(caught.value).startswith(f"t.json: {words}")
    assert "private" not in str(caught.value)


@pytest.mark.parametrize("result", ["x", 1, {"choices": ["x"]}, [RESULT]])
def test_predictions_as_label_studio_takes_them_are_counted(result: object) -> None:
    found = read_tasks(within("predictions", {"result": result}, {"result": []}), "t.json").labelled
    assert (found.predictions, found.annotations, found.told) == (2, 0, " with 2 predictions")


def test_predictions_beside_no_data_are_noted_and_not_counted() -> None:
    found = read_tasks(b'[{"text": "private", "predictions": [{"result": []}]}]', "t.json")
    assert found.notes == ("Task 1 has predictions but no data: Label Studio treats them as part of its data.",)
    assert found.labelled.predictions == 0


TEMPLATE = """
label_config: |
  <View><Header value="$heading"/><Text name="text" value="$text"/>
  <Choices name="c" toName="text"><Choice value="$5"/></Choices></View>
"""


def resolved(folder: Path) -> tuple[list[Problem], list[str]]:
    async def found() -> tuple[list[Problem], list[str]]:
        options = Options(template="t.yaml", workspace="1")
        checked = check(read_sheet(folder / "s.csv"), options)
        async with open_sandbox(options) as label_studio:
            return (await resolve_targets(checked, options, label_studio)).problems, checked.sheet.notes

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


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({}, ""),
        ({"type": "Choices"}, ""),
        ({"type": "relation", "from_name": None}, ""),
        ({"from_name": "private"}, "with a from_name that no control of the labelling interface has"),
        ({"from_name": "text"}, "with a from_name that no control of the labelling interface has"),
        ({"from_name": ["private"]}, "with a from_name that no control of the labelling interface has"),
        ({"to_name": "private"}, "with a to_name that nothing in the labelling interface has"),
        ({"type": "private"}, "with another type than the control's"),
        ({"value": "private"}, "whose value is not an object"),
    ],
)
@pytest.mark.parametrize("key", ["predictions", "annotations"])
def test_results_that_the_interface_does_not_know_are_noted(
    tmp_path: Path, key: str, change: dict[str, object], doubt: str
) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    odd = {"result": [RESULT, RESULT | change, RESULT | change]}
    (tmp_path / "t.json").write_bytes(
        within(key, {"result": [RESULT]}, odd).replace(b'"private"}', b'"private", "heading": 1}')
    )
    (tmp_path / "s.csv").write_text("title,tasks\nabc,t.json\n")
    problems, notes = resolved(tmp_path)
    noun = key[:-1]
    place = f"(first: result 2 in {noun} 2 of task 2): "
    assert problems == []
    assert notes[0] == f"1 row has 2 tasks with 2 {key}."
    assert [note.split(place)[0] for note in notes[1:]] == ([f"t.json: 2 results {doubt} "] if doubt else [])
    assert "private" not in str(notes)


@pytest.mark.parametrize(
    ("by", "known"),
    [
        (None, True),
        (1, True),
        ({"email": "admin@example.com", "id": 99}, True),
        (99, False),
        ({"email": "private@example.com"}, False),
    ],
)
def test_annotations_of_users_that_label_studio_does_not_list_are_noted(
    tmp_path: Path, by: object, known: bool
) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE.replace('<Header value="$heading"/>', ""))
    (tmp_path / "t.json").write_bytes(within("annotations", *[{"result": [RESULT], "completed_by": by}] * 3))
    (tmp_path / "s.csv").write_text("title,tasks\nabc,t.json\nabd,t.json\n")
    problems, notes = resolved(tmp_path)
    said = "t.json: 3 annotations by users that Label Studio does not list (first: annotation 1 of task 2). "
    assert problems == []
    assert [note.startswith(said) for note in notes[1:]] == ([] if known else [True])
    assert "private" not in str(notes)


@pytest.mark.parametrize("control", ['<Choices name="c_{{idx}}" toName="text"/>', "<"])
def test_an_interface_that_does_not_tell_its_names_raises_no_doubts(control: str) -> None:
    found = read_tasks(within("predictions", {"result": [RESULT]}), "t.json").labelled
    assert doubts(found, f'<View><Text name="text" value="$text"/>{control}</View>') == []


def test_the_tasks_of_all_rows_are_counted_in_a_note_of_the_chosen_lines(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(within("annotations", {"result": []}))
    (tmp_path / "s.csv").write_text("title,tasks\nabc,t.json\nabd,t.json\nabe,\n")
    sheet = read_sheet(tmp_path / "s.csv")
    noted = [check(sheet, Options(template="1", lines=lines)).sheet.notes for lines in ("3", "")]
    assert noted == [["1 row has 2 tasks with 1 annotation."], ["2 rows have 4 tasks with 2 annotations."]]


def test_how_a_file_of_tasks_was_read_is_a_note_of_the_sheet(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    (tmp_path / "t.csv").write_bytes("text\nPrüfung\n".encode("cp1252"))
    (tmp_path / "s.csv").write_text("title,tasks\nabc,t.csv\n")
    problems, [note, _] = resolved(tmp_path)
    assert problems == []
    assert note.startswith("t.csv: The text is not UTF-8, and was read as Windows-1252")
