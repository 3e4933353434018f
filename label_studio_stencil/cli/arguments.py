"""What the command line understands; the flow's parameters have the same names."""

import argparse
import math
from pathlib import Path
from typing import get_args

from label_studio_stencil.cli import commands
from label_studio_stencil.cli import emit as emitting
from label_studio_stencil.cli import remove as removing
from label_studio_stencil.cli import templates as templating
from label_studio_stencil.options import LONGEST_OUTAGE, MOST_AT_ONCE, FailWhen, Mode, Options
from label_studio_stencil.version import __version__


def parser() -> argparse.ArgumentParser:
    """The parser of the command `stencil`."""
    top = argparse.ArgumentParser(
        prog="stencil",
        description="Label Studio projects in bulk from templates: one project per row of a sheet, exactly one.",
        epilog="Label Studio is the one that LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY name; --sandbox needs neither. "
        "Exit codes: 0 all rows are well, 1 some are not, 2 nothing was done, 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"stencil {__version__}")
    verbs = top.add_subparsers(required=True, metavar="COMMAND")

    create = verbs.add_parser("create", help="create one project per row of a sheet")
    _sheet(create)
    _label_studio(create)
    _rows(create)
    _batch(create)
    create.add_argument("--verbose", action="store_true", help="show Prefect's log")
    create.set_defaults(command=commands.create)

    plan = verbs.add_parser("plan", help="show what each row is going to do, and write nothing")
    _sheet(plan)
    _label_studio(plan)
    _rows(plan)
    plan.set_defaults(command=commands.plan, output="", max_failures="", longest_outage=0.0)

    emit = verbs.add_parser(
        "emit", help="ask a Prefect server for the batch of a sheet, by an event: the deployment on-event runs it"
    )
    # What an event may set; the rest is the deployment's.
    _sheet(emit)
    _references(emit)
    _title(emit)
    _mode(emit)
    _dry_run(emit)
    _output(emit)
    emit.add_argument(
        "--credentials", default="", metavar="NAME", help="the Prefect block that names Label Studio and its token"
    )
    emit.set_defaults(command=emitting.emit)

    remove = verbs.add_parser(
        "remove", help="delete the projects that a batch made, as far as that can be proven; shows them without --yes"
    )
    remove.add_argument("results", metavar="RESULTS", help="the results.csv of the batch: a path or a URL")
    remove.add_argument("--yes", action="store_true", help="delete them, instead of showing what would be deleted")
    _label_studio(remove)
    remove.add_argument("--template", default="", metavar="REF", help="as the batch had it")
    remove.add_argument("--workspace", default="", metavar="REF", help="as the batch had it")
    remove.add_argument(
        "--folder",
        default="",
        metavar="DIR",
        help="folder of the batch's sheet, for the files that its rows name (default: that of RESULTS)",
    )
    _limits(remove)
    remove.set_defaults(command=removing.remove)

    check = verbs.add_parser("check", help="find what is wrong with a sheet; on Label Studio too, where one is named")
    _sheet(check)
    _label_studio(check)
    _rows(check)
    check.add_argument("--offline", action="store_true", help="ask no Label Studio")
    check.set_defaults(command=commands.check, max_failures="", longest_outage=0.0)

    _template(verbs.add_parser("template", help="templates: those of Label Studio, and files"))
    group = verbs.add_parser("workspace", help="Label Studio's workspaces").add_subparsers(
        required=True, metavar="list"
    )
    listing = group.add_parser("list", help="list Label Studio's workspaces")
    _label_studio(listing)
    listing.set_defaults(command=commands.workspace_list)

    sandbox = verbs.add_parser("sandbox", help="serve the sandbox, a stand-in for Label Studio Enterprise")
    sandbox.add_argument(
        "--port", type=_port, default=8095, metavar="P", help="port on 127.0.0.1; 0 picks one (default: 8095)"
    )
    sandbox.add_argument(
        "--data", type=Path, metavar="FILE", help="SQLite file to keep its projects in (default: none are kept)"
    )
    sandbox.add_argument("--token", metavar="T", help="the token that it accepts (default: a fixed one, printed)")
    sandbox.add_argument(
        "--latency-ms", type=_milliseconds, default=0.0, metavar="L", help="wait before each answer (default: 0)"
    )
    sandbox.add_argument(
        "--faults",
        metavar="SPEC",
        help="what goes wrong, for trials: a file of JSON, or for example 'lost-after=0.2,429=0.05,seed=7' "
        "(docs/sandbox.md)",
    )
    sandbox.set_defaults(command=commands.serve_sandbox)
    return top


def _template(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="list|show|preview|export|publish")
    listing = verbs.add_parser("list", help="list the templates of Label Studio: project templates and gallery")
    _label_studio(listing)
    listing.set_defaults(command=templating.show_all)

    show = verbs.add_parser("show", help="show what a template sets, and its variables")
    _reference(show)
    _label_studio(show)
    show.set_defaults(command=templating.show)

    preview = verbs.add_parser(
        "preview", help="print the labelling interface that a template makes of values or of a row"
    )
    _reference(preview)
    _variables(preview)
    preview.add_argument("--sheet", default="", metavar="SHEET", help="the sheet that --row is of")
    preview.add_argument("--row", type=int, default=0, metavar="N", help="line of the sheet; the header is line 1")
    _label_studio(preview)
    preview.set_defaults(command=templating.preview)

    export = verbs.add_parser("export", help="print a project as a template file")
    export.add_argument("project", metavar="PROJECT", help="id or title")
    _label_studio(export)
    export.set_defaults(command=templating.export)

    publish = verbs.add_parser("publish", help="make a project template of a template file (Enterprise)")
    publish.add_argument("reference", metavar="FILE", help="a template file without variables that need a value")
    publish.add_argument(
        "--workspace", required=True, metavar="REF", help="where the project that it is taken from is made"
    )
    _variables(publish)
    _label_studio(publish)
    publish.set_defaults(command=templating.publish)


def _reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="id, name, project:..., gallery:..., or a template file")


