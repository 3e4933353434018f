"""Ends an operator's command in words, whatever came in between: `python -m deployments.*`."""

import asyncio
import sys
from collections.abc import Callable

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from label_studio_stencil.problems import StencilError


def user_errors(call: Callable[[], int]) -> int:
    """The exit code of a command; 2, with a sentence, where it could not be carried out."""
    server = f"The Prefect server that PREFECT_API_URL names ({PREFECT_API_URL.value()})"
    try:
        problem = asyncio.run(_problem()) if PREFECT_API_URL.value() else None
        if problem is None:
            return call()
        said = f"{server} does not answer ({problem})."
    except StencilError as error:
        said = str(error)
    except PrefectHTTPStatusError as error:
        said = f"{server} refused it ({error.response.status_code})."
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}."
    sys.stderr.write(f"{said}\n")
    return 2


async def _problem() -> Exception | None:
    async with get_client() as client:
        return await client.api_healthcheck()
