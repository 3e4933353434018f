"""An argument parser whose messages end in a hint, and how commands and options are added to it."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic.fields import FieldInfo

from label_studio_stencil.cli.display import Display
from label_studio_stencil.options import BadOption, Options, options_of


class _Formatter(argparse.HelpFormatter):
    """Keeps the lines of an example as they are typed."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(EXAMPLE) else super()._fill_text(text, width, indent)


#: Begins the examples of a command.
EXAMPLE = "example:\n"


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest command or option for an unknown one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **settings)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse all arguments, or exit with an error message of their command."""
        chosen, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser: Parser = chosen.parser
            parser._end(
                f"unrecognized arguments: {' '.join(unknown)}",
                _near(unknown[0].partition("=")[0], parser._option_string_actions),
            )
        return chosen

    def error(self, message: str) -> NoReturn:
        """Exit with an error message, without a list of all options."""
        self._end(message)

    def _end(self, message: str, hint: str = "") -> NoReturn:
        message, _, more = message.partition(_HINT)
        hint = hint or more or f"`{self.prog} --help` shows all options."
        self.exit(2, f"error: {message}\nhint: {hint}\n")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)  # what argparse itself calls
        except argparse.ArgumentError as error:
            if isinstance(error.__context__, argparse.ArgumentTypeError):
                raise
            kind = "a whole number" if action.type is int else "a number"
            raise argparse.ArgumentError(action, f"{arg_string!r} is not {kind}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(each) for each in action.choices]
            what = "command " if isinstance(action, argparse._SubParsersAction) else ""
            named = None if what else action
            hint = _near(str(value), names) or f"`{self.prog} --help` shows all {what.strip() or 'choice'}s."
            raise argparse.ArgumentError(named, f"there is no {what}{value!r}{_HINT}{hint}")


#: Separates the hint in a message of argparse, which has no separate place for one.
_HINT = "\nhint: "


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]}?" if close else f"Choose from {', '.join(names)}." if len(names) < 10 else ""


#: Names of values in the help, if they differ from the type.
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


def add_command(verbs: Any, name: str, command: Any, summary: str, example: str) -> Parser:
    """Add a command: the function that carries it out, a sentence, and an example."""
    made = _parser(verbs, name, summary, example)
    made.set_defaults(command=command, parser=made)
    return made


def _parser(verbs: Any, name: str, summary: str, example: str) -> Parser:
    sentence = f"{summary[0].upper()}{summary[1:]}."
    made: Parser = verbs.add_parser(name, help=summary, description=sentence, epilog=f"{EXAMPLE}  {example}")
    return made


def add_group(verbs: Any, name: str, summary: str, example: str) -> Parser:
    """Add a group of commands, which shows its help if no command is given."""
    made = _parser(verbs, name, summary, example)
    shows_help(made)
    return made


def shows_help(parser: Parser) -> None:
    """Make a parser show its help if no command is given."""

    def show(chosen: argparse.Namespace, display: Display) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(command=show, parser=parser)


def add_option_flags(
    parser: Parser, model: type[Options], *, without: AbstractSet[str], default: object = None
) -> None:
    """Add a flag for each option of a batch."""
    for name in model.model_fields:
        if name not in without:
            add_flag(parser, model, name, default=default)


def _as_help(description: str) -> str:
    """Write a description as argparse writes its own: it begins in lower case, and has no full stop at its end."""
    return (description[:1].lower() + description[1:]).removesuffix(".").replace("%", "%%")


def add_flag(parser: Parser, model: type[Options], name: str, *, default: object = None) -> None:
    """Add the flag of one option, with its description, its choices and its default."""
    field: FieldInfo = model.model_fields[name]
    flag, words = f"--{name.replace('_', '-')}", _as_help(str(field.description))
    default = field.default if default is None else default
    if field.annotation is bool:
        action = argparse.BooleanOptionalAction if field.default else "store_true"
        parser.add_argument(flag, action=action, default=default, help=words)
        return
    if field.default:
        words = f"{words} (default: {field.default})"
    if get_origin(field.annotation) is Literal:
        parser.add_argument(flag, choices=get_args(field.annotation), default=default, help=words)
        return

    def value(text: str) -> object:
        try:
            return getattr(options_of(model, {name: text}), name)
        except BadOption as bad:
            raise argparse.ArgumentTypeError(f"{text!r}: {bad.message.partition(': ')[2]}") from None

    parser.add_argument(flag, type=value, default=default, metavar=_METAVARS[name], help=words)
