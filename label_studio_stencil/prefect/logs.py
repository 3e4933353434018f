"""What a worker's terminal shows of the logs."""

import functools
import logging

from prefect.logging.handlers import PrefectConsoleHandler


def show_names_as_they_are() -> None:
    """Have Prefect's console show what is logged as it is: Rich would make pictures of words such as `:x:` in titles."""
    for name in ("", *logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler) and not isinstance(handler.console.print, functools.partial):
                handler.console.print = functools.partial(handler.console.print, emoji=False)  # type: ignore[method-assign]
