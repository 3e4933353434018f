"""What is told to Prefect's server, or asked of it, again and again while a batch runs."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def repeated(what: str, tell: Callable[[], Awaitable[None]], every: float) -> AsyncIterator[None]:
    """Call Prefect's server every so many seconds while the block runs.

    Where it does not answer, the log says so once, and the batch goes on.

    Args:
        what: What it is about, for the log.
        tell: Does it.
        every: Seconds from the end of one call to the next.
    """
    owner, task = asyncio.current_task(), asyncio.create_task(_repeat(what, tell, every))

    def pass_on(ended: "asyncio.Task[None]") -> None:
        # Prefect raises its signal to terminate wherever the process is at that moment, so perhaps here.
        if not ended.cancelled() and ended.exception() is not None and owner is not None:
            owner.cancel()

    task.add_done_callback(pass_on)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _repeat(what: str, tell: Callable[[], Awaitable[None]], every: float) -> None:
    warned = False
    while True:
        await asyncio.sleep(every)
        try:
            await tell()
        except Exception as error:  # noqa: BLE001 - see above
            if not warned:
                logger.warning("%s: Prefect's server does not answer at the moment: %s", what, error)
            warned = True
        else:
            warned = False
