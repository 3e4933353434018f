"""The summary of a batch in Markdown, harmless and bounded whatever the rows hold.

Titles and error texts are untrusted. They are shown as plain text: tags, links, images and table borders in them have no
effect, and long ones are cut.
"""

import json
from collections.abc import Iterable, Sequence

from label_studio_stencil.codes import CODES
from label_studio_stencil.problems import ProblemGroup
from label_studio_stencil.report.escaping import REASON_LENGTH, defused, escape, web_address
from label_studio_stencil.report.masking import masked_error
from label_studio_stencil.report.outcomes import Outcome, RowReport
from label_studio_stencil.report.report import Report
from label_studio_stencil.report.summary import duration

#: Most bytes of the whole summary, in UTF-8.
MOST_BYTES = 200_000
#: Most rows that need attention, and most that are ok.
ROWS_NEED_ATTENTION = 100
ROWS_WELL = 200
NOTES = 50

_TITLE_LENGTH = 80
_VALUES_LENGTH = 200
_NOTE_LENGTH = 500
_ATTENTION_BYTES = 80_000
_PROJECTS_BYTES = 40_000
_UPDATES_BYTES = 25_000
_NOTES_BYTES = 25_000
#: Most codes whose remedies are shown.
_CODES = 10


def problem_table(groups: Iterable[ProblemGroup]) -> list[dict[str, str]]:
    """The first problems as rows of a table artifact, one for each cause, as many as fit into `MOST_BYTES`."""
    table: list[dict[str, str]] = []
    budget = MOST_BYTES
    for group in groups:
        problem = group.problems[0]
        row = {
            "line": group.lines,
            "column": defused(problem.column or "", _TITLE_LENGTH),
            "value": defused(group.values, _VALUES_LENGTH),
            "code": problem.code,
            "what to do": defused(group.text, _NOTE_LENGTH),
        }
        # With the separator.
        budget -= len(json.dumps(row)) + len(", ")
        if budget < 0:
            break
        table.append(row)
    return table


