"""The log of a run, on a worker's console and in Prefect's UI: some twenty lines, however many rows and task runs."""

import contextlib
import functools
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler

from label_studio_stencil.batch import Batch
from label_studio_stencil.problems import StencilError, counted, shortened, shown
from label_studio_stencil.redaction import visible
from label_studio_stencil.report.masking import masked_error
from label_studio_stencil.report.report import Report

P = ParamSpec("P")
R = TypeVar("R")

#: Most rows that need attention in the log; the summary and the table have the others.
MOST_ROWS = 8
#: Longest reason of a row in the log.
_REASON_LENGTH = 300
#: Beginnings of Prefect's own lines about a task run (3.9.1); a batch has a hundred of each kind.
_OF_TASK_RUNS = ("Finished in state", "Task run failed", "Crash detected!")

#: Whether the task runs of this flow run leave the log to the flow.
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


class _Quiet(logging.Filter):
    """Drops Prefect's lines about task runs of a batch; tracebacks of unexpected errors stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        expected = not record.exc_info or isinstance(record.exc_info[1], StencilError)
        return not (_quiet.get() and expected and record.getMessage().startswith(_OF_TASK_RUNS))


logging.getLogger("prefect.task_runs").addFilter(_Quiet())


def with_quiet_tasks(body: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Run the body of a flow so that its task runs log nothing about their ends."""

    @functools.wraps(body)
    async def quiet(*args: P.args, **kwargs: P.kwargs) -> R:
        with _quieted():
            return await body(*args, **kwargs)

    return quiet


@contextlib.contextmanager
def _quieted() -> Iterator[None]:
    # Apart from the wrapper, which `.serve()` sends to another process: a `ContextVar` can't be sent there.
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def set_up_logs() -> None:
    """Bring the library's own lines into the log of the run, and keep the console from harming it."""
    _send_library_to_runs()
    _set_up_consoles()


def _send_library_to_runs() -> None:
    """What `PREFECT_LOGGING_EXTRA_LOGGERS` would do, for whoever has not set it."""
    library = logging.getLogger("label_studio_stencil")
    if not any(isinstance(handler, APILogHandler) for handler in library.handlers):
        handler = APILogHandler()
        # Outside a run Prefect would warn about each line.
        handler.addFilter(lambda _: FlowRunContext.get() is not None or TaskRunContext.get() is not None)
        library.addHandler(handler)
    if library.level == logging.NOTSET and library.getEffectiveLevel() > logging.INFO:
        library.setLevel(logging.INFO)


def _set_up_consoles() -> None:
    """Make Prefect's consoles print names unchanged, and survive the end of their reader.

    Rich replaces words such as `:x:` in titles with emojis. It also ends the process if nobody reads its output any more: a
    run whose worker was killed would end at its next line (Prefect 3.9.1).
    """
    for name in ("", *logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler) and not isinstance(handler.console.print, functools.partial):
                handler.console.print = functools.partial(handler.console.print, emoji=False)  # type: ignore[method-assign]
                handler.console.on_broken_pipe = lambda: None  # type: ignore[method-assign]


def log_plan(batch: Batch) -> None:
    """Say on which Label Studio, at which pace, and what the plan is."""
    place, pacer = batch.label_studio, batch.label_studio.pacer
    rate = f", {pacer.rate:.3g} requests a second" if pacer.rate < float("inf") else ""
    logger = get_run_logger()
    logger.info(
        "%s (%s), %s at once%s", place.name, place.edition.value, counted(pacer.max_concurrency, "request"), rate
    )
    logger.info("Plan: %s", batch.intention)


def log_report(report: Report) -> None:
    """Name the rows that need attention, and sum up."""
    logger = get_run_logger()
    rows = report.needs_attention
    for row in rows[:MOST_ROWS]:
        reason = shortened(visible(" ".join(masked_error(row.error, row.cells).split())), _REASON_LENGTH)
        logger.warning("line %d, %s: %s: %s", row.line, shown(visible(row.title)), row.outcome, reason)
    if len(rows) > MOST_ROWS:
        logger.warning("... and %s: see the artifacts of the run.", counted(len(rows) - MOST_ROWS, "more row"))
    spent = f"{report.seconds:.1f} s, {counted(report.requests, 'request')}"
    pauses = f", {counted(report.pauses, 'pause')} of {report.paused:.1f} s" if report.pauses else ""
    (logger.info if report.ok else logger.error)("%s (%s%s)", report.sentence, spent, pauses)
