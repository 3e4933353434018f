"""Writes the pages of docs/reference from the code: `make reference`.

A test compares the pages with the code, and each of these functions refuses an entry without a text.
"""

import argparse
import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin
from unittest.mock import patch

from prefect import Flow

from label_studio_sandbox import Sandbox
from label_studio_stencil import prefect as public
from label_studio_stencil.api import CheckOptions, CreateOptions, PlanOptions, label_studio_of
from label_studio_stencil.batch import prepare
from label_studio_stencil.cli.arguments import parser
from label_studio_stencil.codes import SUBJECTS, Code
from label_studio_stencil.plans.targets import check
from label_studio_stencil.prefect import events
from label_studio_stencil.prefect.sheet_ready import Payload
from label_studio_stencil.problems import StencilError
from label_studio_stencil.removal.report import RemovalOutcome
from label_studio_stencil.report.outcomes import Outcome, RowReport
from label_studio_stencil.report.report import ADDED_COLUMNS, FOLDER_COLUMN, Report
from label_studio_stencil.rows.fields import FIELDS, parts_of
from label_studio_stencil.rows.overrides import AssignmentSettings, ReviewSettings
from label_studio_stencil.rows.values import Kind
from label_studio_stencil.settings import VARIABLES
from label_studio_stencil.sheet.sources import read_sheet

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"


