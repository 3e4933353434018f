"""The parser of the command line. Its options are those of `label_studio_stencil.options`, with the same names."""

import argparse

from label_studio_sandbox.command import add_options
from label_studio_stencil.api import CheckOptions, CreateOptions, PlanOptions
from label_studio_stencil.cli import commands
from label_studio_stencil.cli import explain as explaining
from label_studio_stencil.cli import init as starting
from label_studio_stencil.cli import remove as removing
from label_studio_stencil.cli import submit as submitting
from label_studio_stencil.cli import templates as templating
from label_studio_stencil.cli.completion import bash_completion
from label_studio_stencil.cli.parser import Parser, add_command, add_flag, add_group, add_option_flags, shows_help
from label_studio_stencil.options import Options, RunOptions
from label_studio_stencil.version import __version__

#: Options of a batch that have no flags: other users of the machine would see the token.
_NO_FLAGS = frozenset({"url", "token", "headers"})
#: Options that only concern writing.
_OF_WRITING = frozenset({"dry_run", "max_failures", "longest_outage"})


def parser() -> Parser:
    """The parser of the command `stencil`."""
    top = Parser(
        prog="stencil",
        description="Create Label Studio projects in bulk from templates: exactly one project per row of a sheet.",
        epilog="`stencil init` writes an example to start with. LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, in the "
        "environment or in .env, set which Label Studio to use; --sandbox needs neither. "
        "Exit codes: 0 all rows are ok, 1 some need attention, 2 nothing was done, 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"stencil {__version__}")
    shows_help(top)
    verbs = top.add_subparsers(metavar="COMMAND")

    add_command(
        verbs,
        "init",
        starting.init,
        "write an example sheet, a template file and .env.example into this folder",
        "stencil init",
    )

    create = add_command(
        verbs,
        "create",
        commands.create,
        "create one project per row of a sheet",
        "stencil create sheet.csv --template ner.yaml --output results",
    )
    _sheet(create)
    add_option_flags(create, CreateOptions, without=_NO_FLAGS | {"fail_when"})
    create.add_argument("--verbose", action="store_true", help="show the log, including every request")

    plan = add_command(
        verbs,
        "plan",
        commands.plan,
        "show what would happen to each row, and write nothing",
        "stencil plan sheet.csv --mode update",
    )
    _sheet(plan)
    plan.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="exit with 0 if nothing would change, 2 if something would, and 1 if rows need attention or on any error",
    )
    add_option_flags(plan, PlanOptions, without=_NO_FLAGS | _OF_WRITING)

    check = add_command(
        verbs,
        "check",
        commands.check,
        "find the problems of a sheet; also ask Label Studio, if one is configured",
        "stencil check sheet.csv --offline",
    )
    _sheet(check)
    add_option_flags(check, CheckOptions, without=_NO_FLAGS | _OF_WRITING)

    submit = add_command(
        verbs,
        "submit",
        submitting.submit,
        "start a run on a Prefect server that creates the projects, and follow it",
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
    # Options that are not given are left to the deployment.
    add_option_flags(submit, RunOptions, without=frozenset(), default=argparse.SUPPRESS)

    remove = add_command(
        verbs,
        "remove",
        removing.remove,
        "delete the projects that a batch provably made; without --yes, only show them",
        "stencil remove results/results.csv --yes",
    )
    remove.add_argument("results", metavar="RESULTS", help="the results.csv of the batch: a path or a URL")
    remove.add_argument("--yes", action="store_true", help="delete the projects, instead of only showing them")
    _label_studio(remove)
    for name in ("template", "workspace"):
        remove.add_argument(f"--{name}", default="", metavar="REF", help=f"the --{name} of the batch, if it had one")
    remove.add_argument(
        "--folder",
        default="",
        metavar="DIR",
        help="folder of the batch's sheet, for files that its rows name (default: the one that RESULTS names)",
    )
    for name in ("max_concurrency", "requests_per_second"):
        add_flag(remove, Options, name)

    _template(
        add_group(verbs, "template", "work with Label Studio's templates and template files", "stencil template list")
    )
    group = add_group(
        verbs, "workspace", "look up the workspaces of Label Studio", "stencil workspace list"
    ).add_subparsers(metavar="list")
    listing = add_command(
        group, "list", commands.workspace_list, "list Label Studio's workspaces", "stencil workspace list"
    )
    _label_studio(listing)

    explain = add_command(
        verbs,
        "explain",
        explaining.explain,
        "explain a problem or error code, such as twins",
        "stencil explain title-too-long",
    )
    explain.add_argument(
        "code",
        nargs="?",
        default="",
        metavar="CODE",
        help="the code that a message shows in brackets; without it, all codes are listed",
    )
    explain.add_argument("--json", action="store_true", help="print JSON")

    sandbox = add_command(
        verbs,
        "sandbox",
        commands.serve_sandbox,
        "serve the sandbox, a stand-in for Label Studio Enterprise",
        "stencil sandbox --port 8095 --data sandbox.sqlite3",
    )
    add_options(sandbox)

    add_command(
        verbs,
        "completion",
        lambda _, display: display.say(bash_completion(top)) or 0,
        "print a script that completes commands and options in bash",
        'eval "$(stencil completion)"',
    )
    return top


def _template(parser: Parser) -> None:
    verbs = parser.add_subparsers(metavar="list|show|preview|export|publish")
    listing = add_command(
        verbs,
        "list",
        templating.show_all,
        "list the templates of Label Studio: project templates and gallery",
        "stencil template list",
    )
    _label_studio(listing)

    show = add_command(
        verbs, "show", templating.show, "show what a template sets, and its variables", "stencil template show ner.yaml"
    )
    _reference(show)
    _label_studio(show)

    preview = add_command(
        verbs,
        "preview",
        templating.preview,
        "print the labelling interface that a template gives a row",
        "stencil template preview ner.yaml --var 'labels=Party;Date'",
    )
    _reference(preview)
    _variables(preview)
    preview.add_argument("--sheet", default="", metavar="SHEET", help="sheet with the row to preview")
    preview.add_argument(
        "--row", type=int, default=0, metavar="N", help="line of the row in the sheet; the header is line 1"
    )
    _label_studio(preview)

    export = add_command(
        verbs,
        "export",
        templating.export,
        "print a project as a template file",
        "stencil template export 'Contracts North' > contracts.yaml",
    )
    export.add_argument("project", metavar="PROJECT", help="id or title of the project")
    _label_studio(export)

    publish = add_command(
        verbs,
        "publish",
        templating.publish,
        "make a project template from a template file (Enterprise)",
        "stencil template publish ner.yaml --workspace 'Legal Documents'",
    )
    publish.add_argument("reference", metavar="FILE", help="a template file; --var sets its variables")
    publish.add_argument(
        "--workspace", required=True, metavar="REF", help="workspace for the project that the template is made from"
    )
    _variables(publish)
    _label_studio(publish)


def _reference(parser: Parser) -> None:
    parser.add_argument("reference", metavar="REF", help="id, name, project:..., gallery:..., or a template file")


def _variables(parser: Parser) -> None:
    parser.add_argument(
        "--var", action="append", default=[], metavar="NAME=VALUE", help="a variable of the template; may be repeated"
    )


def _sheet(parser: Parser) -> None:
    parser.add_argument(
        "sheet",
        metavar="SHEET",
        help="CSV, TSV, JSON, Excel, OpenDocument or Parquet: a path, a URL, or - for standard input; "
        "book.xlsx#Projects names a worksheet",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _label_studio(parser: Parser) -> None:
    add_flag(parser, PlanOptions, "sandbox")
    parser.add_argument("--json", action="store_true", help="print JSON")
