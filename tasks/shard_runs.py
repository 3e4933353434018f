"""Flow runs of the deployment `shard`, as the batch that waits for them sees them on Prefect's server."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
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
from prefect.states import Cancelling, Crashed

from stencil.shards import ShardRow
from tasks.shard_news import ShardState, read_rows, read_states

#: The deployment that carries shards out.
DEPLOYMENT = "create-projects/shard"


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
        """The run that a key stands for; made where it is not there yet."""
        run = await arun_deployment(
            DEPLOYMENT, parameters=dict(parameters), timeout=0, flow_run_name=name, idempotency_key=key
        )
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

    async def are_others_running(self) -> bool:
        """Whether any shard runs, of whichever batch: then workers are there, and busy."""
        running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
        name = DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT.partition("/")[2]]))
        return bool(
            await self._client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=running), deployment_filter=name, limit=1
            )
        )
