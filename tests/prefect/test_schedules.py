"""Schedules that are switched on: their runs begin by themselves, and somebody hears when none completed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import Completed, Failed

from deployments.automations import watch
from label_studio_sandbox import Sandbox
from tests.prefect.deployed import SECONDS, message_of, runs_of, worker
from tests.prefect.test_deployments import listener
from tests.soak.batches import projects

pytestmark = pytest.mark.slow

NIGHTLY, INBOX = "create-projects/nightly", "watch-inbox/inbox"
DEFAULTS = {"template": "1", "workspace": "1"}


@pytest.fixture
def one_at_a_time(deployments: None, environment: dict[str, str]) -> Iterator[None]:
    """A worker that runs the deployments on the sandbox, however many runs are due."""
    with worker(environment, "--limit", "1"):
        yield


@asynccontextmanager
async def switched_on(name: str, **parameters: Any) -> AsyncIterator[None]:
    """The schedule of a deployment, on and in short intervals, as set in the UI; off again after the block."""
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(name)
        (schedule,) = deployment.schedules
        assert not schedule.active
        await client.update_deployment(deployment.id, DeploymentUpdate(parameters={**DEFAULTS, **parameters}))
        often = IntervalSchedule(interval=timedelta(seconds=10))
        await client.update_deployment_schedule(deployment.id, schedule.id, active=True, schedule=often)
        try:
            yield
        finally:
            await client.update_deployment_schedule(deployment.id, schedule.id, active=False)


def titles(sandbox: Sandbox) -> set[str]:
    return {project["title"] for project in projects(sandbox)}


async def scheduled_run(name: str, message: str) -> FlowRun:
    """A run of a deployment that the server's scheduler made, once it has ended with a message that begins so."""
    async with asyncio.timeout(SECONDS):
        while True:
            for run in await runs_of(name):
                if run.auto_scheduled and run.state is not None and message_of(run).startswith(message):
                    return run
            await asyncio.sleep(0.2)


@pytest.mark.usefixtures("one_at_a_time")
async def test_the_nightly_sheet_runs_by_itself(sandbox: Sandbox, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title\nBy night one\nBy night two\n", encoding="utf-8")
    async with switched_on(NIGHTLY, sheet=str(sheet)):
        await scheduled_run(NIGHTLY, "Completed: 2 rows: 2 created")
    assert titles(sandbox) >= {"By night one", "By night two"}


@pytest.mark.usefixtures("one_at_a_time")
async def test_sheets_in_the_inbox_run_by_themselves(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("title\nBy inbox one\nBy inbox two\n", encoding="utf-8")
    async with switched_on(INBOX, inbox=str(tmp_path), quiet_seconds=0):
        await scheduled_run(INBOX, "Completed: 1 sheet: 1 done")
    # A run of the other schedule may have been under way when that was switched off.
    assert titles(sandbox) >= {"By inbox one", "By inbox two"}


#: Far longer than from one completed run of a test to the next, on however busy a machine.
PERIOD = timedelta(seconds=20)


class Heard:
    """What a webhook heard of the deployments that are watched."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self._messages = messages

    def of(self, deployment: str) -> list[str]:
        """The messages that speak of a deployment."""
        return [each["text"] for each in self._messages if deployment in each["text"]]


@pytest.fixture
def heard(deployments: None) -> Iterator[Heard]:
    """A notification block's webhook."""
    with listener() as (url, messages):
        webhook = {"name": "test", "url": url, "json_data": {"text": "{{subject}}: {{body}}"}}
        CustomWebhookNotificationBlock.model_validate(webhook).save("stencil-test", overwrite=True)
        yield Heard(messages)


@asynccontextmanager
async def watched(*names: str) -> AsyncIterator[list[Automation]]:
    made = [await watch("custom-webhook/stencil-test", name, PERIOD) for name in names]
    try:
        yield made
    finally:
        for each in made:
            await each.adelete()


async def run_ends(name: str, state: State[Any]) -> None:
    """A run of a deployment that ends at once."""
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(name)
        run = await client.create_flow_run_from_deployment(deployment.id)
        await client.set_flow_run_state(run.id, state, force=True)


async def test_a_deployment_without_a_completed_run_is_notified_and_one_with_completed_runs_is_not(
    heard: Heard,
) -> None:
    async with watched(NIGHTLY, INBOX), asyncio.timeout(SECONDS):
        while not heard.of(INBOX):
            await run_ends(NIGHTLY, Completed())
            await asyncio.sleep(0.5)
        assert heard.of(NIGHTLY) == []
    assert "No run of watch-inbox/inbox has completed for 20 seconds." in heard.of(INBOX)[0]


async def test_failed_runs_and_runs_of_other_deployments_do_not_count_as_completed(heard: Heard) -> None:
    async with watched(NIGHTLY), asyncio.timeout(SECONDS):
        await run_ends(NIGHTLY, Completed(name="CompletedWithFailures"))
        while not heard.of(NIGHTLY):
            await run_ends(NIGHTLY, Failed())
            await run_ends("create-projects/on-demand", Completed())
            await asyncio.sleep(0.5)


async def test_an_automation_that_is_made_again_goes_on_counting(heard: Heard) -> None:
    async with watched(NIGHTLY) as (first,), watched(NIGHTLY) as (again,):
        assert again.id == first.id
        longer = await watch("custom-webhook/stencil-test", NIGHTLY, 2 * PERIOD)
        assert longer.id != first.id
        await longer.adelete()
