"""Flow runs of the deployment `shard`, as the batch that waits for them sees them on Prefect's server."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling, Crashed

from stencil.problems import StencilError
from stencil.shards import ShardRow
from tasks.shard_news import ShardState, read_rows, read_states

#: Answers of Prefect's server that another try may change.
_MAY_PASS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

#: The deployment that carries shards out.
DEPLOYMENT = "create-projects/shard"


class RunRefused(StencilError):
    """Prefect's server does not start a run, and will not."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A flow run as it is now.

    Attributes:
        state: Its state.
        news: What it has told of itself; nothing yet where it is not that far.
    """

    state: State[Any]
    news: ShardState | None


class ShardRuns:
    """What can be done with them."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls) -> AsyncIterator["ShardRuns"]:
        """For the time of a block."""
        async with get_client() as client:
            yield cls(client)

    async def start(self, name: str, parameters: Mapping[str, Any], key: str) -> UUID:
        """The run that a key stands for; made where it is not there yet.

        Raises:
            RunRefused: Prefect's server does not take it.
        """
        try:
            run = await arun_deployment(
                DEPLOYMENT, parameters=dict(parameters), timeout=0, flow_run_name=name, idempotency_key=key
            )
        except ObjectNotFound:
            raise RunRefused(f"the deployment {DEPLOYMENT} is not there any more") from None
        except PrefectHTTPStatusError as error:
            status = error.response.status_code
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _MAY_PASS:
                raise
            # The answer repeats the parameters.
            raise RunRefused(f"Prefect's server does not take their run ({status})") from None
        return run.id

    async def known(self, key: str) -> UUID | None:
        """The run that a key stands for, if it was made."""
        wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
        found = await self._client.read_flow_runs(flow_run_filter=wanted, limit=1)
        return found[0].id if found else None

    async def look(self, runs: Sequence[UUID]) -> dict[UUID, Seen]:
        """These runs as they are now; one that was deleted is left out."""
        found = await self._client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(runs))))
        # After their states: of a run that has ended this is its last word.
        news = await read_states(self._client, runs)
        return {run.id: Seen(run.state, news.get(run.id)) for run in found if run.state is not None}

    async def rows(self, run: UUID) -> list[ShardRow]:
        """What a run has told of its rows, the last word last."""
        return await read_rows(self._client, run)

    async def cancel(self, run: UUID, reason: str) -> None:
        """Ask a run to end; what it has staked it finishes."""
        await self._client.set_flow_run_state(run, Cancelling(message=reason))

    async def count_as_dead(self, run: UUID, reason: str) -> None:
        """Say that a run has crashed."""
        await self._client.set_flow_run_state(run, Crashed(message=reason), force=True)

    async def others(self) -> dict[UUID, int]:
        """How often each shard that runs, of whichever batch, has told; what is left of a dead one tells no more."""
        running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
        name = DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT.partition("/")[2]]))
        found = await self._client.read_flow_runs(flow_run_filter=FlowRunFilter(state=running), deployment_filter=name)
        told = await read_states(self._client, [run.id for run in found])
        return {run.id: told[run.id].beats if run.id in told else 0 for run in found}
