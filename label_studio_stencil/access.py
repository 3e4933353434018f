"""Opens the Label Studio of a batch, with the limits of the options and the edition."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.labelstudio.pacing import Clock, Pacer, SystemClock, Toll
from label_studio_stencil.options import Options
from label_studio_stencil.settings import (
    MAX_CONCURRENCY,
    LabelStudioSettings,
    default_max_concurrency,
    default_path_rates,
    default_requests_per_second,
)


@dataclass(frozen=True, slots=True)
class Instance:
    """An open Label Studio.

    Attributes:
        client: The open client.
        edition: Its edition.
        pacer: The limits of this batch.
        name: Its name in messages: the address, or the sandbox.
        sandbox: Whether it is the embedded sandbox.
    """

    client: LabelStudio
    edition: Edition
    pacer: Pacer
    name: str
    sandbox: bool = False


@contextlib.asynccontextmanager
async def open_label_studio(
    settings: LabelStudioSettings,
    options: Options,
    *,
    sandbox: bool = False,
    clock: Clock | None = None,
    toll: Toll | None = None,
) -> AsyncIterator[Instance]:
    """A client with the limits of the options and the edition.

    Args:
        settings: Address and token.
        options: The options of the batch.
        sandbox: Whether it is the embedded sandbox.
        clock: The clock.
        toll: Awaited by each request before it leaves, for a limit that is shared with other processes.

    Raises:
        LabelStudioError: Label Studio did not answer, or refused the token.
    """
    pacer = Pacer(
        max_concurrency=options.max_concurrency or default_max_concurrency(Edition.ENTERPRISE),
        requests_per_second=options.requests_per_second or default_requests_per_second(settings.url),
        path_rates=default_path_rates(settings.url),
        clock=clock or SystemClock(),
        toll=toll,
    )
    async with LabelStudio(settings.url, settings.token, pacer=pacer, headers=settings.headers) as client:
        version = await client.version()
        if not options.max_concurrency:
            pacer.max_concurrency = default_max_concurrency(version.edition)
            pacer.max_reads = MAX_CONCURRENCY
        name = f"the embedded sandbox ({client.url})" if sandbox else client.url
        yield Instance(client, version.edition, pacer, name, sandbox)


@contextlib.asynccontextmanager
async def open_sandbox(
    options: Options, *, data: Path | None = None, toll: Toll | None = None
) -> AsyncIterator[Instance]:
    """The embedded sandbox, started for the time of a batch.

    Args:
        options: As for `open_label_studio`.
        data: File that its projects are kept in; by default `STENCIL_SANDBOX_DATA`, else `.stencil/sandbox.sqlite3`.
        toll: As for `open_label_studio`.
    """
    # Only who runs on the sandbox pays for importing a web server.
    from label_studio_sandbox import Sandbox

    path = data or Path(os.environ.get("STENCIL_SANDBOX_DATA") or DEFAULT_SANDBOX_DATA)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Sandbox(path) as sandbox:
        settings = LabelStudioSettings(url=sandbox.url, token=SecretStr(sandbox.token))
        async with open_label_studio(settings, options, sandbox=True, toll=toll) as label_studio:
            yield label_studio


#: Where the embedded sandbox keeps its projects between batches, from the current folder.
DEFAULT_SANDBOX_DATA = ".stencil/sandbox.sqlite3"
