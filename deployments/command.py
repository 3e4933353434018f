"""Runs an operator's command against the Prefect server that `PREFECT_API_URL` names: `python -m deployments.*`."""

import asyncio
import sys
from collections.abc import Callable

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from label_studio_stencil.problems import StencilError


def exit_code(command: Callable[[], list[str]]) -> int:
    """Print the lines that a command returns; or return 2 and print one line, where it can't be carried out."""
    url = PREFECT_API_URL.value()
    try:
        if not url:
            message = (
                "PREFECT_API_URL names no Prefect server: start one (`make ui`) and export the line that it prints."
            )
        elif problem := asyncio.run(_problem()):
            message = f"The Prefect server {url} (PREFECT_API_URL) does not answer ({problem})."
        else:
            sys.stdout.writelines(f"{line}\n" for line in command())
            return 0
    except StencilError as error:
        message = str(error)
    except PrefectHTTPStatusError as error:
        message = f"The Prefect server {url} (PREFECT_API_URL) refused it ({error.response.status_code})."
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}."
    sys.stderr.write(f"{message}\n")
    return 2


async def _problem() -> Exception | None:
    async with get_client() as client:
        return await client.api_healthcheck()
