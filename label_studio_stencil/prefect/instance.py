"""Opens the Label Studio of a run."""

import contextlib
from collections.abc import AsyncIterator

from label_studio_stencil.access import Instance, open_label_studio, open_sandbox
from label_studio_stencil.options import Options
from label_studio_stencil.prefect.credentials import LabelStudioCredentials, label_studio_settings
from label_studio_stencil.prefect.limits import shared_rate


@contextlib.asynccontextmanager
async def open_instance(
    credentials: LabelStudioCredentials | str, options: Options, *, sandbox: bool = False, warn: bool = True
) -> AsyncIterator[Instance]:
    """Open the Label Studio of a run, within the rate that all runs share.

    Args:
        credentials: A block or its name; empty takes the Label Studio that the environment names.
        options: How the batch is to be run.
        sandbox: Open the embedded sandbox instead.
        warn: Log a warning where no limit holds the rate of several runs.

    Raises:
        CredentialsUnusable: There is no such block.
        LabelStudioError: Label Studio did not answer, or refused the token.
    """
    async with shared_rate(warn=warn and not sandbox) as share:
        toll = share.take if share else None
        if sandbox:
            opened = open_sandbox(options, toll=toll)
        else:
            opened = open_label_studio(await label_studio_settings(credentials), options, toll=toll)
        async with opened as instance:
            yield instance
