"""The limit across runs: Prefect's global concurrency limit `label-studio`, of which each request takes a slot."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from http import HTTPStatus

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger

from stencil.pacing import Pacer

#: Name of the global concurrency limit; its slots decay, so that it is a rate.
LIMIT_NAME = "label-studio"

#: Slots are fetched in so many parts of the limit: a call to Prefect's server for each request would take longer than it.
_PARTS = 4


class Share:
    """The slots that this run has fetched and not used yet.

    Prefect's own `rate_limit` waits for as long as the server says, which is twice as long as slots take to come free, and
    longer the more there are who wait: two batches came to 40 % of their joint rate (measured on Prefect 3.8.8). This asks
    again when a part of the slots must have come free.
    """

    def __init__(self, client: PrefectClient, limit: GlobalConcurrencyLimitResponse) -> None:
        self._client = client
        self._part = max(1, limit.limit // _PARTS)
        self._seconds = self._part / limit.slot_decay_per_second
        self._slots = 0
        self._fetching: asyncio.Task[None] | None = None
        self._held = True
        self._logger = get_run_logger()

    async def take(self) -> None:
        """Wait for one slot. Called by one request at a time."""
        while self._held and self._slots < 1:
            await asyncio.shield(self._fetch())
        self._slots -= 1
        if self._held and self._slots <= self._part // 2:
            # The next ones come while these are used.
            self._fetch()

    def _fetch(self) -> "asyncio.Task[None]":
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_part())
        return self._fetching

    async def _fetch_part(self) -> None:
        try:
            while not await self._given():  # noqa: ASYNC110 - what is waited for is elsewhere
                # Not all at the same moment.
                await asyncio.sleep(self._seconds * random.uniform(0.7, 1.1))
        except Exception as error:  # noqa: BLE001 - the batch goes on at its own pace where Prefect's server is gone
            self._logger.warning("The global concurrency limit %r is not held any more: %s", LIMIT_NAME, error)
            self._held = False
        self._slots += self._part

    async def _given(self) -> bool:
        try:
            await self._client.increment_concurrency_slots([LIMIT_NAME], self._part, "rate_limit")
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.LOCKED:
                raise
            return False
        return True

    async def close(self) -> None:
        """Fetch no more."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)


@contextlib.asynccontextmanager
async def shared_rate(pacer: Pacer) -> AsyncIterator[None]:
    """Let each request of a batch take a slot of the limit, where there is one."""
    async with get_client() as client:
        limit = await read_limit(client)
        if limit is None:
            yield
            return
        share = Share(client, limit)
        pacer.toll = share.take
        try:
            yield
        finally:
            pacer.toll = None
            await share.close()


async def read_limit(client: PrefectClient) -> GlobalConcurrencyLimitResponse | None:
    """The limit, or nothing where it does not exist or is no rate; says so in the run's log.

    Read once, at the start of a batch: who changes it, changes it for the next one.
    """
    logger = get_run_logger()
    try:
        limit = await client.read_global_concurrency_limit_by_name(LIMIT_NAME)
    except ObjectNotFound:
        logger.warning(
            "There is no global concurrency limit %r, so nothing holds the joint rate of several runs: "
            "`prefect gcl create %s --limit 10 --slot-decay-per-second 10` makes one.",
            LIMIT_NAME,
            LIMIT_NAME,
        )
        return None
    if not limit.active:
        return None
    if limit.slot_decay_per_second <= 0:
        logger.warning(
            "The global concurrency limit %r has no slot decay and so is no rate; it is not used. "
            "`prefect gcl update %s --slot-decay-per-second 10` makes it one.",
            LIMIT_NAME,
            LIMIT_NAME,
        )
        return None
    return limit