class NoText(StencilError):
    """A command, option, setting, code or column has no text that explains it."""


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The pages by the names of their files.

    Raises:
        NoText: Something on a page is not explained.
    """
    made: dict[str, Callable[[], Iterable[str]]] = {
        "codes.md": codes,
        "command-line.md": command_line,
        "events.md": event_examples,
        "outcomes.md": outcomes,
        "parameters.md": parameters,
        "settings.md": settings,
    }
    note = "<!-- Written by `make reference` from the code: change it there. -->"
    return {name: "\n\n".join([note, *page()]).strip() + "\n" for name, page in made.items()}


def codes() -> Iterator[str]:
    """Every code of a problem or a row, with its entry."""
    yield "# Problem and error codes"
    yield (
        "Each problem with a sheet and each row that needs attention has a code. `stencil explain CODE` prints its entry. "
        "The sheets below have the template `Sentiment Analysis` and the workspace `Customer Feedback`."
    )
    for subject, entries in SUBJECTS.items():
        yield f"## {subject}"
        for entry in entries:
            yield f"### {entry.code}"
            yield explained(entry.title, entry.code)
            yield explained(entry.why, entry.code)
            yield from _example(entry)
            yield f"**What to do:** {explained(entry.remedy, entry.code)}"


def _example(entry: Code) -> Iterator[str]:
    if entry.example:
        yield f"**Example:** {entry.example}"
    for name, text in {"": entry.sheet, **entry.files}.items() if entry.sheet else ():
        # An invisible character is shown by its escape.
        shown = text.replace("\u200b", "\\u200b")
        language = name.rpartition(".")[2] or ("json" if text[0] in "[{" else "csv")
        if name:
            yield f"`{name}`:"
        yield f"```{language}\n{shown}\n```"


def command_line() -> Iterator[str]:
    """Every command with its options, and the environment."""
    top = parser()
    yield "# Commands, options and environment"
    yield f"{explained(str(top.description), 'stencil')} {top.epilog}"
    yield "[Command line](../command-line.md) is the guide."
    for name, each in _commands(top, "stencil"):
        yield f"## {name}"
        yield explained(str(each.description or ""), name)
        actions = [action for action in each._actions if not isinstance(action, argparse._HelpAction)]
        needed = [_argument(action) for action in actions if action.required or not action.option_strings]
        yield f"```console\n$ {' '.join([name, *needed, '[options]'])}\n```"
        yield table(("argument or option", "meaning"), [(f"`{_spelt(action)}`", _help(action)) for action in actions])
    yield "## Environment"
    yield table(("variable", "meaning"), [(f"`{name}`", text) for name, text in VARIABLES.items()])


def _commands(top: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    groups = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    for verb, each in (pair for group in groups for pair in group.choices.items()):
        yield from _commands(each, f"{name} {verb}")
    if not groups:
        yield name, top


def _argument(action: argparse.Action) -> str:
    return f"[{action.metavar}]" if action.nargs == "?" else _spelt(action)


def _spelt(action: argparse.Action) -> str:
    """An option with its value: `--lines A-B`, `--mode {create,update}`."""
    if not action.option_strings:
        return str(action.metavar)
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    return f"{', '.join(action.option_strings)} {value}".strip()


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith(".") else f"{text}."


def parameters() -> Iterator[str]:
    """Every parameter of the flows, and every keyword of the functions."""
    yield "# Parameters of flows and functions"
    yield "The command line has the same options: `--max-failures` is `max_failures`."
    for flow in (each for name in public.__all__ if isinstance(each := getattr(public, name), Flow)):
        yield f"## The flow {flow.name}"
        yield explained((inspect.getdoc(flow.fn) or "").partition("\n")[0], flow.name)
        yield table(("parameter", "default", "meaning"), list(_flow_parameters(flow)))
    yield "## The functions create, plan and check"
    yield "`plan` takes neither `output` nor `fail_when`; `check` takes `offline`."
    fields = {**PlanOptions.model_fields, **CreateOptions.model_fields, **CheckOptions.model_fields}
    fields["fail_when"] = CreateOptions.model_fields["fail_when"]
    rows = [(f"`{name}`", _default(field.default), field.description or "") for name, field in fields.items()]
    yield table(("keyword", "default", "meaning"), rows)


def _flow_parameters(flow: Flow[..., Any]) -> Iterator[tuple[str, str, str]]:
    schema = flow.parameters
    for name, field in schema.properties.items():
        default = "required" if name in schema.required else _default(field.get("default"))
        yield f"`{name}`", default, " ".join(str(field.get("description", "")).split())


def _default(value: object) -> str:
    empty = value in ("", None) or not str(value).strip("*")
    return "" if empty else f"`{json.dumps(value, default=str)}`"


def settings() -> Iterator[str]:
    """Every project setting that a row may override."""
    yield "# Project settings"
    yield (
        "Each setting is a column of the sheet, a key of the column `overrides`, and a key of a template file. Settings "
        "without `yes` exist only in Label Studio Enterprise; on Community, a row that sets one is an error."
    )
    rows = []
    for facts in FIELDS.values():
        default = "" if facts.default is None else f"`{json.dumps(facts.default)}`"
        rows.append((f"`{facts.name}`", facts.allowed, default, "" if facts.enterprise_only else "yes", facts.help))
    yield table(("setting", "takes", "default", "Community", "meaning"), rows)
    for name, model in (("assignment_settings", AssignmentSettings), ("review_settings", ReviewSettings)):
        yield f"## Keys of {name}"
        keys = [(f"`{key}`", _takes(info.annotation)) for key, info in model.model_fields.items()]
        yield table(("key", "takes"), keys)


def _takes(annotation: object) -> str:
    """The values that a key of a settings object takes."""
    base, *marks = parts_of(annotation)
    if get_origin(base) is list:
        return f"a list of these: {_takes(*get_args(base)).removeprefix('one of: ')}"
    if isinstance(base, type) and issubclass(base, StrEnum):
        return f"one of: {', '.join(base)}"
    return next(mark.value for mark in marks if isinstance(mark, Kind))


def outcomes() -> Iterator[str]:
    """Every outcome, and every column of `results.csv`."""
    yield "# Outcomes and result files"
    yield "## Outcomes of rows"
    yield _outcomes(Outcome)
    yield "## Columns of results.csv"
    yield "The columns of the sheet come first, with passwords masked. `failed.csv` has only the columns of the sheet."
    meanings = attributes(RowReport)
    meanings[FOLDER_COLUMN] = attributes(Report)["folder"]
    yield table(
        ("column", "meaning"), [(f"`{name}`", meanings.get(name, "")) for name in (*ADDED_COLUMNS, FOLDER_COLUMN)]
    )
    yield "## Outcomes of a removal"
    yield "`stencil remove` gives each row of the results one of these outcomes."
    yield _outcomes(RemovalOutcome)


def _outcomes(kind: type[Outcome] | type[RemovalOutcome]) -> str:
    meanings = attributes(kind)
    rows = [(f"`{each}`", "ok" if each.ok else "needs attention", meanings.get(each.name, "")) for each in kind]
    return table(("outcome", "", "meaning"), rows)


def attributes(kind: type) -> dict[str, str]:
    """What the docstring of a class says about each attribute."""
    _, _, text = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, flags=re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def event_examples() -> Iterator[str]:
    """What an event may set, and an example of each event that is sent."""
    yield "# Events"
    yield "## stencil.sheet.ready"
    yield (
        "This event starts a run of the flow on-event. Its payload has one source of rows: `sheet`, `csv_text` or `rows`. It "
        "may have the other fields too."
    )
    rows = [(f"`{name}`", text) for name, text in attributes(Payload).items()]
    yield table(("field of the payload", "meaning"), rows)
    yield "## Events that are sent"
    yield "Stencil sends events when the batch is over. A dry run sends none, and a run that crashes sends none either."
    for name, event in asyncio.run(_events()).items():
        yield f"### {name}"
        yield explained(_EVENTS.get(name, ""), name)
        yield f"```json\n{json.dumps(event, indent=2)}\n```"


_EVENTS = {
    events.PROJECT_CREATED: "One for each project that was created, unless `project_events` is off or there are more than "
    f"{events.MOST_PROJECT_EVENTS:,}.",
    events.BATCH_COMPLETED: "All rows are ok.",
    events.BATCH_FAILED: "Some rows need attention. If the batch ended before its first row, the resource is "
    "`stencil.batch.none`, and `sentence` says why.",
}


async def _events() -> dict[str, dict[str, Any]]:
    """An example of each event, as a batch on the sandbox sends it."""
    sent: dict[str, dict[str, Any]] = {}

    def emit(event: str, **parts: Any) -> None:
        sent[event] = {"event": event, **parts}

    with Sandbox() as sandbox, patch.object(events, "emit_event", emit):
        options = PlanOptions(url=sandbox.url, token=sandbox.token)
        rows = b"title,template,workspace\nReviews January,Sentiment Analysis,Customer Feedback\n"
        checked = check(read_sheet(rows, name="projects.csv"), options)
        async with label_studio_of(options) as label_studio:
            batch = await prepare(checked, options, label_studio)
            await batch.carry_out()
            report = batch.report()
        events.announce_projects(batch, report)
        events.announce(batch, report)
        events.announce_refusal("projects.csv", StencilError("projects.csv: 2 problems; nothing was created."))
    shown: dict[str, dict[str, Any]] = json.loads(
        re.sub(r'("seconds": )[\d.]+', r"\g<1>0.4", json.dumps(sent))
        .replace(sandbox.url, "https://label-studio.example.com")
        .replace(sandbox.url.partition("://")[2], "label-studio.example.com")
        .replace(report.batch, "5f0c8a1e")
    )
    return shown


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the last cell of each row is its explanation.

    Raises:
        NoText: A row has none.
    """
    lines = [head, ["---"] * len(head)]
    lines += [[*cells[:-1], explained(cells[-1], cells[0])] for cells in rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines)


def explained(text: str, what: str) -> str:
    """The text.

    Raises:
        NoText: It is empty.
    """
    if not text.strip():
        raise NoText(f"{what} has no text that explains it")
    return text


if __name__ == "__main__":
    main()
