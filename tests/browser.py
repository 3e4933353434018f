"""Chromium without a window, for the tests that look at a web page as a person does.

It needs Debian's `chromium`, or another Chromium or Chrome on PATH, which `make test-ui` and `make test-real` see to.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Prefect's UI and Label Studio's ask their makers' analytics for a configuration even where analytics are disabled.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
)

#: Seconds that a page may take to show what it has been asked for, on a busy machine.
SECONDS = 120


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, closed when the block ends."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert found, f"There is none of {', '.join(CHROMIUM)} on PATH: run `make test-ui`."
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found, args=FLAGS) as browser:
        yield browser
