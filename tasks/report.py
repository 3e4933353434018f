"""Telling what became of a batch, as artifacts and files."""

import asyncio
import logging
import math
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.cache_policies import NO_CACHE

from stencil.batch import Batch
from stencil.problems import InvalidSheet, counted
from stencil.report import Report, ResultFiles, progress_text, write_results
from tasks.words import failing_in_words

#: Keys of the artifacts: the same in every run, so that Prefect shows their history.
SUMMARY_KEY = "stencil-summary"
ROWS_KEY = "stencil-rows"
PROGRESS_KEY = "stencil-progress"
PROBLEMS_KEY = "stencil-problems"

#: Rows of a table artifact at most; the files hold all.
MOST_ROWS = 1000

#: Seconds between two updates of the progress artifact at least.
PROGRESS_EVERY = 1.0
#: Seconds that telling Prefect may take; its client goes on trying for minutes when its server is gone.
LONGEST_TELLING = 20.0

logger = logging.getLogger("stencil.report")


@task(task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
async def publish_report(report: Report) -> None:
    """The summary as a Markdown artifact, the rows as a table.

    Raises:
        TimeoutError: Prefect's server does not take them.
    """
    async with asyncio.timeout(LONGEST_TELLING):
        await acreate_markdown_artifact(report.markdown(), key=SUMMARY_KEY, description=report.sentence)
        await acreate_table_artifact(report.table(MOST_ROWS), key=ROWS_KEY, description=report.sentence)


@task(task_run_name="write {output}", cache_policy=NO_CACHE, persist_result=False)
@failing_in_words
async def save_results(report: Report, output: str) -> ResultFiles:
    """`results.csv` and `failed.csv` in a folder or at a URL.

    Raises:
        OutputUnwritable: They can't be written there.
    """
    return write_results(report, output)


async def publish_problems(invalid: InvalidSheet) -> None:
    """What is wrong with a sheet, as a table artifact."""
    rows = [
        {
            "line": problem.line,
            "column": problem.column or "",
            "value": problem.value or "",
            "code": problem.code,
            "what to do": problem.message,
        }
        for problem in invalid.problems[:MOST_ROWS]
    ]
    description = f"{counted(len(invalid.problems), 'problem')} in {invalid.sheet}; nothing was created"
    await acreate_table_artifact(rows, key=PROBLEMS_KEY, description=description)


class Progress:
    """The progress artifact of a batch, brought up to date now and then."""

    def __init__(self, batch: Batch, artifact: UUID) -> None:
        self._batch, self._artifact = batch, artifact
        self._total = max(1, len(batch.engine.tickets))
        self._told = batch.studio.pacer.clock.now()

    @classmethod
    async def start(cls, batch: Batch) -> "Progress":
        """Make the artifact."""
        return cls(batch, await acreate_progress_artifact(0.0, key=PROGRESS_KEY, description=_told(batch)))

    async def tell(self, *, last: bool = False) -> None:
        """Bring it up to date, unless that was done just now."""
        now = self._batch.studio.pacer.clock.now()
        if now - self._told < (0 if last else PROGRESS_EVERY):
            return
        self._told = now
        share = 100.0 * sum(ticket.settled for ticket in self._batch.engine.tickets) / self._total
        try:
            async with asyncio.timeout(LONGEST_TELLING):
                await aupdate_progress_artifact(self._artifact, progress=share, description=_told(self._batch))
        except Exception as error:  # noqa: BLE001 - it is for those who watch; the batch goes on without
            self._told = math.inf
            logger.warning("the progress is not told any more: %s", error)


def _told(batch: Batch) -> str:
    counts = batch.counts()
    return progress_text(sum(counts.values()), len(batch.sheet.rows), counts)
