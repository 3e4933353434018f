"""The files: what is in them, what comes back from them, and where they go."""

import csv
import io
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_stencil.problems import StencilError
from label_studio_stencil.report.files import (
    OutputUnwritable,
    check_output,
    failed_csv,
    results_csv,
    shareable_failed_csv,
    write_results,
)
from label_studio_stencil.report.markdown import markdown_summary
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import ADDED_COLUMNS, FOLDER_COLUMN
from label_studio_stencil.sheet.formulas import unguard
from label_studio_stencil.sheet.sources import read_sheet
from tests.report.reports import report, row

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.text(alphabet="'=+-@\t\r\n,;\" 1a", max_size=6)


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_failed_csv_read_again_gives_the_same_cells(cells: list[tuple[str, str]]) -> None:
    rows = [row(n, Outcome.FAILED, cells={"title": a, "_note": b}) for n, (a, b) in enumerate(cells, 2)]
    read = rows_of(failed_csv(report(*rows)))
    assert read[0] == ["title", "_note"]
    assert [tuple(map(unguard, line)) for line in read[1:]] == cells


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
def test_failed_csv_is_a_sheet_with_the_same_cells(cells: list[tuple[str, str]]) -> None:
    # A blank row is no row, and NUL characters are refused by the reader.
    clean = [("T" + a.replace("\0", ""), b.replace("\0", "")) for a, b in cells]
    rows = [row(n, Outcome.FAILED, cells={"title": a, "_note": b}) for n, (a, b) in enumerate(clean, 2)]
    sheet = read_sheet(failed_csv(report(*rows)).encode("utf-8-sig"), name="failed.csv")
    assert [(read.cells["title"], read.cells["_note"]) for read in sheet.rows] == clean


def test_failed_csv_has_the_rows_that_need_attention_with_input_columns_only() -> None:
    rows = [row(line, outcome, error="no") for line, outcome in enumerate(Outcome, 2)]
    assert rows_of(failed_csv(report(*rows))) == [["title"], *([f"Project {line}"] for line in range(7, 11))]


def test_results_csv_holds_the_input_columns_and_then_what_became_of_the_row() -> None:
    one = row(2, project_id=7, project_url="http://x/7", attempts=1, seconds=0.25, cells={"title": "A", "_k": "v"})
    bad = row(3, Outcome.FAILED, error_code="rejected", error="no, not so", cells={"title": "B"})
    assert rows_of(results_csv(report(one, bad))) == [
        ["title", "_k", *ADDED_COLUMNS, FOLDER_COLUMN],
        ["A", "v", "2", "created", "7", "http://x/7", "1", "0.25", "", "", "", ""],
        ["B", "", "3", "failed", "", "", "0", "0.0", "rejected", "no, not so", "", ""],
    ]


def test_results_csv_fed_back_does_not_double_its_columns() -> None:
    batch = report(row(2, Outcome.FAILED, cells={"title": "A", "outcome": "created", "line": "9", "_k": "v"}))
    assert rows_of(results_csv(batch))[0] == ["title", "_k", *ADDED_COLUMNS, FOLDER_COLUMN]
    assert rows_of(failed_csv(batch)) == [["title", "_k"], ["A", "v"]]


def test_results_csv_of_a_dry_run_does_not_say_created() -> None:
    assert rows_of(results_csv(report(row(2), dry_run=True)))[1][2] == "would be created"


