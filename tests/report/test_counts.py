"""Counts, sentences and the forms for machines."""

import json
import pickle

import pytest

from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.summary import progress_text
from tests.report.reports import report, row

OK = {Outcome.CREATED, Outcome.RESUMED, Outcome.UPDATED, Outcome.UNCHANGED, Outcome.EXISTS}


@pytest.mark.parametrize("outcome", Outcome)
def test_five_outcomes_are_ok_and_four_need_attention(outcome: Outcome) -> None:
    assert outcome.ok == (outcome in OK)
    assert report(row(2), row(3, outcome)).ok == (outcome in OK)


def test_counts_hold_every_outcome_in_order_zeros_included() -> None:
    counts = report(row(2), row(3), row(4, Outcome.FAILED)).counts
    assert list(counts) == list(Outcome)
    assert counts == dict.fromkeys(Outcome, 0) | {Outcome.CREATED: 2, Outcome.FAILED: 1}


def test_rows_stand_in_the_order_of_their_lines() -> None:
    assert [each.line for each in report(row(9), row(2), row(5)).rows] == [2, 5, 9]


def test_settled_leaves_out_ambiguous_and_unprocessed_rows() -> None:
    assert report(*(row(line, outcome) for line, outcome in enumerate(Outcome, 2))).settled == 7


def test_attempted_leaves_out_invalid_and_unprocessed_rows() -> None:
    batch = report(*(row(line, outcome) for line, outcome in enumerate(Outcome, 2)), seconds=3.5)
    assert (batch.attempted, batch.rate) == (7, 2.0)


def test_the_sentence_names_the_lines_of_rows_that_need_attention() -> None:
    rows = [row(line, Outcome.FAILED if line in {7, 19} else Outcome.CREATED) for line in range(2, 28)]
    assert report(*rows, row(28, Outcome.EXISTS)).sentence == (
        "27 rows: 24 created, 1 exists, 2 failed (line 7, line 19)"
    )


def test_the_sentence_names_five_lines_at_most() -> None:
    rows = [row(line, Outcome.INVALID) for line in range(2, 11)]
    assert report(*rows).sentence == ("9 rows: 9 invalid (line 2, line 3, line 4, line 5, line 6 and 4 more)")


def test_the_sentence_of_a_dry_run_says_would() -> None:
    batch = report(row(2), row(3, Outcome.UPDATED), row(4, Outcome.EXISTS), dry_run=True)
    assert batch.sentence == "3 rows: 1 would be created, 1 would be updated, 1 exists"


@pytest.mark.parametrize(
    ("outcomes", "dry_run", "sentence"),
    [
        ([Outcome.UNCHANGED] * 2, False, "2 rows: 2 unchanged, nothing written"),
        ([Outcome.EXISTS], False, "1 row: 1 exists, nothing written"),
        ([Outcome.EXISTS], True, "1 row: 1 exists, nothing to write"),
        ([], False, "0 rows: nothing to do"),
    ],
    ids=["unchanged", "exists", "dry run", "empty"],
)
def test_the_sentence_says_when_nothing_was_written(outcomes: list[Outcome], dry_run: bool, sentence: str) -> None:
    batch = report(*(row(line, outcome) for line, outcome in enumerate(outcomes, 2)), dry_run=dry_run)
    assert batch.sentence == sentence


def test_the_sentence_is_one_line_whatever_stopped_the_batch() -> None:
    batch = report(row(2, Outcome.UNPROCESSED), stopped="Label Studio said:\n401")
    assert batch.sentence == "1 row: 1 unprocessed (line 2); stopped: Label Studio said: 401"


def test_progress_shows_rows_done_and_their_outcomes() -> None:
    counts = {Outcome.CREATED: 11, Outcome.FAILED: 1, Outcome.EXISTS: 0}
    assert progress_text(12, 27, counts) == "12 of 27 rows (44%): 11 created, 1 failed"
    assert progress_text(0, 0, {}) == "0 of 0 rows (100%)"


def test_the_form_for_machines_is_json_with_stable_keys() -> None:
    batch = report(row(2, project_id=7, seconds=0.12345), row(3, Outcome.FAILED, error="no"), dry_run=True)
    told = json.loads(json.dumps(batch.to_json()))
    assert list(told) == [
        "sheet",
        "label_studio",
        "edition",
        "sandbox",
        "batch",
        "mode",
        "dry_run",
        "started",
        "seconds",
        "planning_seconds",
        "requests",
        "retries",
        "pauses",
        "paused_seconds",
        "counts",
        "ok",
        "stopped",
        "notes",
        "output_error",
        "rows",
    ]
    assert told["started"] == "2026-01-02T03:04:05+00:00"
    assert told["rows"][0] == {
        "line": 2,
        "title": "Project 2",
        "workspace": "Vision",
        "outcome": "created",
        "project_id": 7,
        "project_url": "",
        "attempts": 0,
        "seconds": 0.123,
        "error_code": "",
        "error": "",
        "steps": "",
        "changes": {},
    }


def test_the_table_begins_with_rows_that_need_attention_and_is_cut() -> None:
    table = report(row(2), row(3), row(4, Outcome.FAILED), row(5, Outcome.INVALID)).table(limit=3)
    assert [each["line"] for each in table] == [4, 5, 2]
    assert list(table[0]) == [
        "line",
        "title",
        "workspace",
        "outcome",
        "project",
        "attempts",
        "seconds",
        "error_code",
        "error",
    ]


def test_the_table_shows_the_address_of_a_project_or_else_its_number() -> None:
    url = "http://localhost/projects/7"
    rows = [row(2, project_id=7, project_url=url), row(3, project_id=8), row(4, project_url="javascript:x")]
    assert [each["project"] for each in report(*rows).table()] == [url, 8, None]


def test_the_table_of_a_large_batch_stays_small() -> None:
    rows = [row(n, Outcome.FAILED, title="x" * 10_000, error="y" * 10_000) for n in range(1000)]
    assert len(json.dumps(report(*rows).table())) < 1_000_000


def test_the_frame_holds_the_cells_as_they_were_read() -> None:
    cells = {"title": "=A", "overrides": {"color": "#fff"}}
    frame = report(row(2, cells=cells, project_id=7), row(3, Outcome.FAILED, cells={"title": "B"})).to_frame()
    assert frame["title"].tolist() == ["=A", "B"]
    assert frame["overrides"][0] == {"color": "#fff"}
    assert frame["outcome"].tolist() == ["created", "failed"]
    assert frame["project_id"].isna().tolist() == [False, True]


def test_the_frame_of_an_empty_batch_has_its_columns() -> None:
    assert list(report().to_frame().columns)[:3] == ["title", "line", "outcome"]


def test_a_report_survives_pickling() -> None:
    batch = report(row(2), row(3, Outcome.FAILED))
    assert pickle.loads(pickle.dumps(batch)) == batch
