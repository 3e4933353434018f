"""A sandbox for each test, and a plain HTTP client that knows nothing of this project's own."""

from collections.abc import Iterator

import httpx
import pytest

from label_studio_sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Token {sandbox.token}"}
    # Nothing is encrypted on loopback, and the certificates take longer to load than a test to run.
    with httpx.Client(base_url=sandbox.url, headers=headers, verify=False) as client:
        yield client


@pytest.fixture
def anonymous(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, verify=False) as client:
        yield client
