"""Two Label Studios on one Prefect server: a work queue, a rate and artifacts for each."""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun

from label_studio_sandbox import Sandbox
from label_studio_stencil.cli import main
from label_studio_stencil.prefect.artifacts import artifacts_of
from label_studio_stencil.prefect.limits import limit_of
from tests.prefect.deployed import ROOT, command, ended, message_of, started, worker
from tests.prefect.test_watch_inbox import Held, reached

pytestmark = pytest.mark.slow

ON_DEMAND = "create-projects/on-demand"
STAGING = "create-projects/nightly-staging"
BATCH = {"template": "1", "workspace": "1"}


@pytest.fixture(scope="module")
def held() -> Held:
    return Held()


@pytest.fixture(scope="module")
def production(held: Held) -> Iterator[Sandbox]:
    with Sandbox(interceptors=[held]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def staging() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def environment(prefect_api: str) -> dict[str, str]:
    return {**os.environ, "PREFECT_API_URL": prefect_api}


def bootstrap(environment: dict[str, str], label_studio: Sandbox, *arguments: str) -> str:
    known = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}
    return command({**environment, **known}, "deployments.bootstrap", *arguments)


@pytest.fixture(scope="module")
def both(
    environment: dict[str, str], production: Sandbox, staging: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Production and staging on one Prefect server, with the guide's deployment for staging beside those of prefect.yaml."""
    bootstrap(environment, production, "--credentials", "production", "--queue", "batches")
    bootstrap(environment, staging, "--credentials", "staging", "--rate", "20")
    command(environment, "prefect", "--no-prompt", "deploy", "--all")
    prefect_yaml = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    prefect_yaml["deployments"] = yaml.safe_load(snippet("nightly-staging"))
    path = tmp_path_factory.mktemp("staging") / "prefect.yaml"
    path.write_text(yaml.safe_dump(prefect_yaml), encoding="utf-8")
    command(environment, "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path))


def snippet(name: str) -> str:
    """The YAML of the guide that has this word in it."""
    blocks: list[str] = re.findall(
        "```yaml\n(.*?)```", (ROOT / "docs/prefect.md").read_text(encoding="utf-8"), re.DOTALL
    )
    return next(block for block in blocks if name in block)


async def rate(label_studio: Sandbox) -> float:
    async with get_client() as client:
        limit = await client.read_global_concurrency_limit_by_name(limit_of(label_studio.url))
    return limit.slot_decay_per_second


async def now(run: FlowRun) -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(run.id)


@pytest.mark.usefixtures("both")
async def test_the_rate_of_one_leaves_the_other_alone(production: Sandbox, staging: Sandbox) -> None:
    assert (await rate(production), await rate(staging)) == (50, 20)


@pytest.mark.usefixtures("both")
async def test_batches_of_two_run_side_by_side_and_those_of_one_in_turn(
    environment: dict[str, str], held: Held, production: Sandbox, staging: Sandbox
) -> None:
    with worker(environment):
        try:
            first = await started(ON_DEMAND, csv_text="title\nFirst\n", credentials="production", **BATCH)
            await reached(held)
            second = await started(ON_DEMAND, csv_text="title\nSecond\n", credentials="production", **BATCH)
            other = await ended(await started(STAGING, sheet="", csv_text="title\nOther\n", **BATCH))
            assert message_of(other) == "Completed: 1 row: 1 created"
            assert other.work_queue_name == "batches-staging"
            assert [(await now(run)).start_time is None for run in (first, second)] == [False, True]
        finally:
            held.open.set()
        first, second = await ended(first), await ended(second)
    assert {message_of(run) for run in (first, second)} == {"Completed: 1 row: 1 created"}
    assert first.end_time is not None
    assert second.start_time is not None
    assert first.end_time <= second.start_time
    for run, label_studio in ((first, production), (other, staging)):
        await assert_artifacts_of(run, label_studio)


async def assert_artifacts_of(run: FlowRun, label_studio: Sandbox) -> None:
    """Its artifacts have the history of this Label Studio, and titles that tell one run of it from another."""
    host = label_studio.url.removeprefix("http://").translate(str.maketrans(".:", "--"))
    async with get_client() as client:
        found = await artifacts_of(client, run.id)
    assert {each.key for each in found.values()} >= {f"stencil-summary-{host}", f"stencil-rows-{host}"}
    for kind in ("stencil-summary", "stencil-rows"):
        title = found[kind].description or ""
        assert re.fullmatch(r"pasted rows, \d{4}-\d\d-\d\d \d\d:\d\d UTC: 1 row: 1 created", title)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    ("credentials", "queue"),
    [("staging", "batches-staging"), ("label-studio-credentials/staging", "batches-staging"), ("nobody", "batches")],
)
async def test_a_submitted_sheet_waits_in_the_queue_of_its_label_studio(
    credentials: str, queue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title\nSubmitted\n", encoding="utf-8")
    arguments = ["submit", str(sheet), "--credentials", credentials, "--no-wait", "--json"]
    assert await asyncio.to_thread(main, arguments) == 0
    run = yaml.safe_load(capsys.readouterr().out)["run"]
    async with get_client() as client:
        found = await client.read_flow_run(run)
        await client.delete_flow_run(run)
    assert found.work_queue_name == queue


async def test_a_pool_and_a_queue_that_exist_are_used(environment: dict[str, str], staging: Sandbox) -> None:
    name = f"pool-{uuid4().hex[:8]}"
    async with get_client() as client:
        pool = await client.create_work_pool(WorkPoolCreate(name=name, type="docker"))
        await client.create_work_queue("labels", concurrency_limit=3, work_pool_name=name)
        said = bootstrap(environment, staging, "--credentials", "staging", "--pool", name, "--queue", "labels")
        queues: list[Any] = await client.read_work_queues(work_pool_name=name)
        await client.delete_work_pool(pool.name)
    assert f"work pool {name}: is there, of type docker" in said
    assert "work queue labels: is there, 3 at a time" in said
    assert "batches" not in {each.name for each in queues}
