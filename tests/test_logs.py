"""What a worker's terminal shows of names in logs."""

import io
import logging

from prefect.logging.handlers import PrefectConsoleHandler

from label_studio_stencil.prefect.logs import set_up_logs


def test_names_in_logs_are_shown_as_they_are() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("stencil.tests.logs")
    handler = PrefectConsoleHandler(stream=stream)
    logger.addHandler(handler)
    try:
        set_up_logs()
        # A flow may be run twice in a process.
        set_up_logs()
        logger.error("Task run ':x: [red]x[/red]'")
    finally:
        logger.removeHandler(handler)
    assert ":x: [red]x[/red]" in stream.getvalue()
