"""How a batch gets on: in an artifact that moves, and now and then in the log."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import Pause

from label_studio_stencil.batch import Batch
from label_studio_stencil.labelstudio.address import host_of
from label_studio_stencil.prefect.artifacts import LONGEST_CALL, PROGRESS_KEY, key_of
from label_studio_stencil.prefect.lifecycle import repeated
from label_studio_stencil.report.summary import duration

#: Least seconds between two updates of the progress artifact.
PROGRESS_EVERY = 1.0
#: Seconds until the log first says how far the batch is, and at most between two such lines; each wait is twice the last.
_FIRST_LINE, _LONGEST_SILENCE = 30.0, 600.0
#: Seconds over which the rate is taken.
_LATELY = 60.0


@contextlib.asynccontextmanager
async def progress_shown(batch: Batch) -> AsyncIterator[None]:
    """Keep a progress artifact up to date while the block runs, and bring it to its end."""
    progress = _Progress(batch)
    try:
        async with repeated("The progress", progress.show, PROGRESS_EVERY):
            yield
        await progress.end()
    except Pause:
        await progress.end()
        raise
    finally:
        await progress.close()


class _Progress:
    """The progress artifact of a batch, and its lines in the log."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._clock = asyncio.get_running_loop().time
        self._seen = deque([(self._clock(), batch.done)])
        self._next_line, self._silence = self._clock() + _FIRST_LINE, _FIRST_LINE
        self._host = "sandbox" if batch.label_studio.sandbox else host_of(batch.label_studio.client.url)
        self._last = (batch.progress[0], 0)
        text = f"{self._last[0]}; {self._host}"
        # The batch does not wait for it.
        self._made: asyncio.Task[UUID] = asyncio.create_task(
            acreate_progress_artifact(0.0, key=key_of(PROGRESS_KEY, self._host), description=text)
        )
        self.ok = True

    async def show(self) -> None:
        """Update the artifact if anything is new.

        Raises:
            TimeoutError: Prefect's server does not take it.
        """
        now, pauses = self._clock(), self._batch.label_studio.pacer.pauses
        text, percent = self._batch.progress
        whole = "; ".join([text, *self._pace(now), self._host])
        if now >= self._next_line:
            self._silence = min(2 * self._silence, _LONGEST_SILENCE)
            self._next_line = now + self._silence
            self._batch.log(whole)
        self.ok = False
        async with asyncio.timeout(LONGEST_CALL):
            artifact = await asyncio.shield(self._made)
            if (text, pauses) != self._last:
                await _update(artifact, data=percent, description=whole)
        self._last, self.ok = (text, pauses), True

    def _pace(self, now: float) -> list[str]:
        """The rate of the last minute and what follows from it, and the pauses that Label Studio asked for."""
        done, pacer = self._batch.done, self._batch.label_studio.pacer
        while now - self._seen[0][0] > _LATELY:
            self._seen.popleft()
        self._seen.append((now, done))
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        left = len(self._batch.sheet.rows) - done
        parts = [f"{rate:.1f} rows a second, about {duration(left / rate)} left"] if rate and left else []
        if pacer.pauses:
            parts.append(f"{pacer.pauses} pauses that Label Studio asked for, together {duration(pacer.paused_for)}")
        return parts

    async def end(self) -> None:
        """Bring it up to date a last time, unless Prefect's server did not take it before."""
        if self.ok:
            await self.show()

    async def close(self) -> None:
        """Stop waiting for the artifact where Prefect's server has not taken it by now."""
        self._made.cancel()
        await asyncio.gather(self._made, return_exceptions=True)


async def _update(artifact: UUID, *, data: object, description: str) -> None:
    """Update an artifact without an event.

    Prefect's own client sends an event with each update, with all its data, and the server keeps it for a week. That would be
    one a second for the whole batch (measured on Prefect 3.8.8: 5 KB each).
    """
    body = ArtifactUpdate(data=data, description=description).model_dump(mode="json", exclude_unset=True)
    async with get_client() as client:
        await client.request("PATCH", "/artifacts/{id}", path_params={"id": artifact}, json=body)