@pytest.mark.parametrize("write", [results_csv, failed_csv])
def test_formulas_are_guarded_in_every_cell(write: object) -> None:
    one = row(2, Outcome.FAILED, error="=1+1", error_code="@x()", cells={"title": "=HYPERLINK(1)", "=c": "-x"})
    cells = [cell for line in rows_of(write(report(one))) for cell in line]  # type: ignore[operator]
    assert not [cell for cell in cells if cell.startswith(("=", "-", "@"))]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (True, "true"),
        (np.bool_(False), "false"),
        (3, "3"),
        (np.float64(3.0), "3.0"),
        ({"color": "#fff", "title": "ü"}, '{"color": "#fff", "title": "ü"}'),
        ({"control_weights": np.array([1, 2])}, '{"control_weights": [1, 2]}'),
        (np.array(["a"]), '["a"]'),
    ],
    ids=repr,
)
def test_cells_that_are_not_text_become_text_that_can_be_read_again(value: object, text: str) -> None:
    batch = report(row(2, Outcome.FAILED, cells={"title": "A", "x": value}))
    assert rows_of(failed_csv(batch))[1][1] == text
    assert rows_of(results_csv(batch))[1][1] == text


SECRETS = [
    {"title": "A", "task_data_password": "hunter2"},
    {"title": "A", "Task Data-Password": "hunter2"},
    {"title": "A", "overrides": {"task_data_password": "hunter2"}},
    {"title": "A", "overrides": '{"task_data_password": "hunter2"}'},
    {"title": "A", "overrides": r'{"task_data_passwor\u0064": "hunter2"}'},
    {"title": "A", "overrides": '{"task_data_password": "hunter2", "task_data_password": "***"}'},
    {"title": "A", "overrides": '{"task_data_password": "hunter2"'},
    {"title": "A", "overrides": '{"a": [{"TASK_DATA_PASSWORD": "hunter2"}]}'},
]


@pytest.mark.parametrize("cells", SECRETS, ids=range(len(SECRETS)))
def test_passwords_are_shown_nowhere_and_kept_in_failed_csv(cells: dict[str, object]) -> None:
    batch = report(row(2, Outcome.FAILED, cells=cells))
    shown = [results_csv(batch), markdown_summary(batch), batch.table(), batch.to_json(), batch.to_frame().to_dict()]
    assert "hunter2" not in str(shown)
    assert "hunter2" in failed_csv(batch)
    assert shareable_failed_csv(batch) is None


def test_failed_csv_is_shared_with_its_formulas_guarded_and_not_with_a_signed_address() -> None:
    harmless = report(row(2, Outcome.FAILED, cells={"title": "=1+1", "x": "a"}))
    assert shareable_failed_csv(harmless) == failed_csv(harmless)
    assert "'=1+1" in failed_csv(harmless)
    signed = {"title": "A", "x": "https://me:hunter2@files.example/a.json"}
    assert shareable_failed_csv(report(row(2, Outcome.FAILED, cells=signed))) is None


@pytest.mark.parametrize("cells", SECRETS[:5], ids=range(5))
def test_a_password_that_an_error_repeats_is_masked(cells: dict[str, object]) -> None:
    batch = report(row(2, Outcome.FAILED, cells=cells, error="Wrong password: hunter2."))
    shown = [results_csv(batch), markdown_summary(batch), batch.table(), batch.to_json(), batch.to_frame().to_dict()]
    assert "hunter2" not in str(shown)
    assert "Wrong password: ***." in results_csv(batch)


def test_overrides_without_a_password_are_written_as_they_were_read() -> None:
    cells = {"title": "A", "overrides": '{"color":"#fff" }'}
    assert rows_of(results_csv(report(row(2, cells=cells))))[1][1] == cells["overrides"]


def test_overrides_of_absurd_depth_do_not_cost_the_results() -> None:
    deep = '{"task_data_password":' + "[" * 900 + '"hunter2"' + "]" * 900 + "}"
    nested: object = {"task_data_password": "hunter2"}
    for _ in range(5000):
        nested = [nested]
    batch = report(*(row(2, Outcome.FAILED, error="e", cells={"overrides": each}) for each in (deep, nested)))
    assert "hunter2" not in results_csv(batch)


