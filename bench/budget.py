"""Counts what batches ask of Prefect's API: `make budget` prints the table of docs/prefect-cloud.md.

A Prefect server with the limit that bootstrap makes, the sandbox as Label Studio, and the flow in this process. Prefect Cloud
counts each HTTP request, and each log line and event that is sent.
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import httpx
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.bootstrap import RATE
from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.limits import limit_of
from scripts.servers import prefect_server
from tests.soak.batches import write_sheet

ROWS = (100, 1_000, 5_000)
#: Seconds that a Prefect server may take to store the events that it was sent.
STORED = 60.0


@dataclass
class Budget:
    """What a batch cost.

    Attributes:
        requests: When each request to Prefect's API was sent, in seconds.
        logs: Log lines.
        events: Events.
    """

    requests: list[float] = field(default_factory=list)
    logs: int = 0
    events: int = 0

    @property
    def most_in_a_minute(self) -> int:
        """Requests in the busiest minute."""
        return max(sum(start <= each < start + 60 for each in self.requests) for start in self.requests)


@contextlib.asynccontextmanager
async def counted() -> AsyncIterator[Budget]:
    """Count the requests and log lines that this process sends to Prefect's API; those of the block arrive before its end."""
    budget = Budget()
    api = str(PREFECT_API_URL.value())

    def count(request: httpx.Request) -> None:
        if str(request.url).startswith(api):
            budget.requests.append(time.monotonic())
            if request.url.path.endswith("/logs/"):
                budget.logs += len(json.loads(request.content))

    asynchronous, synchronous = httpx.AsyncClient.send, httpx.Client.send

    async def send_async(self: httpx.AsyncClient, request: httpx.Request, **options: object) -> httpx.Response:
        count(request)
        return await asynchronous(self, request, **options)  # type: ignore[arg-type]

    def send(self: httpx.Client, request: httpx.Request, **options: object) -> httpx.Response:
        count(request)
        return synchronous(self, request, **options)  # type: ignore[arg-type]

    with patch.object(httpx.AsyncClient, "send", send_async), patch.object(httpx.Client, "send", send):
        yield budget
        # In a thread, where it waits until all is sent.
        for worker in (APILogWorker, EventsWorker):
            await asyncio.to_thread(worker.drain_all, at_exit=False)


async def events() -> int:
    """Return how many events the server has, once no more come."""
    found = -1
    async with get_client() as client, asyncio.timeout(STORED):
        while True:
            answer = await client.request("POST", "/events/filter", json={"limit": 1})
            if (total := int(answer.json()["total"])) == found:
                return found
            found = total
            await asyncio.sleep(3)


async def batch(rows: int, folder: Path) -> Budget:
    """Carry out a batch on a fresh sandbox, and count."""
    sheet = write_sheet(folder / f"{rows}.csv", rows)
    before = await events()
    with Sandbox(log_requests=False) as sandbox:
        os.environ |= {"LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": sandbox.token}
        async with get_client() as client:
            await client.upsert_global_concurrency_limit_by_name(
                limit_of(sandbox.url), RATE, slot_decay_per_second=RATE
            )
        async with counted() as budget:
            report = await create_projects(sheet=str(sheet))
            assert report.ok, report.sentence
    budget.events = await events() - before
    return budget


async def main(sizes: Sequence[int]) -> None:
    """Print the table."""
    sys.stdout.write(
        "| rows | requests | of them in the busiest minute | log lines | events |\n|--:|--:|--:|--:|--:|\n"
    )
    with tempfile.TemporaryDirectory(prefix="stencil-budget-") as name:
        folder = Path(name)
        with prefect_server(folder / "prefect") as api, temporary_settings({PREFECT_API_URL: api}):
            for rows in sizes:
                cost = await batch(rows, folder)
                numbers = (rows, len(cost.requests), cost.most_in_a_minute, cost.logs, cost.events)
                sys.stdout.write(f"| {' | '.join(f'{each:,}' for each in numbers)} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main([int(each) for each in sys.argv[1:]] or ROWS))
