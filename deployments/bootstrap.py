"""Creates what the deployments need on a Prefect server: `python -m deployments.bootstrap`, once or again.

A work pool, and automations that end runs whose process is gone; and for the Label Studio that `LABEL_STUDIO_URL` and
`LABEL_STUDIO_API_KEY` name, once it has answered: a credentials block, a work queue that lets one batch run at a time, and the
global concurrency limit `label-studio-HOST` that holds the rate of all runs together. What exists is left as it is, except for
the block, which takes what the environment says now.

`--credentials staging` adds a second Label Studio, with the queue `batches-staging` and a limit of its own. `--pool` and
`--queue` name others, which may exist.

With `--alert BLOCK`, automations that notify by this block: when rows need attention, and when the nightly deployment has not
completed for 25 hours. `--watch watch-inbox/inbox=30m` says for which deployments instead, and how long.
"""

import argparse
import asyncio
import os
import re
import shlex
import sys
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from deployments.automations import (
    SILENT,
    UNENDED,
    alert,
    count_silent_as_crashed,
    count_unended_as_cancelled,
    period,
    watch,
)
from deployments.command import exit_code
from label_studio_stencil.access import open_label_studio
from label_studio_stencil.files import ALLOW
from label_studio_stencil.options import Options
from label_studio_stencil.prefect.credentials import LabelStudioCredentials
from label_studio_stencil.prefect.limits import DEFAULT_BLOCK, POLLS, limit_of, queue_of
from label_studio_stencil.settings import LabelStudioSettings, default_requests_per_second

POOL = "stencil"
#: Requests per second of all runs together, on a server of one's own: what a small one answers without slowing people down.
RATE = 50
#: The deployment that is watched unless others are named, and its period: a day, and an hour for the run.
NIGHTLY = ("create-projects/nightly", timedelta(hours=25))

#: What Prefect takes as the name of a block.
_BLOCK_NAME = re.compile("[a-z0-9-]+")


async def bootstrap(
    block: str,
    rate: int = 0,
    notify: str = "",
    watched: Mapping[str, timedelta] = MappingProxyType({}),
    *,
    pool: str = POOL,
    queue: str = "",
) -> list[str]:
    """Create what is missing, and return a line about each thing.

    Args:
        block: Name of the credentials block.
        rate: Requests per second of all runs on this Label Studio together; 0 leaves what is there, or takes what suits it.
        notify: The notification block for alerts, as TYPE/NAME; empty makes none.
        watched: Within which period a run of each of these deployments has to complete.
        pool: Name of the work pool; one that is missing becomes a process pool.
        queue: Name of the work queue; empty takes the block's own.

    Raises:
        NotThere: There is no such notification block.
        MissingSettings: The environment names no Label Studio.
        LabelStudioError: Label Studio does not answer, or refuses the token.
    """
    settings = LabelStudioSettings.from_environment()
    told = [await _label_studio_answers(settings)]
    async with get_client() as client:
        told.append(await _pool(client, pool))
        told.append(await _queue(client, queue or queue_of(block), pool, "batch"))
        told.append(await _queue(client, POLLS, pool, "poll"))
        told.append(await _limit(client, settings.url, rate))
    for name, made in ((SILENT, await count_silent_as_crashed()), (UNENDED, await count_unended_as_cancelled())):
        told.append(f"automation {name!r}: {'made' if made else 'is there'}")
    told.append(await _block(settings, block))
    told.append(_allow())
    if notify:
        alerts = [await alert(notify), *[await watch(notify, name, within) for name, within in watched.items()]]
        told += [f"automation {each.name!r}: notifies by {notify}" for each in alerts]
    return told


async def _label_studio_answers(settings: LabelStudioSettings) -> str:
    async with open_label_studio(settings, Options()) as label_studio:
        user = await label_studio.client.whoami()
        return (
            f"Label Studio: {label_studio.name} ({label_studio.edition.value}) answers, and the token is {user.email}'s"
        )


