"""The outcomes of a batch in one line."""

from collections.abc import Mapping, Sequence

from label_studio_stencil.problems import shown
from label_studio_stencil.report.outcomes import Outcome, RowReport

#: Lines that the sentence names for each outcome that needs attention.
LINES_NAMED = 5


def count_outcomes(rows: Sequence[RowReport]) -> dict[Outcome, int]:
    """Number of rows by outcome, in the order of outcomes, zeros included."""
    counts = dict.fromkeys(Outcome, 0)
    for row in rows:
        counts[row.outcome] += 1
    return counts


def sentence(rows: Sequence[RowReport], *, dry_run: bool, stopped: str = "") -> str:
    """One line: `27 rows: 24 created, 1 exists, 2 failed (line 7, line 19)`."""
    counts = count_outcomes(rows)
    parts = [
        f"{count} {outcome.shown(dry_run=dry_run)}" + ("" if outcome.ok else f" ({_lines(rows, outcome)})")
        for outcome, count in counts.items()
        if count
    ]
    if rows and counts[Outcome.UNCHANGED] + counts[Outcome.EXISTS] == len(rows) and not any(row.steps for row in rows):
        parts.append("nothing to write" if dry_run else "nothing written")
    why = f"; stopped: {shown(stopped)}" if stopped else ""
    return f"{_rows(len(rows))}: {', '.join(parts) or 'nothing to do'}{why}"


def counts_text(counts: Mapping[Outcome, int], *, dry_run: bool) -> str:
    """`27 rows: 24 created, 3 failed`."""
    parts = [f"{counts[each]} {each.shown(dry_run=dry_run)}" for each in Outcome if counts.get(each)]
    return f"{_rows(sum(counts.values()))}: {', '.join(parts) or 'nothing to do'}"


def progress_text(done: int, total: int, counts: Mapping[Outcome, int]) -> str:
    """The progress of a batch in one line: `12 of 27 rows (44%): 11 created, 1 failed`."""
    share = 100 * done // total if total else 100
    parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts.get(outcome))
    return f"{done} of {_rows(total)} ({share}%)" + (f": {parts}" if parts else "")


def duration(seconds: float) -> str:
    """A duration for people: `4.2 s`, `3 min 12 s`, `1 h 4 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _lines(rows: Sequence[RowReport], outcome: Outcome) -> str:
    lines = [row.line for row in rows if row.outcome is outcome]
    named = ", ".join(f"line {line}" for line in lines[:LINES_NAMED])
    return named if len(lines) <= LINES_NAMED else f"{named} and {len(lines) - LINES_NAMED} more"