def test_both_files_are_written_for_excel_and_where_the_answer_says(tmp_path: Path) -> None:
    files = write_results(report(row(2, title="Grüße")), str(tmp_path / "new" / "out"))
    assert Path(files.results) == tmp_path / "new" / "out" / "results.csv"
    assert Path(files.results).read_bytes().startswith(b"\xef\xbb\xbftitle,line,")
    assert "Grüße" in Path(files.results).read_text(encoding="utf-8-sig")
    assert Path(files.failed).read_bytes() == b"\xef\xbb\xbftitle\r\n"


def test_a_failed_csv_of_an_earlier_batch_is_not_left_over(tmp_path: Path) -> None:
    write_results(report(row(2, Outcome.FAILED)), str(tmp_path))
    write_results(report(row(2)), str(tmp_path))
    assert "Project 2" not in (tmp_path / "failed.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.csv", "results.csv"]


def test_half_of_a_surrogate_pair_does_not_cost_the_report(tmp_path: Path) -> None:
    files = write_results(report(row(2, title="a\ud800b")), str(tmp_path))
    assert "a?b" in Path(files.results).read_text(encoding="utf-8-sig")


def test_results_go_to_any_url_that_fsspec_opens() -> None:
    check_output("memory://batches/today")
    files = write_results(report(row(2)), "memory://batches/today")
    with fsspec.open(files.results, "rt", encoding="utf-8-sig") as file:
        assert file.read().startswith("title,line,")
    names = fsspec.filesystem("memory").ls("/batches/today", detail=False)
    assert sorted(names) == ["/batches/today/failed.csv", "/batches/today/results.csv"]


def test_a_file_url_is_a_local_folder(tmp_path: Path) -> None:
    assert write_results(report(row(2)), f"file://{tmp_path}").results == str(tmp_path / "results.csv")


def test_checking_the_output_makes_the_folder_and_touches_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "failed.csv").write_text("title\r\nmended\r\n")
    check_output(str(tmp_path))
    check_output(str(tmp_path / "new"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.csv", "new"]
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("{file}", "is a file and not a folder"),
        ("{file}/below", "Not a directory|is a file"),
        ("/proc/nowhere", "no such folder"),
        ("nowhere://bucket/x", "does not open this protocol"),
        ("out\0put", "null"),
    ],
    ids=["file", "below a file", "no folder", "no protocol", "no path"],
)
def test_an_output_that_can_not_be_written_is_refused_before_and_after(
    tmp_path: Path, output: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    output = output.format(file=tmp_path / "file")
    with pytest.raises(OutputUnwritable, match=reason):
        check_output(output)
    with pytest.raises(StencilError, match=reason):
        write_results(report(row(2)), output)


def test_a_file_that_can_not_be_replaced_leaves_no_half_behind(tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(OutputUnwritable):
        write_results(report(row(2)), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_password_in_the_output_is_not_shown() -> None:
    with pytest.raises(OutputUnwritable) as caught:
        check_output("nowhere://user:hunter2@host/x")
    assert "hunter2" not in str(caught.value) + repr(caught.value) + caught.value.output


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), st.sampled_from(["_note", "_a,b", "_a,b|c;d", ""]))
def test_the_files_of_a_semicolon_separated_sheet_are_separated_so_too(
    cells: list[tuple[str, str]], column: str
) -> None:
    # A blank row is no row, and NUL characters are refused by the reader.
    clean = [("T" + a.replace("\0", ""), b.replace("\0", "")) for a, b in cells]
    rows = [
        row(n, Outcome.FAILED, cells={"title": a, **({column: b} if column else {})})
        for n, (a, b) in enumerate(clean, 2)
    ]
    batch = report(*rows, separator=";")
    assert results_csv(batch).split("\r\n")[0].replace('"', "").endswith(";".join(["", *ADDED_COLUMNS, FOLDER_COLUMN]))
    sheet = read_sheet(failed_csv(batch).encode("utf-8-sig"), name="failed.csv")
    assert [each.cells for each in sheet.rows] == [each.cells for each in rows]
    assert sheet.separator == (";" if column else ",")
