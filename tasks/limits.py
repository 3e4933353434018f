"""The limit across runs: Prefect's global concurrency limit `label-studio`, taken as a share for each group of rows."""

from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import rate_limit
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

#: Name of the global concurrency limit; its slots decay, so that it is a rate.
LIMIT_NAME = "label-studio"

#: Requests that a row takes on the average: one create, one PATCH, and little beside.
REQUESTS_PER_ROW = 2


async def read_limit() -> int:
    """The slots of the limit, or 0 where it does not exist or is no rate; says so once in the run's log.

    One call at the start of a batch, so that no group has to ask whether it is there.
    """
    async with get_client() as client:
        try:
            limit = await client.read_global_concurrency_limit_by_name(LIMIT_NAME)
        except ObjectNotFound:
            get_run_logger().warning(
                "There is no global concurrency limit %r, so nothing holds the joint rate of several runs: "
                "`prefect gcl create %s --limit 10 --slot-decay-per-second 10` makes one.",
                LIMIT_NAME,
                LIMIT_NAME,
            )
            return 0
    if not limit.active:
        return 0
    if limit.slot_decay_per_second <= 0:
        get_run_logger().warning(
            "The global concurrency limit %r has no slot decay and so is no rate; it is not used. "
            "`prefect gcl update %s --slot-decay-per-second 10` makes it one.",
            LIMIT_NAME,
            LIMIT_NAME,
        )
        return 0
    return limit.limit


async def take_share(rows: int, limit: int) -> None:
    """Wait until some rows may send their requests.

    Args:
        rows: Rows of the group.
        limit: Slots of the limit, as `read_limit` gave them; a share that exceeds it is taken in parts.
    """
    wanted = rows * REQUESTS_PER_ROW if limit else 0
    while wanted > 0:
        part = min(wanted, limit)
        await rate_limit(LIMIT_NAME, occupy=part, strict=False)
        wanted -= part
