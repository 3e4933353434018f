"""What the command line understands. Its options are those of `label_studio_stencil.options`, by the same names."""

import argparse
from collections.abc import Set as AbstractSet
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from label_studio_sandbox.command import add_options
from label_studio_stencil.api import CheckOptions, CreateOptions, PlanOptions
from label_studio_stencil.cli import commands
from label_studio_stencil.cli import explain as explaining
from label_studio_stencil.cli import init as starting
from label_studio_stencil.cli import remove as removing
from label_studio_stencil.cli import submit as submitting
from label_studio_stencil.cli import templates as templating
from label_studio_stencil.cli.completion import bash_completion
from label_studio_stencil.cli.display import Display
from label_studio_stencil.cli.parser import EXAMPLE, Parser
from label_studio_stencil.options import BadOption, Options, RunOptions, options_of
from label_studio_stencil.version import __version__

#: Options of a batch that a command line has no flags for: the token would be seen by others on the machine.
_NO_FLAGS = frozenset({"url", "token", "headers"})
#: Options that say something of writing.
_OF_WRITING = frozenset({"dry_run", "max_failures", "longest_outage"})
#: What stands for a value in the help, where that is not its type.
_METAVARS = {
    "template": "REF",
    "workspace": "REF",
    "title": "PATTERN",
    "lines": "A-B",
    "max_failures": "N",
    "max_concurrency": "N",
    "requests_per_second": "X",
    "longest_outage": "SECONDS",
    "encoding": "NAME",
    "worksheet": "NAME",
    "output": "DIR",
    "credentials": "NAME",
}


def parser() -> Parser:
    """The parser of the command `stencil`."""
    top = Parser(
        prog="stencil",
        description="Label Studio projects in bulk from templates: one project per row of a sheet, exactly one.",
        epilog="`stencil init` writes an example to start with. Label Studio is the one that LABEL_STUDIO_URL and "
        "LABEL_STUDIO_API_KEY name, in the environment or in .env; --sandbox needs neither. "
        "Exit codes: 0 all rows are ok, 1 some need attention, 2 nothing was done, 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"stencil {__version__}")
    _shows_help(top)
    verbs = top.add_subparsers(metavar="COMMAND")

    _command(
        verbs,
        "init",
        starting.init,
        "write an example sheet, a template file and .env.example into this folder",
        "stencil init",
    )

    create = _command(
        verbs,
        "create",
        commands.create,
        "create one project per row of a sheet",
        "stencil create sheet.csv --template ner.yaml --output results",
    )
    _sheet(create)
    _options(create, CreateOptions, without=_NO_FLAGS | {"fail_when"})
    create.add_argument("--verbose", action="store_true", help="show the log, every request included")

    plan = _command(
        verbs,
        "plan",
        commands.plan,
        "show what each row is going to do, and write nothing",
        "stencil plan sheet.csv --mode update",
    )
    _sheet(plan)
    plan.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="exit with 0 if there is nothing to do, 2 if there is, and 1 if rows need attention or anything is wrong",
    )
    _options(plan, PlanOptions, without=_NO_FLAGS | _OF_WRITING)

    check = _command(
        verbs,
        "check",
        commands.check,
        "find what is wrong with a sheet; on Label Studio too, where one is named",
        "stencil check sheet.csv --offline",
    )
    _sheet(check)
    _options(check, CheckOptions, without=_NO_FLAGS | _OF_WRITING)

    submit = _command(
        verbs,
        "submit",
        submitting.submit,
        "have a Prefect server create the projects of a sheet, and follow the run",
        "stencil submit sheet.csv --credentials label-studio",
    )
    _sheet(submit)
    submit.add_argument(
        "--deployment",
        default=submitting.DEPLOYMENT,
        metavar="FLOW/NAME",
        help=f"the deployment to run (default: {submitting.DEPLOYMENT})",
    )
    submit.add_argument("--no-wait", action="store_true", help="do not wait for the end of the run")
    # What is not given is the deployment's.
    _options(submit, RunOptions, without=frozenset(), default=argparse.SUPPRESS)

    remove = _command(
        verbs,
        "remove",
        removing.remove,
        "delete the projects that a batch made, as far as that can be proven; shows them without --yes",
        "stencil remove results/results.csv --yes",
    )
    remove.add_argument("results", metavar="RESULTS", help="the results.csv of the batch: a path or a URL")
    remove.add_argument("--yes", action="store_true", help="delete them, instead of showing what would be deleted")
    _label_studio(remove)
    for name in ("template", "workspace"):
        remove.add_argument(f"--{name}", default="", metavar="REF", help="as the batch had it")
    remove.add_argument(
        "--folder",
        default="",
        metavar="DIR",
        help="folder of the batch's sheet, for the files that its rows name (default: that of RESULTS)",
    )
    for name in ("max_concurrency", "requests_per_second"):
        _option(remove, Options, name)

    _template(
        _group(verbs, "template", "work with templates: those of Label Studio, and files", "stencil template list")
    )
    group = _group(
        verbs, "workspace", "look up the workspaces of Label Studio", "stencil workspace list"
    ).add_subparsers(metavar="list")
    listing = _command(
        group, "list", commands.workspace_list, "list Label Studio's workspaces", "stencil workspace list"
    )
    _label_studio(listing)

    explain = _command(
        verbs,
        "explain",
        explaining.explain,
        "explain the code of a problem or row, such as twins",
        "stencil explain title-too-long",
    )
    explain.add_argument(
        "code", nargs="?", default="", metavar="CODE", help="the code in brackets; without it, all are listed"
    )
    explain.add_argument("--json", action="store_true", help="print JSON")

    sandbox = _command(
        verbs,
        "sandbox",
        commands.serve_sandbox,
        "serve the sandbox, a stand-in for Label Studio Enterprise",
        "stencil sandbox --port 8095 --data sandbox.sqlite3",
    )
    add_options(sandbox)

    _command(
        verbs,
        "completion",
        lambda _, display: display.say(bash_completion(top)) or 0,
        "print a script that completes commands and options in bash",
        'eval "$(stencil completion)"',
    )
    return top


