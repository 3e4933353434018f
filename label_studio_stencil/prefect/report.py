"""Telling what became of a batch, as artifacts and files."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    acreate_progress_artifact,
    acreate_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.runtime import flow_run, task_run

from label_studio_stencil.batch import Batch
from label_studio_stencil.files import PERSON, Asker
from label_studio_stencil.prefect.artifacts import update_artifact
from label_studio_stencil.prefect.errors import user_errors
from label_studio_stencil.prefect.repeated import repeated
from label_studio_stencil.problems import InvalidSheet, Problem, counted, grouped
from label_studio_stencil.report.escaping import defused
from label_studio_stencil.report.files import ResultFiles, write_results
from label_studio_stencil.report.markdown import markdown_summary, problem_table
from label_studio_stencil.report.report import Report
from label_studio_stencil.report.summary import progress_text

#: Keys of the artifacts: the same in every run, so that Prefect shows their history.
SUMMARY_KEY = "stencil-summary"
ROWS_KEY = "stencil-rows"
PROGRESS_KEY = "stencil-progress"
PROBLEMS_KEY = "stencil-problems"

#: Rows of a table artifact at most; the files hold all.
MOST_ROWS = 1000

#: Notes above the problems of a refused sheet at most.
MOST_NOTES = 20

#: Longest text above an artifact, in characters.
LONGEST_DESCRIPTION = 500

#: Seconds between two updates of the progress artifact at least.
PROGRESS_EVERY = 1.0
#: Seconds that telling Prefect may take; its client goes on trying for minutes when its server is gone.
LONGEST_TELLING = 20.0


@task(task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
async def publish_report(report: Report) -> None:
    """The summary as a Markdown artifact, whose metadata has the counts for programs; the rows as a table.

    Raises:
        TimeoutError: Prefect's server does not take them.
    """
    async with asyncio.timeout(LONGEST_TELLING):
        await _publish_summary(report)
        await acreate_table_artifact(report.table(MOST_ROWS), key=ROWS_KEY, description=described(report.sentence))


async def _publish_summary(report: Report) -> None:
    """As Prefect's `acreate_markdown_artifact` does it, which takes no metadata."""
    async with get_client() as client:
        await client.create_artifact(
            ArtifactCreate(
                key=SUMMARY_KEY,
                type="markdown",
                description=described(report.sentence),
                data=markdown_summary(report),
                metadata_={outcome.value: str(count) for outcome, count in report.counts.items() if count},
                flow_run_id=UUID(flow_run.id),
                task_run_id=UUID(task_run.id),
            )
        )


@task(task_run_name="write results", cache_policy=NO_CACHE, persist_result=False)
@user_errors
async def save_results(report: Report, output: str, asker: Asker = PERSON) -> ResultFiles:
    """`results.csv` and `failed.csv` in a folder or at a URL.

    Raises:
        OutputUnwritable: They can't be written there.
    """
    return write_results(report, output, asker)


async def publish_problems(invalid: InvalidSheet) -> None:
    """How a sheet was read and what is wrong with it, as a table artifact: bounded, and harmless whatever the sheet holds."""
    told = f"{counted(len(invalid.problems), 'problem')} in {invalid.sheet}; nothing was created"
    notes = [Problem("note", note) for note in invalid.notes[:MOST_NOTES]]
    table = problem_table([*grouped(notes), *grouped(invalid.problems)[:MOST_ROWS]])
    await acreate_table_artifact(table, key=PROBLEMS_KEY, description=described(told))


def described(text: str) -> str:
    """A text above an artifact: one line without tags, links and images, as some pages show it as Markdown."""
    return defused(text, LONGEST_DESCRIPTION)


@contextlib.asynccontextmanager
async def progress_told(batch: Batch) -> AsyncIterator[None]:
    """A progress artifact that is kept up to date while the block runs, and is at its end."""
    progress = _Progress(batch)
    try:
        async with repeated("The progress", progress.tell, PROGRESS_EVERY):
            yield
        if progress.ok:
            await progress.tell()
    finally:
        await progress.close()


class _Progress:
    """The progress artifact of a batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._last = _told(batch)[0]
        # The batch does not wait for it.
        self._made: asyncio.Task[UUID] = asyncio.create_task(
            acreate_progress_artifact(0.0, key=PROGRESS_KEY, description=self._last)
        )
        self.ok = True

    async def tell(self) -> None:
        """Bring it up to date, where anything is new.

        Raises:
            TimeoutError: Prefect's server does not take it.
        """
        told, share = _told(self._batch)
        self.ok = False
        async with asyncio.timeout(LONGEST_TELLING):
            artifact = await asyncio.shield(self._made)
            if told != self._last:
                await update_artifact(artifact, data=share, description=told)
        self._last, self.ok = told, True

    async def close(self) -> None:
        """Make it no more, where Prefect's server has not taken it by now."""
        self._made.cancel()
        await asyncio.gather(self._made, return_exceptions=True)


def _told(batch: Batch) -> tuple[str, float]:
    """What the rows have come to, in words, and the share of them that have an outcome, in percent."""
    counts = batch.counts()
    done, rows = sum(counts.values()), len(batch.sheet.rows)
    return progress_text(done, rows, counts), min(100.0, 100.0 * done / max(1, rows))
