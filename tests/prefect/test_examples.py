"""The examples of `examples/prefect`, each run as it stands, in an empty folder."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from label_studio_sandbox import Sandbox
from scripts.servers import running
from tests.prefect.deployed import ROOT, SECONDS, message_of, next_run_of, run_of
from tests.prefect.test_deployments import is_deployed
from tests.soak.batches import projects

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples" / "prefect"


def run(name: str, environment: dict[str, str], folder: Path) -> None:
    """Run an example to its end; it has to succeed."""
    command = [sys.executable, str(EXAMPLES / name)]
    environment = {**environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def served(name: str, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """An example that serves its flow, as long as the block runs."""
    environment = {**environment, "PYTHONPATH": str(ROOT), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    with running(
        [sys.executable, str(EXAMPLES / name)],
        environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    ):
        yield


async def deployed_as(name: str) -> None:
    """Wait until a flow is served."""
    async with asyncio.timeout(SECONDS):
        while not await is_deployed(name):  # noqa: ASYNC110 - another process does
            await asyncio.sleep(0.2)


def titles(sandbox: Sandbox) -> list[str]:
    return sorted(project["title"] for project in projects(sandbox))


def test_a_subflow(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    run("subflow.py", environment, tmp_path)
    assert titles(sandbox) == ["Contracts Alder", "Contracts Birch"]


def test_single_tasks(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    for _ in range(2):
        run("single_tasks.py", environment, tmp_path)
    assert titles(sandbox) == ["Contracts Cedar"]
    (project,) = projects(sandbox)
    assert "parties" in project["expert_instruction"] or "party" in project["expert_instruction"]


@pytest.mark.usefixtures("deployed")
def test_a_deployment_that_another_flow_runs(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    run("deployment.py", environment, tmp_path)
    assert titles(sandbox) == ["Reviews February", "Support February"]


async def test_the_flow_served_from_ten_lines(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    code = (EXAMPLES / "serve.py").read_text(encoding="utf-8").split('"""')[2]
    assert len([line for line in code.splitlines() if line]) <= 10
    with served("serve.py", environment, tmp_path):
        await deployed_as("create-projects/served")
        done = await run_of("create-projects/served")
    assert message_of(done) == "Completed: 26 rows: 26 created"
    assert len(titles(sandbox)) == 26


async def test_a_reaction_to_each_project_that_was_created(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    with served("react.py", environment, tmp_path), served("serve.py", environment, tmp_path):
        for name in ("welcome/created", "create-projects/served"):
            await deployed_as(name)
        row = {"title": "Hello", "template": "1", "workspace": "1"}
        await run_of("create-projects/served", sheet="", rows=[row], project_events=True)
        welcome = await next_run_of("welcome/created", 0)
    assert message_of(welcome).startswith("Completed")
    (project,) = projects(sandbox)
    assert welcome.parameters == {
        "project_id": project["id"],
        "project_url": f"{sandbox.url}/projects/{project['id']}",
        "title": "Hello",
    }
