"""How problems are shown to people: those of one cause as one, on the terminal, in messages and in the artifact."""

import asyncio
import json
from typing import Any

import pytest

from label_studio_stencil.cli.display import Display
from label_studio_stencil.prefect import artifacts as report_module
from label_studio_stencil.prefect.artifacts import show_problems
from label_studio_stencil.problems import InvalidSheet, Problem, grouped, listed

WORKSPACE = [
    Problem("workspace-on-community", "leave the column out.", line=line, column="workspace", value="Legal")
    for line in range(2, 602)
]
TOLD = "lines 2, 3, 4 and 597 more, column workspace: 'Legal': leave the column out. [workspace-on-community]"


def told(*problems: Problem) -> list[str]:
    return [str(group) for group in grouped(problems)]


def published(monkeypatch: pytest.MonkeyPatch, invalid: InvalidSheet) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    async def publish(table: list[dict[str, Any]], **_: object) -> None:
        rows.extend(table)

    monkeypatch.setattr(report_module, "acreate_table_artifact", publish)
    asyncio.run(show_problems(invalid, "label-studio.example.com"))
    return rows


def test_a_problem_of_600_rows_is_one_line() -> None:
    assert told(*WORKSPACE) == [TOLD]


def test_a_terminal_shows_one_line_and_a_machine_gets_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    Display().problems("s.csv", WORKSPACE)
    assert capsys.readouterr().err == f"s.csv: {TOLD}\n"
    Display(machine=True).problems("s.csv", WORKSPACE)
    assert [each["line"] for each in json.loads(capsys.readouterr().out)["problems"]] == list(range(2, 602))


def test_the_error_of_a_sheet_counts_all_problems_and_shows_each_cause_once() -> None:
    error = InvalidSheet("s.csv", WORKSPACE)
    assert str(error) == f"s.csv: 600 problems; nothing was created.\n  {TOLD}"
    assert len(error.problems) == 600


def test_the_artifact_has_one_row_for_each_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = published(monkeypatch, InvalidSheet("s.csv", WORKSPACE))
    assert (row["line"], row["value"], row["what to do"]) == (
        "2, 3, 4 and 597 more",
        "'Legal'",
        "leave the column out.",
    )


def test_how_a_refused_sheet_was_read_stands_above_its_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = ["The text was read as Windows-1252.", "Rows 2 are hidden.", "Rows 3 are hidden."]
    rows = published(monkeypatch, InvalidSheet("s.csv", [Problem("title-missing", "fill it.", line=2)], notes))
    assert [(row["line"], row["code"], row["what to do"]) for row in rows] == [
        *(("", "note", note) for note in notes),
        ("2", "title-missing", "fill it."),
    ]


def test_values_of_one_cause_are_shown_the_first_five_of_them() -> None:
    problems = [Problem("not-a-boolean", "takes true or false.", n, "pin", f"maybe {n % 7}") for n in range(2, 30)]
    (line,) = told(*problems)
    assert "column pin: 'maybe 2', 'maybe 3', 'maybe 4', 'maybe 5', 'maybe 6' and 2 more: takes true or false." in line


def test_a_message_that_differs_in_numbers_is_an_example() -> None:
    problems = [Problem("title-too-long", f"has {n} characters.", n, "title", "x" * 9) for n in (60, 71)]
    assert told(*problems) == [
        "lines 60 and 71, column title: 'xxxxxxxxx': for example, has 60 characters. [title-too-long]"
    ]


@pytest.mark.parametrize(
    "other",
    [
        Problem("b", "mend it.", 3, "title"),
        Problem("a", "mend it.", 3, "color"),
        Problem("a", "mend that.", 3, "title"),
        Problem("a", "mend it.", 2, "title"),
    ],
    ids=["code", "column", "message", "twice on a line"],
)
def test_what_has_another_cause_has_a_line_of_its_own(other: Problem) -> None:
    one = Problem("a", "mend it.", 2, "title")
    assert told(one, other) == [str(one), str(other)]


def test_no_more_than_200_causes_are_shown_and_the_rest_is_counted() -> None:
    problems = [Problem("a", "mend it.", 2, f"column {chr(0x4E00 + n)}") for n in range(250)]
    assert str(InvalidSheet("s.csv", problems)).endswith("\n  ... and 50 more problems")


def test_one_more_is_named_instead_of_counted() -> None:
    assert listed(["2", "3", "4", "5"], most=3) == "2, 3, 4 and 5"
    assert listed(["2", "3", "4", "5", "6"], most=3) == "2, 3, 4 and 2 more"
