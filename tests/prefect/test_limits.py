"""The global concurrency limit holds the rate of all runs together, whoever changes it."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from label_studio_sandbox import LoggedRequest, Sandbox
from label_studio_stencil.labelstudio.address import base_address, host_of
from label_studio_stencil.prefect.artifacts import SUMMARY_KEY, key_of
from label_studio_stencil.prefect.limits import limit_of
from tests.soak.batches import FLOW, reported, start

ROWS = 20


@pytest.fixture
async def no_limit_afterwards(prefect_api: str, sandbox: Sandbox) -> AsyncIterator[None]:
    """The session's server has none, so that no other test is held up."""
    yield
    async with get_client() as client:
        with contextlib.suppress(ObjectNotFound):
            await client.delete_global_concurrency_limit_by_name(limit_of(sandbox.url))


async def limit_to(sandbox: Sandbox, requests_per_second: int) -> None:
    """As a person does in the Prefect UI."""
    async with get_client() as client:
        await client.upsert_global_concurrency_limit_by_name(
            limit_of(sandbox.url), requests_per_second, slot_decay_per_second=requests_per_second
        )


def two_batches(folder: Path, name: str, environment: dict[str, str]) -> None:
    """Carry out two sheets in two processes at once."""
    batches = []
    for number in (1, 2):
        sheet = folder / f"{name} {number}.csv"
        rows = [f"{name} {number} {row},1,1" for row in range(ROWS)]
        sheet.write_text("\n".join(["title,template,workspace", *rows]), encoding="utf-8")
        batches.append(start(FLOW, sheet, environment))
    for batch in batches:
        with batch:
            assert reported(batch)["ok"]


def rate(requests: Sequence[LoggedRequest]) -> float:
    """Requests per second, from the first write to the last."""
    writes = [request.received_at for request in requests if request.method in ("POST", "PATCH")]
    return sum(writes[0] < request.received_at <= writes[-1] for request in requests) / (writes[-1] - writes[0])


@pytest.mark.parametrize(
    "url", ["http://[fe80::1%eth0]:8080", "http://[::1]", "https://studio.test/path", "http://b\u00fccher.test:8080"]
)
@pytest.mark.usefixtures("prefect_api")
async def test_prefect_takes_the_names_that_belong_to_a_label_studio(url: str) -> None:
    name = limit_of(base_address(url))
    async with get_client() as client:
        await client.upsert_global_concurrency_limit_by_name(name, 5, slot_decay_per_second=5)
        assert (await client.read_global_concurrency_limit_by_name(name)).name == name
        await client.delete_global_concurrency_limit_by_name(name)
    assert re.fullmatch("[a-z0-9-]+", key_of(SUMMARY_KEY, host_of(base_address(url))))


@pytest.mark.slow
@pytest.mark.usefixtures("no_limit_afterwards")
async def test_two_runs_at_once_share_one_rate_and_a_change_of_it_holds_for_the_next(
    prefect_api: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_api}
    rates = []
    for limit in (3, 60):
        await limit_to(sandbox, limit)
        before = len(sandbox.requests)
        await asyncio.to_thread(two_batches, tmp_path, f"at {limit}", environment)
        rates.append(rate(sandbox.requests[before:]))
    slow, fast = rates
    print(f"\nlimited to 3 and 60 requests per second: {slow:.1f} and {fast:.1f}")
    # A second's worth may go out at once at the beginning. How near they come to the limit is up to the machine.
    assert slow < 3 * 1.2
    assert slow * 1.2 < fast < 60 * 1.2