def markdown_summary(report: Report, limit: int = ROWS_NEED_ATTENTION, *, run: str = "") -> str:
    """The summary of a batch: counts and cost, rows that need attention, the projects with links, notes.

    Args:
        report: The report.
        limit: Most rows that need attention to show; the others are counted, and are in `failed.csv`.
        run: More about the run, as Markdown: how to run it again, and how it differs from the one before.

    Returns:
        Markdown of at most `MOST_BYTES` bytes.
    """
    sections = [
        f"# {escape(report.sentence)}",
        _needs_attention(report, limit),
        _what_to_do(report),
        run,
        _counts(report),
        _updates(report),
        _projects(report),
        _facts(report),
        _notes(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _counts(report: Report) -> str:
    lines = [
        f"| {outcome.shown(dry_run=report.dry_run)} | {count} |" for outcome, count in report.counts.items() if count
    ]
    return "\n".join(["| outcome | rows |", "| :-- | --: |", *lines, f"| all | {len(report.rows)} |"])


def _facts(report: Report) -> str:
    each = f" ({report.requests / report.attempted:.2f} a row)" if report.attempted else ""
    facts = {
        "sheet": escape(report.sheet),
        "Label Studio": _label_studio(report),
        "edition": escape(report.edition),
        "mode": escape(report.mode) + (", dry run: nothing was written" if report.dry_run else ""),
        "batch": escape(report.batch),
        "started": f"{report.started:%Y-%m-%d %H:%M:%S %Z}",
        "duration": f"{duration(report.seconds)} ({report.rate:.1f} rows a second)",
        "planned, written": f"{duration(report.planning)}, {duration(max(0.0, report.seconds - report.planning))}",
        "pauses that Label Studio asked for": f"{report.pauses}, together {duration(report.paused)}",
        "requests": f"{report.requests}{each}",
        "rows tried again": str(report.retries),
    }
    return "\n".join(["| | |", "| :-- | :-- |", *(f"| {name} | {value} |" for name, value in facts.items())])


def _label_studio(report: Report) -> str:
    address = escape(report.label_studio)
    if report.sandbox and "sandbox" not in report.label_studio:
        return f"embedded sandbox ({address})"
    return address


def _needs_attention(report: Report, limit: int) -> str:
    rows = report.needs_attention
    if not rows:
        return ""
    head = ["## Rows that need attention", "", "| line | title | project | outcome | error | reason |"]
    shown = _within(_ATTENTION_BYTES, (_attention_line(row) for row in rows[: max(limit, 0)]))
    table = [*head, "| --: | :-- | :-- | :-- | :-- | :-- |", *shown]
    return "\n".join([*table, *_more(len(rows) - len(shown), "failed.csv")])


def _attention_line(row: RowReport) -> str:
    code = escape(row.error_code, _TITLE_LENGTH)
    reason = escape(masked_error(row.error, row.cells), REASON_LENGTH)
    return f"| {row.line} | {_title(row)} | {_project(row)} | {row.outcome} | {code} | {reason} |"


def _what_to_do(report: Report) -> str:
    """What each of the errors asks for, once."""
    codes = dict.fromkeys(row.error_code for row in report.needs_attention)
    remedies = [f"- `{code}`: {escape(CODES[code].remedy, _NOTE_LENGTH)}" for code in codes if code in CODES]
    return "\n".join(["What to do:", "", *remedies[:_CODES]]) if remedies else ""


def _updates(report: Report) -> str:
    rows = [row for row in report.rows if row.outcome is Outcome.UPDATED and row.changes]
    if not rows:
        return ""
    lines = (
        f"| {row.line} | {_title(row)} | {escape('; '.join(map(str, row.changes)), _NOTE_LENGTH)} |"
        for row in rows[:ROWS_WELL]
    )
    shown = _within(_UPDATES_BYTES, lines)
    changed = "would change" if report.dry_run else "changed"
    table = ["## Updates", "", f"| line | title | {changed} |", "| --: | :-- | :-- |", *shown]
    return "\n".join([*table, *_more(len(rows) - len(shown), "")])


def _projects(report: Report) -> str:
    # In a dry run most have no address yet, but their outcomes are of interest.
    rows = [row for row in report.rows if row.outcome.ok and (row.project_url or report.dry_run)]
    if not rows:
        return ""
    lines = (
        f"| {row.line} | {_title(row)} | {_project(row)} | {row.outcome.shown(dry_run=report.dry_run)} |"
        for row in rows[:ROWS_WELL]
    )
    shown = _within(_PROJECTS_BYTES, lines)
    table = ["## Projects", "", "| line | title | project | outcome |", "| --: | :-- | :-- | :-- |", *shown]
    return "\n".join([*table, *_more(len(rows) - len(shown), "results.csv")])


def _notes(report: Report) -> str:
    notes = ([f"Stopped: {report.stopped}"] if report.stopped else []) + list(report.notes)
    if not notes:
        return ""
    shown = _within(_NOTES_BYTES, (f"- {escape(note, _NOTE_LENGTH)}" for note in notes[:NOTES]))
    return "\n".join(["## Notes", "", *shown, *_more(len(notes) - len(shown), "")])


def _title(row: RowReport) -> str:
    """The title, as a link if the project has an address."""
    title = escape(row.title, _TITLE_LENGTH) or "(no title)"
    return f"[{title}](<{url}>)" if (url := _address(row)) else title


def _project(row: RowReport) -> str:
    """The project's id, as a link if it has an address."""
    label = "project" if row.project_id is None else str(row.project_id)
    if url := _address(row):
        return f"[{label}](<{url}>)"
    return "" if row.project_id is None else label


def _address(row: RowReport) -> str:
    return web_address(row.project_url).replace("&", r"\&")


def _more(count: int, file: str) -> Sequence[str]:
    """The last line of a list that was cut."""
    return ["", f"... and {count} more" + (f": see {file}" if file else "")] if count > 0 else []


def _within(budget: int, lines: Iterable[str]) -> list[str]:
    """The first lines that fit into a number of bytes."""
    fitting = []
    for line in lines:
        budget -= len(line.encode()) + 1
        if budget < 0:
            break
        fitting.append(line)
    return fitting
