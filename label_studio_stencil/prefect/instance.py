"""Opens the Label Studio of a run."""

import contextlib
from collections.abc import AsyncIterator

from label_studio_stencil.access import Instance, open_label_studio, open_sandbox
from label_studio_stencil.labelstudio.address import host_of
from label_studio_stencil.options import Options
from label_studio_stencil.prefect.credentials import LabelStudioCredentials, label_studio_settings
from label_studio_stencil.prefect.limits import shared_rate
from label_studio_stencil.problems import StencilError


async def host_of_run(credentials: LabelStudioCredentials | str, *, sandbox: bool = False) -> str:
    """Return the host of the Label Studio of a run, or `sandbox`; empty where none is known."""
    if sandbox:
        return "sandbox"
    try:
        return host_of((await label_studio_settings(credentials)).url)
    except StencilError:
        return ""


@contextlib.asynccontextmanager
async def open_instance(
    credentials: LabelStudioCredentials | str, options: Options, *, sandbox: bool = False, warn: bool = True
) -> AsyncIterator[Instance]:
    """Open the Label Studio of a run, within the rate that all runs on it share.

    Args:
        credentials: A block or its name; empty takes the Label Studio that the environment names.
        options: Options of the batch.
        sandbox: Open the embedded sandbox instead.
        warn: Log a warning if no limit applies to the joint rate of several runs.

    Raises:
        CredentialsUnusable: There is no such block.
        LabelStudioError: Label Studio did not answer, or refused the token.
    """
    if sandbox:
        async with open_sandbox(options) as instance:
            yield instance
        return
    settings = await label_studio_settings(credentials)
    async with (
        shared_rate(settings.url, warn=warn) as share,
        open_label_studio(settings, options, toll=share.take if share else None) as instance,
    ):
        yield instance
