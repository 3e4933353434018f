"""The Prefect UI in a browser, with all that stands behind it: a server, a worker, and the sandbox as Label Studio.

It needs Debian's `chromium`, or another Chromium or Chrome on PATH, which `make test-ui` sees to.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from label_studio_sandbox import Sandbox
from scripts.servers import prefect_server
from tests.browser import SECONDS, chromium
from tests.prefect.deployed import command, worker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/ui/" in item.path.as_posix():
            item.add_marker(pytest.mark.ui)


@pytest.fixture(scope="module")
def label_studio() -> Iterator[Sandbox]:
    """The sandbox that the worker's environment names as Label Studio."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def prefect_ui(label_studio: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the UI of a Prefect server that has the deployment `on-demand` and a worker."""
    with prefect_server(tmp_path_factory.mktemp("prefect-server"), ui=True) as api:
        environment = {
            **os.environ,
            "PREFECT_API_URL": api,
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": label_studio.token,
        }
        command(environment, "deployments.bootstrap", "--rate", "1000")
        command(environment, "prefect", "--no-prompt", "deploy", "--name", "on-demand")
        with worker(environment):
            yield api.removesuffix("/api")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, prefect_ui: str) -> Iterator[Page]:
    """The UI's first page, as somebody sees it who has never been there."""
    with browser.new_context(
        base_url=prefect_ui, viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC"
    ) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.goto("/")
        yield page