async def _pool(client: PrefectClient, name: str) -> str:
    try:
        pool = await client.read_work_pool(name)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        return f"work pool {name}: made, of type process"
    return f"work pool {name}: is there, of type {pool.type}"


async def _queue(client: PrefectClient, name: str, pool: str, what: str) -> str:
    try:
        queue = await client.read_work_queue_by_name(name, pool)
    except ObjectNotFound:
        await client.create_work_queue(name, concurrency_limit=1, work_pool_name=pool)
        return f"work queue {name}: made, one {what} at a time"
    if queue.concurrency_limit is None:
        # `prefect deploy` makes it without a limit where it is missing.
        await client.update_work_queue(queue.id, concurrency_limit=1)
        return f"work queue {name}: is there, now one {what} at a time"
    return f"work queue {name}: is there, {queue.concurrency_limit} at a time"


async def _limit(client: PrefectClient, url: str, rate: int) -> str:
    name, wanted = limit_of(url), rate or int(default_requests_per_second(url)) or RATE
    try:
        limit = await client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        limit = None
    if limit is not None and not rate:
        return f"global concurrency limit {name}: is there, {limit.slot_decay_per_second:g} requests per second"
    await client.upsert_global_concurrency_limit_by_name(name, wanted, slot_decay_per_second=wanted)
    return f"global concurrency limit {name}: {wanted} requests per second"


async def _block(settings: LabelStudioSettings, name: str) -> str:
    await LabelStudioCredentials.aregister_type_and_schema()
    await LabelStudioCredentials(url=settings.url, token=settings.token).asave(name, overwrite=True)
    return f"credentials block {name}: holds {settings.url} and the token"


def _watched(text: str) -> tuple[str, timedelta]:
    name, _, within = text.partition("=")
    try:
        return name, period(within)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{name}={error}") from None


def _allow() -> str:
    """Return the line to set where workers run, so that events and rows may name sheets, templates and tasks."""
    listed = os.environ.get(ALLOW, "") or "/folder/of/sheets,s3://bucket"
    return f"what rows and events may open (docs/security.md), to be set for the worker: export {ALLOW}={shlex.quote(listed)}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, or 2 where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m deployments.bootstrap", description=__doc__)
    parser.add_argument("--credentials", default=DEFAULT_BLOCK, metavar="NAME", help="name of the credentials block")
    parser.add_argument("--rate", type=int, default=0, metavar="N", help="requests per second of all runs together")
    parser.add_argument("--pool", default=POOL, metavar="NAME", help="work pool (default: %(default)s)")
    parser.add_argument(
        "--queue", default="", metavar="NAME", help="work queue (default: batches, or batches-CREDENTIALS)"
    )
    parser.add_argument("--alert", default="", metavar="BLOCK", help="notify by this notification block, TYPE/NAME")
    parser.add_argument(
        "--watch",
        action="append",
        type=_watched,
        metavar="DEPLOYMENT=PERIOD",
        help="notify when no run completes in time; with --alert, create-projects/nightly=25h unless others are given",
    )
    chosen = parser.parse_args(arguments)
    if chosen.watch and not chosen.alert:
        parser.error("argument --watch: say with --alert BLOCK whom to notify")
    if not _BLOCK_NAME.fullmatch(chosen.credentials):
        parser.error(f"argument --credentials: {chosen.credentials!r}: lower-case letters, digits and dashes alone")
    if chosen.rate < 0:
        parser.error(f"argument --rate: {chosen.rate}: give a number from 1, or 0 for what suits Label Studio")

    watched = dict(chosen.watch or [NIGHTLY])
    places = {"pool": chosen.pool, "queue": chosen.queue}
    return exit_code(lambda: asyncio.run(bootstrap(chosen.credentials, chosen.rate, chosen.alert, watched, **places)))


if __name__ == "__main__":
    sys.exit(main())
