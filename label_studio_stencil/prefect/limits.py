"""The limit across runs: Prefect's global concurrency limit `label-studio`, of which each request takes a slot."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger

from label_studio_stencil.labelstudio.pacing import spread

#: Name of the global concurrency limit; its slots decay, so that it is a rate.
LIMIT_NAME = "label-studio"

#: Slots are fetched for so many seconds at once: a call to Prefect's server for each request would take longer than it.
_SECONDS = 0.5
#: What a refusal leaves of a run's own rate, what a grant adds to it as a share of the limit, and the least that is left.
_DECREASE, _INCREASE, _LEAST = 0.7, 0.05, 0.02


class Share:
    """The slots that this run has fetched and not used yet.

    A refusal costs all: the server counts what has decayed from its last answer, a refusal included, and forgets what came
    before (read in Prefect 3.8.8, `bulk_update_denied_slots`). So a run asks as seldom as its own rate allows, which falls
    with each refusal and grows with each grant. In a simulation of that server one run comes to all of the limit, two to 70 to
    85 %; with Prefect's own `rate_limit`, which asks on a schedule of the server's, two runs came to 40 % of it.

    Attributes:
        per_second: Slots that all runs together may take in a second.
    """

    def __init__(self, client: PrefectClient, limit: GlobalConcurrencyLimitResponse) -> None:
        self._client = client
        self._limit = limit.limit
        self.per_second = self._rate = limit.slot_decay_per_second
        self._slots = 0
        self._next_ask = 0.0
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

    @property
    def _part(self) -> int:
        return max(1, min(self._limit, round(self._rate * _SECONDS)))

    def _fetch(self) -> "asyncio.Task[None]":
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_part())
        return self._fetching

    async def _fetch_part(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                await asyncio.sleep(max(0.0, self._next_ask - clock()))
                part, asked = self._part, clock()
                granted = await self._given(part)
                change = _INCREASE * self.per_second if granted else (_DECREASE - 1) * self._rate
                self._rate = min(self.per_second, max(_LEAST * self.per_second, self._rate + change))
                pause = part / self._rate
                self._next_ask = asked + (pause if granted else spread(pause, 0.1))
                if granted:
                    self._slots += part
                    return
        except Exception as error:  # noqa: BLE001 - the batch goes on at its own pace where Prefect's server is gone
            self._logger.warning("The global concurrency limit %r is not held any more: %s", LIMIT_NAME, error)
            self._held = False

    async def _given(self, slots: int) -> bool:
        try:
            await self._client.increment_concurrency_slots([LIMIT_NAME], slots, "rate_limit")
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
async def shared_rate() -> AsyncIterator[Share | None]:
    """A batch's share of the limit, of which each of its requests is to take a slot; nothing where there is none.

    Read once, before the first request: who changes the limit, changes it for the next batch.
    """
    async with get_client() as client:
        limit = await _read_limit(client)
        if limit is None:
            yield None
            return
        share = Share(client, limit)
        try:
            yield share
        finally:
            await share.close()


async def _read_limit(client: PrefectClient) -> GlobalConcurrencyLimitResponse | None:
    """The limit, or nothing where it does not exist or is no rate; says so in the run's log."""
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
