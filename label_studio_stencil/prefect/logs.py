"""The log of a run, on a worker's console and in Prefect's UI."""

import functools
import logging

from prefect.logging.handlers import PrefectConsoleHandler


def set_up_consoles() -> None:
    """Have Prefect's consoles show names as they are, and outlive whoever reads them.

    Rich replaces words such as `:x:` in titles with pictures. And it ends the process where nobody reads its output any more: a
    run whose worker was killed would die of its next line (Prefect 3.9.1).
    """
    for name in ("", *logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler) and not isinstance(handler.console.print, functools.partial):
                handler.console.print = functools.partial(handler.console.print, emoji=False)  # type: ignore[method-assign]
                handler.console.on_broken_pipe = lambda: None  # type: ignore[method-assign]
