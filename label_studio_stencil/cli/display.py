"""Output on the terminal or, with `--json`, one JSON document on standard output."""

import json
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from label_studio_stencil.codes import CODES
from label_studio_stencil.problems import MOST_SHOWN, Problem, StencilError, counted, grouped
from label_studio_stencil.redaction import redact, visible
from label_studio_stencil.report.outcomes import Outcome, RowReport
from label_studio_stencil.report.report import Report

#: Most rows of a report on a terminal; a pipe gets all.
MOST_ROWS = 40
_EVERY = 0.2
#: Version of the documents of `--json`: it grows when a key changes its meaning or is removed, but not when keys are added.
SCHEMA = 1

#: Environment variable that shows the traceback of an unexpected error.
TRACEBACK = "STENCIL_TRACEBACK"

#: Text is shown as it is: nothing in it is markup, or stands for a picture.
_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}

#: An option as messages name it, for Python callers: `mode="update"`, `sandbox=True`.
_OPTION = re.compile(r"`([a-z_]+)=([^`]*)`")


class Progress(NamedTuple):
    """Progress: rows done, rows in all, and a text."""

    done: int
    total: int
    text: str


class Display:
    """Results go to standard output, all else to standard error; on the sandbox every line says so.

    Attributes:
        began: When the command began, in seconds of the monotonic clock.
        code: The exit code once the command has done its work, even if printing its result fails; None before.
        nothing_done: The exit code of an error before anything was done.
        prefix: Text at the start of each line.
    """

    def __init__(
        self, *, sandbox: bool = False, machine: bool = False, began: float | None = None, nothing_done: int = 2
    ) -> None:
        self.machine = machine
        self.nothing_done = nothing_done
        self.began = time.monotonic() if began is None else began
        self.code: int | None = None
        self.prefix = "[sandbox] " if sandbox else ""
        # Lines are wrapped between words, and in a pipe not at all.
        self._out = Console(file=sys.stdout, soft_wrap=not sys.stdout.isatty(), **_PLAIN)
        self._err = Console(file=sys.stderr, soft_wrap=not sys.stderr.isatty(), **_PLAIN)

    def say(self, text: str) -> None:
        """Print a line of the result, unless the output is JSON."""
        if not self.machine:
            self._out.print(self._prefixed(text))

    def note(self, text: str) -> None:
        """Print a line about progress or circumstances."""
        self._err.print(self._prefixed(text), style="dim")

    def error(self, text: str, hint: str = "") -> None:
        """Print an error and, on a line of its own, a hint."""
        self._err.print(self._prefixed(as_typed(text)), style="red")
        if hint:
            self.hint(hint)

    def hint(self, text: str, *, indent: str = "") -> None:
        """Print a hint."""
        self._err.print(self._prefixed(f"{indent}hint: {as_typed(text)}"), style="cyan")

    def failure(self, error: Exception) -> None:
        """Show the error that ended a command and its hint, and on request the traceback of an unexpected one."""
        if isinstance(error, StencilError):
            self.error(f"error: {error.message}", error.hint)
            return
        if os.environ.get(TRACEBACK):
            self._err.print(redact("".join(traceback.format_exception(error))))
        reason = (str(error).splitlines() or [""])[0]
        self.error(f"error: {type(error).__name__}: {reason}", f"{TRACEBACK}=1 shows where it happened.")

    def json(self, document: Mapping[str, object]) -> None:
        """Print a JSON document."""
        sys.stdout.write(_as_json({"schema": SCHEMA, **document}) + "\n")

    def _json_report(self, report: Report) -> None:
        """Print a report as a JSON document, row by row, because it may have a hundred thousand rows."""
        start, _, end = _as_json({"schema": SCHEMA, **report.json_head(), "rows": []}).rpartition("[]")
        sys.stdout.write(start)
        for number, row in enumerate(report.json_rows()):
            sys.stdout.write(f"{',' if number else '['}\n{_as_json(row)}".replace("\n", "\n    "))
        sys.stdout.write(("\n  ]" if report.rows else "[]") + end + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, most: int | None = None) -> None:
        """Print a table of at most `most` rows on a terminal; in a pipe, all rows with tabs between the cells."""
        if self.machine:
            return
        if not self._out.is_terminal:
            for row in (columns, *rows):
                sys.stdout.write("\t".join(map(_one_line, row)) + "\n")
            return
        # A word that is wider than its column goes on in the next line: half a code or name is none.
        headers = (Column(name, overflow="fold") for name in columns)
        table = Table(*headers, box=None, pad_edge=False, header_style="bold")
        for row in rows[:most]:
            table.add_row(*(_one_line(cell) for cell in row))
        self._out.print(table, soft_wrap=False)
        if most is not None and len(rows) > most:
            self.say(f"... and {counted(len(rows) - most, 'more row')}; --json shows all, and so does a pipe.")

    def problems(self, sheet: str, problems: Sequence[Problem], notes: Sequence[str] = ()) -> None:
        """Print the problems of a sheet and notes on how it was read, as lines or as JSON."""
        if self.machine:
            keys = ("line", "column", "value", "code", "message", "hint")
            told = [{key: getattr(each, key) for key in keys} for each in problems]
            self.json({"sheet": sheet, "problems": told, "notes": list(notes)})
            return
        for note in notes if problems else ():
            self.note(f"{sheet}: {as_typed(note)}")
        groups, known = grouped(problems), set()
        for group in groups[:MOST_SHOWN]:
            self.error(f"{sheet}: {group.without_hint}")
            code = group.problems[0].code
            hint = group.hint or (CODES[code].remedy if code in CODES else "")
            # The same hint for many problems is printed once.
            if hint and hint not in known:
                self.hint(hint, indent="  ")
            known.add(hint)
        if rest := sum(len(group.problems) for group in groups[MOST_SHOWN:]):
            self.error(f"... and {counted(rest, 'more problem')}")

    def report(self, report: Report) -> None:
        """Print the rows that need attention and the counts; for a plan, the counts and then all rows, those first."""
        if self.machine:
            self._json_report(report)
            return
        # Rows that the batch did not reach before it stopped are counted, not listed: nothing is wrong with them.
        bad = [row for row in report.rows if not row.outcome.ok and not _not_reached(row)]
        rows = bad + ([row for row in report.rows if row.outcome.ok] if report.dry_run else [])
        requests = counted(report.requests, "request")
        counts = f"{report.sentence} ({report.seconds:.1f} s, {requests}, {report.label_studio})"
        if report.dry_run:
            self.say(counts)
            self._notes(report)
        if rows:
            self.table(
                ("line", "outcome", "title", "workspace", "project", "details"),
                [_cells(row, dry_run=report.dry_run) for row in rows],
                most=MOST_ROWS,
            )
        if not report.dry_run:
            self._notes(report)
            self.say(counts)

    def _notes(self, report: Report) -> None:
        for note in report.notes:
            if note != report.output_error:
                self.say(as_typed(note))

    @contextmanager
    def progress(self, progress: Callable[[], Progress | None]) -> Iterator[None]:
        """Show a live bar at a terminal while the block runs.

        Args:
            progress: How far it is; `None` while that can't be told.
        """
        if self.machine or not self._err.is_terminal:
            yield
            return
        bar = rich.progress.Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._err,
            transient=True,
        )
        over = threading.Event()

        def watch() -> None:
            line = bar.add_task(self._prefixed("planning"), total=None)
            while not over.wait(_EVERY):
                if now := progress():
                    bar.update(line, completed=now.done, total=now.total, description=self._prefixed(now.text))

        watcher = threading.Thread(target=watch, daemon=True)
        with bar:
            watcher.start()
            try:
                yield
            finally:
                over.set()
                watcher.join()

    def _prefixed(self, text: str) -> str:
        # Lines end at \n alone: what else ends one for Python is shown.
        return "\n".join(self.prefix + visible(line) for line in redact(text).split("\n"))


def as_typed(text: str) -> str:
    """The text with options as they are typed: `--mode update` for `mode="update"`, `--sandbox` for `sandbox=True`."""

    def typed(found: re.Match[str]) -> str:
        name, value = found[1].replace("_", "-"), found[2].strip("\"'")
        return f"`--{name}`" if value == "True" else f"`--{name} {value}`"

    return _OPTION.sub(typed, text)


def _as_json(document: object) -> str:
    # Half characters, which JSON lines can smuggle in, have no UTF-8; their escape is JSON too.
    return json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace").decode()


def _not_reached(row: RowReport) -> bool:
    return row.outcome is Outcome.UNPROCESSED and row.project_id is None


def _cells(row: RowReport, *, dry_run: bool) -> tuple[str, ...]:
    project = "" if row.project_id is None else str(row.project_id)
    details = as_typed(f"{row.error} [{row.error_code}]") if row.error else "; ".join(map(str, row.changes))
    return (str(row.line), row.outcome.shown(dry_run=dry_run), row.title, row.workspace, project, details)


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
