"""The flow as prefect.yaml deploys it, run by a worker."""

import asyncio
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from scripts.servers import running
from stencil.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]


def prefect(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def ended(name: str, parameters: dict[str, str]) -> State:
    """The final state of a new run of a deployment."""
    async with get_client() as client, asyncio.timeout(90):
        deployment = await client.read_deployment_by_name(name)
        run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        while True:
            state = (await client.read_flow_run(run.id)).state
            if state is not None and state.is_final():
                return state
            await asyncio.sleep(0.3)


async def test_a_worker_runs_the_deployment(environment: dict[str, str], sandbox: Sandbox) -> None:
    prefect(environment, "work-pool", "create", "stencil", "--type", "process", "--overwrite")
    prefect(environment, "deploy", "--all")
    environment = {**environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "stencil"]
    with running(worker, environment, stdout=subprocess.DEVNULL):
        pasted = "title\nFrom the UI\nAlso from the UI\n"
        parameters = {"csv_text": pasted, "template": "Sentiment Analysis", "workspace": "Research"}
        state = await ended("create-projects/on-demand", parameters)
    assert (state.name, state.message) == ("Completed", "2 rows: 2 created")
    assert sum(request.method == "POST" for request in sandbox.requests) == 2
