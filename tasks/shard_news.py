"""What a shard tells of itself while it runs, as artifacts of its flow run, and how the batch that waits for it reads them.

Rows go into tables of a thousand, filled as rows are settled, so that what a killed shard had done is known but for its last
seconds. Files would need a folder that all machines share, and a flow run's result likewise.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact
from prefect.client.schemas.sorting import ArtifactSort
from pydantic import TypeAdapter

from stencil.batch import Batch
from stencil.problems import StencilError
from stencil.provisioning import Ticket
from stencil.report import Outcome, Report
from stencil.shards import ShardRow, from_columns, to_columns
from tasks.artifacts import update_artifact

#: Keys of the artifacts.
STATE_KEY = "stencil-shard"
ROWS_KEY = "stencil-shard-rows"

#: Seconds between two words of a shard.
BEAT = 5.0

#: Rows of one artifact; it is sent again whole as it fills.
_MOST_ROWS = 1000
#: Artifacts that are read at once.
_PAGE = 20
#: Longest refusal that is told; a sheet may have a hundred thousand problems.
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class ShardState:
    """How a shard gets on.

    Attributes:
        beats: Times that it has told; while this grows, somebody is alive there.
        counts: Rows by outcome.
        requests: Requests sent to the studio.
        stopped: Why it stopped before its end; empty where it did not.
        refused: Why it did nothing; empty where it did.
        notes: Sentences about its rows as a whole.
        whole: Whether it has told all that it has to tell.
    """

    beats: int = 0
    counts: dict[Outcome, int] = field(default_factory=dict)
    requests: int = 0
    stopped: str = ""
    refused: str = ""
    notes: list[str] = field(default_factory=list)
    whole: bool = False


_state: TypeAdapter[ShardState] = TypeAdapter(ShardState)


class _Table:
    """A table artifact, made when it is first told and brought up to date afterwards."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._id: UUID | None = None

    async def tell(self, table: dict[str, list[Any]], description: str) -> None:
        if self._id is None:
            self._id = await acreate_table_artifact(table, key=self._key, description=description)
            return
        await update_artifact(self._id, data=json.dumps(table), description=description)


class ShardNews:
    """Tells of the rows of a shard.

    Attributes:
        batch: The shard's rows, once they are planned.
    """

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self._last = ShardState()
        self._told: dict[int, tuple[Outcome | None, int | None, str, str]] = {}
        self._block: list[ShardRow] = []
        self._rows, self._state = _Table(ROWS_KEY), _Table(STATE_KEY)
        # A beat that is under way must not come after the last word.
        self._turn = asyncio.Lock()

    async def tell(self) -> None:
        """Tell what is new, and that this process is alive."""
        async with self._turn:
            if self.batch is not None:
                # A row whose steps are still to be done may not stay well.
                settled = [each for each in self.batch.engine.tickets if each.settled]
                await self._tell_rows(
                    self.batch, [each for each in settled if not each.target.request.steps or each.steps]
                )
            await self._tell_state(self._known())

    async def tell_all(self, batch: Batch, report: Report) -> None:
        """Tell what became of every row, and that this is all."""
        async with self._turn:
            await self._tell_rows(batch, batch.engine.tickets)
            await self._tell_state(replace(self._known(), stopped=report.stopped, notes=list(report.notes), whole=True))

    async def tell_refusal(self, error: StencilError) -> None:
        """Tell that it could not be done, and why."""
        async with self._turn:
            await self._tell_state(replace(self._last, refused=str(error)[:_LONGEST]))

    def _known(self) -> ShardState:
        if self.batch is None:
            return self._last
        counts, requests = dict(self.batch.counts()), self.batch.studio.client.requests_sent
        return replace(self._last, counts=counts, requests=requests)

    async def _tell_rows(self, batch: Batch, tickets: Sequence[Ticket]) -> None:
        new = [each for each in tickets if self._told.get(each.target.request.line) != _seen(each)]
        for start in range(0, len(new), _MOST_ROWS):
            await self._add(batch, new[start : start + _MOST_ROWS])

    async def _add(self, batch: Batch, tickets: Sequence[Ticket]) -> None:
        seen = {each.target.request.line: _seen(each) for each in tickets}
        rows = [batch.shard_row(each) for each in tickets]
        if len(self._block) + len(rows) > _MOST_ROWS:
            self._rows, self._block = _Table(ROWS_KEY), []
        self._block += rows
        await self._rows.tell(to_columns(self._block), f"{len(self._block)} rows, from line {self._block[0].line}")
        self._told.update(seen)

    async def _tell_state(self, state: ShardState) -> None:
        state = self._last = replace(state, beats=self._last.beats + 1)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in state.counts.items())
        said = state.refused or counts or "planning"
        columns: dict[str, list[Any]] = {name: [value] for name, value in asdict(state).items()}
        await self._state.tell(columns, said)


def _seen(ticket: Ticket) -> tuple[Outcome | None, int | None, str, str]:
    return ticket.outcome, ticket.project, ticket.error_code, ticket.steps


async def read_states(client: PrefectClient, runs: Sequence[UUID]) -> dict[UUID, ShardState]:
    """How each of these flow runs gets on; those that have not told yet are left out."""
    found: dict[UUID, ShardState] = {}
    for artifact in await _artifacts(client, runs, STATE_KEY):
        if artifact.flow_run_id is not None:
            columns = json.loads(str(artifact.data))
            # The newest comes first.
            state = _state.validate_python({name: value[0] for name, value in columns.items()})
            found.setdefault(artifact.flow_run_id, state)
    return found


async def read_rows(client: PrefectClient, run: UUID) -> list[ShardRow]:
    """What a flow run has told of its rows, the last word last."""
    # They come newest first.
    return [row for artifact in reversed(await _artifacts(client, [run], ROWS_KEY)) for row in _rows_of(artifact)]


def _rows_of(artifact: Artifact) -> Iterator[ShardRow]:
    return from_columns(json.loads(str(artifact.data)))


async def _artifacts(client: PrefectClient, runs: Sequence[UUID], key: str) -> list[Artifact]:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=list(runs)), key=ArtifactFilterKey(any_=[key]))
    found: list[Artifact] = []
    while runs:
        page = await client.read_artifacts(
            artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=_PAGE, offset=len(found)
        )
        found += page
        if len(page) < _PAGE:
            break
    return found
