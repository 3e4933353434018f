"""What the command line writes for a machine."""

import io
import json
from collections import Counter

import pytest

from label_studio_stencil.cli.display import Display
from label_studio_stencil.codes import CODES
from label_studio_stencil.problems import Problem
from label_studio_stencil.report.outcomes import Outcome, RowReport
from tests.report.reports import report, row


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((), id="no row"),
        pytest.param((row(2),), id="one"),
        pytest.param(
            (row(2), row(3, Outcome.FAILED, title='a "b"\n[] {}', error="no\nmore")), id="several, with line breaks"
        ),
    ],
)
def test_a_report_is_one_document_though_it_is_written_row_by_row(
    rows: tuple[RowReport, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    told = report(*rows)
    Display(machine=True).report(told)
    assert capsys.readouterr().out == json.dumps({"schema": 1, **told.to_json()}, ensure_ascii=False, indent=2) + "\n"


NASTY = "a\x1b[2J[red]x[/red] :x: \u202egpj.exe\u202c \r<b>"


def test_markup_pictures_and_control_characters_of_a_title_are_shown_as_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display()
    display.say(NASTY)
    display.error(NASTY)
    display.report(report(row(2, Outcome.FAILED, title="[red]x[/red] :x:", error=NASTY)))
    said = "".join(capsys.readouterr())
    assert said.count("[red]x[/red] :x:") == 4
    assert not {"\x1b", "\u202e", "\r", "❌"} & set(said)


def test_what_is_shown_has_no_secrets_of_urls(capsys: pytest.CaptureFixture[str]) -> None:
    Display().error("https://me:geheim@host/x?sig=geheim: no")
    assert "geheim" not in capsys.readouterr().err


def test_a_table_in_a_pipe_has_a_line_for_each_row_and_tabs_between_its_cells(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Display().table(("reference", "name"), [("1", "A long name " * 20), ("2", "Two\nlines\tand a tab")])
    assert capsys.readouterr().out == (
        "reference\tname\n" + "1\t" + ("A long name " * 20).strip() + "\n2\tTwo lines and a tab\n"
    )


class Terminal(io.StringIO):
    """A terminal that keeps what is written on it."""

    def isatty(self) -> bool:
        return True


def test_a_message_is_wrapped_between_words_on_a_terminal_and_not_at_all_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "a sentence of many words that is longer than this terminal is wide, and goes on and on " * 3
    Display().error(text)
    assert capsys.readouterr().err.count("\n") == 1
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "37")
    monkeypatch.setenv("NO_COLOR", "1")
    Display().error(text)
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 37
    assert " ".join(line.strip() for line in lines) == text.strip()


@pytest.mark.parametrize("width", [20, 50, 80])
def test_nothing_of_a_table_is_left_out_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    cells = ["12345", "would-be-updated", "evaluate_predictions_automatically"]
    Display().table(("line", "outcome", "details"), [cells])
    shown = Counter(terminal.getvalue())
    assert "…" not in shown
    assert all(shown[letter] >= many for letter, many in Counter("".join(cells)).items())


def test_the_hint_of_many_problems_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [
        Problem("not-a-colour", "color takes a colour.", line=2, column="color", value="red"),
        Problem("not-a-colour", "color takes no name.", line=3, column="color", value="blue"),
        Problem("title-too-long", "the title is long.", line=4, column="title", hint='Use `long_titles="cut"`.'),
    ]
    Display().problems("sheet.csv", problems)
    assert capsys.readouterr().err.splitlines() == [
        "sheet.csv: line 2, column color: 'red': color takes a colour. [not-a-colour]",
        f"  hint: {CODES['not-a-colour'].remedy}",
        "sheet.csv: line 3, column color: 'blue': color takes no name. [not-a-colour]",
        "sheet.csv: line 4, column title: the title is long. [title-too-long]",
        "  hint: Use `--long-titles cut`.",
    ]


def test_on_a_terminal_a_report_ends_after_some_rows_and_a_list_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    display = Display()
    display.report(report(*(row(line) for line in range(2, 102)), dry_run=True))
    assert terminal.getvalue().splitlines()[-1].startswith("... and 60 more rows; --json shows all")
    assert terminal.getvalue().count("would be created") == 1 + 40
    display.table(("code",), [(str(number),) for number in range(100)])
    assert terminal.getvalue().splitlines()[-1].strip() == "99"
