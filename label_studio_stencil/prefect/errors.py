"""Failures in words: a task that fails for a reason it can name ends in a state that says it, without a traceback."""

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from prefect.client.schemas.objects import State
from prefect.states import Failed

from label_studio_stencil.problems import StencilError
from label_studio_stencil.redaction import redact

P = ParamSpec("P")
R = TypeVar("R")

#: Longest message of a state; a sheet may have a hundred thousand problems.
_LONGEST = 2000


def user_errors(call: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """The same call, with a `StencilError` turned into a failed state that carries it.

    Prefect logs a traceback for what a task raises, and none for a failed state that it returns. `value_of` raises the error
    where the task is awaited.
    """

    @functools.wraps(call)
    async def worded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except StencilError as error:
            return cast("R", failed_state(error))

    return worded


async def value_of(run: Awaitable[R]) -> R:
    """What a task that fails in words came to.

    Awaiting such a task gives its failed state, where a value is expected.

    Raises:
        StencilError: What the failed state carries.
    """
    result = await run
    return await result.aresult() if isinstance(result, State) else result


def failed_state(error: StencilError) -> State[Any]:
    """A failed state that says the error's sentence and carries the error."""
    text = redact(str(error))
    return Failed(message=text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…", data=error)
