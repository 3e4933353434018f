"""Runs of a deployment that somebody waits for elsewhere: started with parameters, and followed to their report."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from label_studio_stencil.json_value import JSON
from label_studio_stencil.prefect.artifacts import (
    PROBLEMS_KEY,
    PROGRESS_KEY,
    ROWS_KEY,
    SUMMARY_KEY,
    artifacts_of,
    counts_in,
    sentence_in,
)
from label_studio_stencil.prefect.credentials import block_name
from label_studio_stencil.prefect.limits import DRY_RUNS, queue_of
from label_studio_stencil.prefect.names import name_of
from label_studio_stencil.problems import StencilError, shown
from label_studio_stencil.report.outcomes import Outcome

#: Most bytes of a run's parameters as JSON that Prefect's server accepts (3.9.1).
MOST_PARAMETERS = 512 * 1024
#: Seconds between two readings of a run.
_EVERY = 1.0


class PrefectUnusable(StencilError):
    """No Prefect server is named, it does not answer, or it does not take the run."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """The report of a run that has ended, read from its state and its artifacts.

    Attributes:
        state: Name of the state, such as `Completed`.
        message: The report in one line, or the state's message.
        counts: Rows by outcome; empty if the run reported on none.
        rows: The rows of the run's table, those that need attention first.
        problems: The problems of a sheet that was rejected.
    """

    state: str
    message: str
    counts: Mapping[Outcome, int]
    rows: tuple[Mapping[str, JSON], ...]
    problems: tuple[Mapping[str, JSON], ...]


async def start_run(deployment: str, parameters: Mapping[str, Any], sheet: str) -> tuple[FlowRun, str]:
    """Start a run of a deployment; return the run and its address in the UI.

    Args:
        deployment: Its name, as FLOW/DEPLOYMENT.
        parameters: The parameters of the run.
        sheet: Path or URL of the sheet, after which the run is named, even while it waits; empty for standard input.

    Raises:
        PrefectUnusable: No server is named, or the run can't be started there.
        CredentialsUnusable: The parameter `credentials` is not the name of a block.
    """
    if not PREFECT_API_URL.value():
        raise PrefectUnusable(
            "PREFECT_API_URL is not set: a submitted run needs a Prefect server that keeps running.",
            hint="Start one with `prefect server start`. `stencil create` needs none.",
        )
    async with get_client() as client:
        if (problem := await client.api_healthcheck()) is not None:
            raise PrefectUnusable(
                f"Prefect's server at {PREFECT_API_URL.value()} does not answer: {problem!r}.",
                hint="Check that PREFECT_API_URL is the address of a running server and ends in /api.",
            )
        try:
            found = await client.read_deployment_by_name(deployment)
            queue = await _queue(client, found, parameters)
            run = await client.create_flow_run_from_deployment(
                found.id,
                parameters=dict(parameters),
                work_queue_name=queue,
                name=name_of({**parameters, "sheet": sheet}),
            )
        except (ObjectNotFound, ValueError):
            raise PrefectUnusable(
                f"Prefect's server at {PREFECT_API_URL.value()} has no deployment {deployment}.",
                hint="`prefect deploy --all` makes this project's deployments; `prefect deployment ls` lists existing ones.",
            ) from None
        except PrefectHTTPStatusError as error:
            raise PrefectUnusable(
                f"Prefect's server at {PREFECT_API_URL.value()} refused the run: {shown(error.response.text)}"
            ) from None
    return run, url_for("flow-run", run.id) or str(run.id)


async def _queue(client: PrefectClient, deployment: DeploymentResponse, parameters: Mapping[str, Any]) -> str | None:
    """Return the work queue of a dry run, or of another block than the deployment's where bootstrap made one.

    Raises:
        CredentialsUnusable: `credentials` is not the name of a block, but perhaps a token.
    """
    own, block = (str(each.get("credentials") or "").strip() for each in (deployment.parameters, parameters))
    block = block and block_name(block)
    if parameters.get("dry_run"):
        # Prefect makes the queue if it is missing.
        return DRY_RUNS
    if not block or block == own:
        return None
    try:
        await client.read_work_queue_by_name(queue_of(block), deployment.work_pool_name)
    except ObjectNotFound:
        return None
    return queue_of(block)


async def follow_run(run: FlowRun, tell: Callable[[float, str], None]) -> RunReport:
    """Wait for the end of a run.

    Args:
        run: The run.
        tell: Called repeatedly with the progress, in percent and as a sentence.
    """
    async with get_client() as client:
        while True:
            found = await client.read_flow_run(run.id)
            artifacts: Mapping[str, Any] = await artifacts_of(client, run.id)
            if found.state is not None and found.state.is_final():
                return _report(found, artifacts)
            progress = artifacts.get(PROGRESS_KEY)
            name = found.state.name if found.state else "Pending"
            tell(float((progress and progress.data) or 0), str((progress and progress.description) or name))
            await asyncio.sleep(_EVERY)


def _report(run: FlowRun, artifacts: Mapping[str, Any]) -> RunReport:
    summary = artifacts.get(SUMMARY_KEY)
    counts = counts_in(summary) if summary else {}
    state = run.state
    message = (sentence_in(summary) if summary and counts else state and state.message) or ""
    rows, problems = (
        tuple(json.loads(artifacts[key].data)) if key in artifacts else () for key in (ROWS_KEY, PROBLEMS_KEY)
    )
    return RunReport(str(state and state.name), message, counts, rows, problems)
