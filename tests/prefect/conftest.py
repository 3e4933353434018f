"""A Prefect server in a process of its own, for the whole session."""

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from label_studio_sandbox import Sandbox
from scripts.servers import prefect_server
from tests.prefect.deployed import deploy, name_block, worker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/prefect/" in item.path.as_posix():
            item.add_marker(pytest.mark.prefect)
            # Prefect's own clients leave connections to its server behind, one for each loop that a test runs.
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """What Prefect leaves behind goes before the tests of another module, which expect none of it.

    What it has to tell its server is told. Its threads end, which draw from the random source that Hypothesis seeds.
    """
    yield
    APILogWorker.drain_all(at_exit=False)
    EventsWorker.drain_all(at_exit=False)
    gc.collect()


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's API URL; flows that are called in the tests' own process talk to it."""
    with pytest.MonkeyPatch.context() as patch:
        # How often it looks for subflows of cancelled runs; by default every twenty seconds.
        patch.setenv("PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS", "2")
        yield from _prefect_api(tmp_path_factory)


def _prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        prefect_server(tmp_path_factory.mktemp("prefect-server")) as url,
        temporary_settings({PREFECT_API_URL: url}),
    ):
        yield url


@pytest.fixture(scope="module")
def deployments(prefect_api: str) -> None:
    """The deployments of prefect.yaml, as they are whatever the tests of another module have made of them."""
    deploy({**os.environ, "PREFECT_API_URL": prefect_api})


@pytest.fixture
def deployed(deployments: None, environment: dict[str, str]) -> Iterator[None]:
    """A worker that runs them on the sandbox."""
    with worker(environment):
        yield


@pytest.fixture
def environment(prefect_api: str, sandbox: Sandbox) -> dict[str, str]:
    """The environment of a process that works on the sandbox and the session's Prefect server; its block names the sandbox."""
    asyncio.run(name_block(sandbox))
    return {**os.environ, "PREFECT_API_URL": prefect_api}


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A fresh sandbox that the environment names as Label Studio."""
    with Sandbox(tmp_path / "sandbox.sqlite3", log_requests=True) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox
