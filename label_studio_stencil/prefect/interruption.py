"""The end of task runs whose flow run is interrupted: as cancelled ones, without errors in the log.

A worker's signal makes Prefect raise at any point of the process, and cancels everything that waits. A task that doesn't
catch it counts as crashed, with two errors in the log for each of its runs. So the tasks of a batch catch it, and the flow
raises it.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar, cast

from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun, TerminationSignal
from prefect.states import Cancelled

P = ParamSpec("P")
R = TypeVar("R")

_Body = Callable[P, Coroutine[Any, Any, R]]

#: Interruptions of tasks of the flow run so far; unset in tasks of other flows.
_caught: ContextVar[list[BaseException]] = ContextVar("caught")


def passes_interruptions(body: _Body[P, R]) -> _Body[P, R]:
    """Run the body of a flow so that what interrupts its tasks can be raised in it."""

    @functools.wraps(body)
    async def passing(*args: P.args, **kwargs: P.kwargs) -> R:
        with _catching():
            return await body(*args, **kwargs)

    return passing


# The wrappers don't name the variable: `.serve()` sends them to another process, which a `ContextVar` can't be sent to.


@contextlib.contextmanager
def _catching() -> Iterator[None]:
    token = _caught.set([])
    try:
        yield
    finally:
        _caught.reset(token)


def _is_noted(interruption: BaseException) -> bool:
    """Note what interrupted a task, and return whether the flow raises it."""
    caught = _caught.get(None)
    if caught is not None:
        caught.append(interruption)
    return caught is not None


def cancelled_in_order(body: _Body[P, R]) -> _Body[P, R]:
    """Run the body of a task so that its run ends as cancelled if its flow is interrupted.

    `uninterrupted` raises the interruption in the flow.
    """

    @functools.wraps(body)
    async def ordered(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await body(*args, **kwargs)
        except (asyncio.CancelledError, TerminationSignal) as interruption:
            if not _is_noted(interruption):
                raise
            return cast("R", Cancelled(message="The run was interrupted."))

    return ordered


async def uninterrupted(call: Awaitable[R]) -> R:
    """Wait for a task run, and return its result or state.

    Raises:
        asyncio.CancelledError: Its flow run was cancelled.
        TerminationSignal: The worker ends its flow run.
    """
    try:
        result = await call
    except CancelledRun:
        raise _caught.get()[-1] from None
    if isinstance(result, State) and result.is_cancelled():
        raise _caught.get()[-1]
    return result
