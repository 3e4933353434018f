"""An argument parser whose messages end in a hint, and whose help shows an example."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn


class _Formatter(argparse.HelpFormatter):
    """Keeps the lines of an example as they are typed."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(EXAMPLE) else super()._fill_text(text, width, indent)


#: Begins the examples of a command.
EXAMPLE = "example:\n"


class Parser(argparse.ArgumentParser):
    """A parser that names the nearest command or option where there is none by a name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **settings)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse all arguments, or end with a message of the command that they are for."""
        chosen, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser: Parser = chosen.parser
            parser._end(
                f"unrecognized arguments: {' '.join(unknown)}",
                _near(unknown[0].partition("=")[0], parser._option_string_actions),
            )
        return chosen

    def error(self, message: str) -> NoReturn:
        """End with a message, without a list of all options before it."""
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
            raise argparse.ArgumentError(named, f"there is no {what}{value!r}{_HINT}{_near(str(value), names)}")


#: Stands before the hint in a message of argparse, which has no place for one.
_HINT = "\nhint: "


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]}?" if close else f"Choose from {', '.join(names)}." if len(names) < 10 else ""