def _command(verbs: Any, name: str, command: Any, summary: str, example: str) -> Parser:
    made = _parser(verbs, name, summary, example)
    made.set_defaults(command=command, parser=made)
    return made


def _parser(verbs: Any, name: str, summary: str, example: str) -> Parser:
    sentence = f"{summary[0].upper()}{summary[1:]}."
    made: Parser = verbs.add_parser(name, help=summary, description=sentence, epilog=f"{EXAMPLE}  {example}")
    return made


def _group(verbs: Any, name: str, summary: str, example: str) -> Parser:
    made = _parser(verbs, name, summary, example)
    _shows_help(made)
    return made


def _shows_help(parser: Parser) -> None:
    """Have a parser show its help where no command is given."""

    def show(chosen: argparse.Namespace, display: Display) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(command=show, parser=parser)


def _options(parser: Parser, model: type[Options], *, without: AbstractSet[str], default: object = None) -> None:
    """A flag for each option of a batch."""
    for name in model.model_fields:
        if name not in without:
            _option(parser, model, name, default=default)


def _option(parser: Parser, model: type[Options], name: str, *, default: object = None) -> None:
    field: FieldInfo = model.model_fields[name]
    flag, words = f"--{name.replace('_', '-')}", str(field.description).replace("%", "%%")
    default = field.default if default is None else default
    if field.annotation is bool:
        action = argparse.BooleanOptionalAction if field.default else "store_true"
        parser.add_argument(flag, action=action, default=default, help=words)
        return
    if field.default and field.default != -1:
        words = f"{words.removesuffix('.')} (default: {field.default})"
    if get_origin(field.annotation) is Literal:
        parser.add_argument(flag, choices=get_args(field.annotation), default=default, help=words)
        return

    def value(text: str) -> object:
        try:
            return getattr(options_of(model, {name: text}), name)
        except BadOption as bad:
            raise argparse.ArgumentTypeError(bad.message.partition(": ")[2]) from None

    parser.add_argument(flag, type=value, default=default, metavar=_METAVARS[name], help=words)


def _template(parser: Parser) -> None:
    verbs = parser.add_subparsers(metavar="list|show|preview|export|publish")
    listing = _command(
        verbs,
        "list",
        templating.show_all,
        "list the templates of Label Studio: project templates and gallery",
        "stencil template list",
    )
    _label_studio(listing)

    show = _command(
        verbs, "show", templating.show, "show what a template sets, and its variables", "stencil template show ner.yaml"
    )
    _reference(show)
    _label_studio(show)

    preview = _command(
        verbs,
        "preview",
        templating.preview,
        "print the labelling interface that a template gives a row",
        "stencil template preview ner.yaml --var 'labels=Party;Date'",
    )
    _reference(preview)
    _variables(preview)
    preview.add_argument("--sheet", default="", metavar="SHEET", help="the sheet that --row is of")
    preview.add_argument("--row", type=int, default=0, metavar="N", help="line of the sheet; the header is line 1")
    _label_studio(preview)

    export = _command(
        verbs,
        "export",
        templating.export,
        "print a project as a template file",
        "stencil template export 'Contracts North' > contracts.yaml",
    )
    export.add_argument("project", metavar="PROJECT", help="id or title")
    _label_studio(export)

    publish = _command(
        verbs,
        "publish",
        templating.publish,
        "make a project template of a template file (Enterprise)",
        "stencil template publish ner.yaml --workspace 'Legal Documents'",
    )
    publish.add_argument("reference", metavar="FILE", help="a template file without variables that need a value")
    publish.add_argument(
        "--workspace", required=True, metavar="REF", help="where the project that it is taken from is made"
    )
    _variables(publish)
    _label_studio(publish)


def _reference(parser: Parser) -> None:
    parser.add_argument("reference", metavar="REF", help="id, name, project:..., gallery:..., or a template file")


def _variables(parser: Parser) -> None:
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE", help="a variable; may be repeated")


def _sheet(parser: Parser) -> None:
    parser.add_argument(
        "sheet",
        metavar="SHEET",
        help="CSV, TSV, JSON, Excel, OpenDocument or Parquet: a path, a URL, or - for standard input; "
        "book.xlsx#Projects names a worksheet",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _label_studio(parser: Parser) -> None:
    _option(parser, PlanOptions, "sandbox")
    parser.add_argument("--json", action="store_true", help="print JSON")