def _variables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE", help="a variable; may be repeated")


def _sheet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sheet",
        metavar="SHEET",
        help="CSV, TSV, JSON, Excel, OpenDocument or Parquet: a path, a URL, or - for standard input; "
        "book.xlsx#Projects names a worksheet",
    )
    parser.add_argument(
        "--encoding", default="", metavar="NAME", help="encoding of a text, such as windows-1251 (default: as it shows)"
    )
    parser.add_argument(
        "--worksheet", default="", metavar="NAME", help="worksheet of a workbook (default: the first that is visible)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _label_studio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sandbox", action="store_true", help="run on the embedded sandbox instead of a Label Studio")
    if not any("--json" in action.option_strings for action in parser._actions):
        parser.add_argument("--json", action="store_true", help="print JSON")


def _titles(parser: argparse.ArgumentParser) -> None:
    _title(parser)
    parser.add_argument(
        "--long-titles",
        choices=("error", "cut"),
        default="error",
        help="what happens to a title that is too long: an error, or cut to its beginning and a hash (default: error)",
    )


def _title(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--title",
        default="",
        metavar="PATTERN",
        help="titles of rows that have none, over the sheet's columns: '{customer} {year}-{batch:02d}'",
    )


def _references(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--template", default="", metavar="REF", help="template of the rows that name none")
    parser.add_argument("--workspace", default="", metavar="REF", help="workspace of the rows that name none")


def _defaults(parser: argparse.ArgumentParser) -> None:
    _references(parser)
    parser.add_argument(
        "--allow-unknown-fields", action="store_true", help="pass on settings that Stencil does not know yet"
    )


def _rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lines",
        default="",
        metavar="A-B",
        help="carry out these lines of the sheet alone, such as 2-500; the header is line 1 (default: all)",
    )
    _defaults(parser)
    _titles(parser)
    _mode(parser)
    parser.add_argument(
        "--skip-invalid", action="store_true", help="carry out the valid rows of a sheet with invalid ones"
    )
    parser.add_argument(
        "--allow-lookalikes",
        action="store_true",
        help="make a project though one exists whose title differs in case, blanks or invisible characters alone",
    )
    _limits(parser)


def _mode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mode",
        choices=get_args(Mode),
        default="create",
        help="what happens to a project that exists: left alone, or brought to the row's overrides (default: create)",
    )


def _dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show what each row is going to do, and write nothing")


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", default="", metavar="DIR", help="folder or URL for results.csv and failed.csv")


def _batch(parser: argparse.ArgumentParser) -> None:
    _dry_run(parser)
    _output(parser)
    parser.add_argument(
        "--max-failures",
        default="",
        metavar="N",
        help="stop when more rows than this fail: a number (10) or a share (5%%)",
    )
    parser.add_argument(
        "--longest-outage",
        type=_seconds,
        default=Options().longest_outage,
        metavar="SECONDS",
        help="how long Label Studio may be away before the batch stops; 0 does not wait for it (default: 600)",
    )
    parser.add_argument(
        "--fail-when",
        choices=get_args(FailWhen),
        default="any",
        help="which rows that need attention make the batch a failed one (default: any)",
    )


def _limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-concurrency",
        type=_concurrency,
        default=0,
        metavar="N",
        help="requests at once (default: 4; on Community 1)",
    )
    parser.add_argument(
        "--requests-per-second",
        type=_rate,
        default=-1.0,
        metavar="X",
        help="highest rate; 0 is none (default: 10 on the vendor's cloud hosts, none elsewhere)",
    )


def _concurrency(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"give a number from 1 to {MOST_AT_ONCE}")
    return number


def _rate(text: str) -> float:
    number = float(text)
    if not 0 <= number <= commands.FASTEST:
        raise argparse.ArgumentTypeError(f"give a number from 0 (no limit) to {commands.FASTEST}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number <= LONGEST_OUTAGE:
        raise argparse.ArgumentTypeError(f"give seconds from 0 to {LONGEST_OUTAGE}")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("give a port from 0 to 65535")
    return number


def _milliseconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError("give milliseconds, 0 or more")
    return number
