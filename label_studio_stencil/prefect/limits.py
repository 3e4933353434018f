"""Limits across runs, by Prefect's global concurrency limits: their joint rate of requests, and one run at a time at an inbox.

Each request takes a slot of the limit of its Label Studio, `label-studio-HOST`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger

from label_studio_stencil.inbox.errors import InboxTaken
from label_studio_stencil.labelstudio.address import host_of
from label_studio_stencil.labelstudio.pacing import spread

if TYPE_CHECKING:
    from label_studio_stencil.inbox.folder import Inbox

#: Name of the credentials block that bootstrap makes unless another one is named.
DEFAULT_BLOCK = "label-studio"

#: Seconds for which slots are fetched in one call: a call to Prefect's server takes longer than a request to Label Studio.
_SECONDS = 0.5
#: Factor for a run's own rate after a refusal; its increase after each grant and its minimum, as shares of the limit.
_DECREASE, _INCREASE, _LEAST = 0.7, 0.05, 0.02

#: Seconds after which the lock of a run that was killed may be taken from it.
LEASE = 120.0
#: Seconds after which any lock opens. When Prefect's server restarts, it forgets leases but not the locks that they hold
#: (measured on Prefect 3.8.8), so an inbox would stay locked for ever.
LONGEST_LOCK = 3 * 3600.0


class Share:
    """The slots that this run has fetched and not used yet.

    A refusal slows down all runs: the server counts decayed slots from its last answer, a refusal included, and forgets earlier
    ones (according to the code of Prefect 3.8.8, `bulk_update_denied_slots`). So a run asks as rarely as its own rate allows,
    which falls with each refusal and grows with each grant. In a simulation of that server, one run reaches the whole limit and
    two together 70 to 85 % of it. With Prefect's own `rate_limit`, which asks on a schedule of the server's, two runs reached
    40 %.

    Attributes:
        per_second: Slots a second for all runs together.
    """

    def __init__(self, client: PrefectClient, limit: GlobalConcurrencyLimitResponse) -> None:
        self._client, self._name = client, limit.name
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
            self._logger.warning("This run no longer holds the global concurrency limit %r: %s", self._name, error)
            self._held = False

    async def _given(self, slots: int) -> bool:
        try:
            await self._client.increment_concurrency_slots([self._name], slots, "rate_limit")
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


def queue_of(block: str) -> str:
    """Return the name of the work queue in which the batches of a credentials block take turns."""
    return "batches" if block in ("", DEFAULT_BLOCK) else f"batches-{block}"


#: The work queue of dry runs, which has no limit.
DRY_RUNS = "dry-runs"
#: The work queue of the polls of inboxes, one at a time.
POLLS = "polls"


def limit_of(url: str) -> str:
    """Return the name of the global concurrency limit of a Label Studio; its slots decay, so that it is a rate."""
    return f"label-studio-{host_of(url)}"


@contextlib.asynccontextmanager
async def shared_rate(url: str, *, warn: bool = True) -> AsyncIterator[Share | None]:
    """Join the limit of a Label Studio. Returns this run's share, of which each request takes a slot, or None without a limit.

    The limit is read once, before the first request. A change applies to the next batch.

    Args:
        url: Label Studio's base URL.
        warn: Log a warning if there is no limit.
    """
    async with get_client() as client:
        limit = await _read_limit(client, limit_of(url), warn=warn)
        if limit is None:
            yield None
            return
        share = Share(client, limit)
        try:
            yield share
        finally:
            await share.close()


async def _read_limit(client: PrefectClient, name: str, *, warn: bool) -> GlobalConcurrencyLimitResponse | None:
    """Read the limit; warn where it does not exist or is no rate."""
    logger = get_run_logger()
    try:
        limit = await client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        if warn:
            logger.warning(
                "There is no global concurrency limit %r, so nothing limits the joint rate of several runs: "
                "`prefect gcl create %s --limit 10 --slot-decay-per-second 10` makes one.",
                name,
                name,
            )
        return None
    if not limit.active:
        return None
    if limit.slot_decay_per_second <= 0:
        logger.warning(
            "The global concurrency limit %r has no slot decay, so it sets no rate and is not used. "
            "`prefect gcl update %s --slot-decay-per-second 10` adds one.",
            name,
            name,
        )
        return None
    return limit


@contextlib.asynccontextmanager
async def alone_at(inbox: "Inbox") -> AsyncIterator[None]:
    """Keep other runs away from an inbox with a global concurrency limit, which is created if it is missing.

    After a run was killed, its lease ends and frees the inbox. A run that only loses its connection to Prefect's server
    continues: two runs of a sheet at the same time still create each project once.

    Raises:
        InboxTaken: Another run is processing it.
    """
    name = f"stencil-inbox-{inbox.key}"
    taken = f"another run is at this inbox; if there is none: `prefect gcl update {name} --active-slots 0`"
    # Check first, because Prefect logs a refused attempt as an error.
    if await _is_held(name):
        raise InboxTaken(taken)
    try:
        async with concurrency(
            name, occupy=1, max_retries=0, lease_duration=LEASE, strict=True, raise_on_lease_renewal_failure=False
        ):
            yield
    except ConcurrencySlotAcquisitionError as error:
        refused = error.__cause__
        if not isinstance(refused, PrefectHTTPStatusError) or refused.response.status_code != HTTPStatus.LOCKED:
            raise
        raise InboxTaken(taken) from None


async def _is_held(name: str) -> bool:
    """Return whether somebody holds this lock, and create it where it is missing."""
    async with get_client() as client:
        try:
            return (await client.read_global_concurrency_limit_by_name(name)).active_slots > 0
        except ObjectNotFound:
            lock = GlobalConcurrencyLimitCreate(name=name, limit=1, slot_decay_per_second=1 / LONGEST_LOCK)
            with contextlib.suppress(ObjectAlreadyExists):
                await client.create_global_concurrency_limit(lock)
            return False
