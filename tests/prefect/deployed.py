"""The deployments of prefect.yaml on the session's Prefect server, as an operator sets them up, and runs of them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.credentials import LabelStudioCredentials
from label_studio_stencil.prefect.limits import DEFAULT_BLOCK
from scripts.servers import running

ROOT = Path(__file__).resolve().parents[2]

#: Seconds after which what is waited for will not come any more. No measure: on a busy machine a run may start after a minute.
SECONDS = 300


def command(environment: dict[str, str], *arguments: str) -> str:
    """What a command of Python's `-m` prints; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def _without_pool() -> None:
    async with get_client() as client:
        with suppress(ObjectNotFound):
            await client.delete_work_pool("stencil")


def deploy(environment: dict[str, str]) -> None:
    """The work pool and the deployments of prefect.yaml, without bootstrap.

    The pool is a new one: a run that an earlier test has left without a worker would occupy a slot of the old one's queues.
    """
    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        asyncio.run(_without_pool())
    command(environment, "prefect", "work-pool", "create", "stencil", "--type", "process")
    command(environment, "prefect", "--no-prompt", "deploy", "--all")


async def name_block(label_studio: Sandbox, token: str = "") -> None:
    """The block of the deployments' parameters, as bootstrap makes it."""
    block = LabelStudioCredentials.model_validate({"url": label_studio.url, "token": token or label_studio.token})
    await block.asave(DEFAULT_BLOCK, overwrite=True)


@contextmanager
def worker(
    environment: dict[str, str],
    *arguments: str,
    output: int = subprocess.DEVNULL,
    python: str | Path = sys.executable,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the pool; it and what it runs write to `output`."""
    start = [str(python), "-m", "prefect", "worker", "start", "--pool", "stencil", *arguments]
    environment = {**environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with running(start, environment, stdout=output, stderr=output, cwd=cwd) as process:
        yield process


async def started(deployment: str, **parameters: Any) -> FlowRun:
    """A new run of a deployment, to be carried out by the worker."""
    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        return await client.create_flow_run_from_deployment(found.id, parameters=parameters)


async def ended(run: FlowRun, seconds: float = SECONDS) -> FlowRun:
    """The run, after its end, which it comes to within that time."""
    async with get_client() as client, asyncio.timeout(seconds):
        while True:
            found = await client.read_flow_run(run.id)
            if found.state is not None and found.state.is_final():
                return found
            await asyncio.sleep(0.2)


async def run_of(deployment: str, **parameters: Any) -> FlowRun:
    return await ended(await started(deployment, **parameters))


async def runs_of(deployment: str) -> list[FlowRun]:
    """All runs of a deployment, the newest first."""
    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        return await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
            sort="EXPECTED_START_TIME_DESC",  # type: ignore[arg-type]
        )


async def next_run_of(deployment: str, before: int) -> FlowRun:
    """The run that comes to a deployment that had some before, after its end."""
    async with asyncio.timeout(SECONDS):
        while True:
            runs = await runs_of(deployment)
            if len(runs) > before:
                return await ended(runs[0])
            await asyncio.sleep(0.2)


async def send_sheet_ready(payload: dict[str, Any]) -> None:
    """Ask for a batch by an event, as README does with curl."""
    event = {
        "event": "stencil.sheet.ready",
        "resource": {"prefect.resource.id": "stencil.sheet.january"},
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "payload": payload,
    }
    async with get_client() as client:
        await client.request("POST", "/events", json=[event])


def message_of(run: FlowRun) -> str:
    assert run.state is not None
    return f"{run.state.name}: {run.state.message}"


def pid_of(run: FlowRun) -> int:
    """Process id of a run that a worker of this machine has started."""
    assert run.infrastructure_pid is not None
    return int(run.infrastructure_pid.rpartition(":")[2])


def parent_of(process: int) -> int:
    """Process id of the parent of a process."""
    # The command's name, which may hold anything, is in parentheses.
    return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


async def event_of(run: UUID, name: str) -> dict[str, Any]:
    """The event of a name that a flow run has sent; the server writes events down some seconds after they came."""
    asked = {"filter": {"event": {"name": [name]}}, "limit": 50}
    async with get_client() as client, asyncio.timeout(SECONDS):
        while True:
            events = (await client.request("POST", "/events/filter", json=asked)).json()["events"]
            found: list[dict[str, Any]] = [each for each in events if str(run) in json.dumps(each["related"])]
            if found:
                return found[0]
            await asyncio.sleep(0.2)
