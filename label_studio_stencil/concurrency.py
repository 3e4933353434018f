"""Runs coroutines that end together, and one that ends in order."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar, overload

A = TypeVar("A")
B = TypeVar("B")


@overload
async def together(calls: tuple[Coroutine[Any, Any, A], Coroutine[Any, Any, B]]) -> tuple[A, B]: ...
@overload
async def together(calls: Iterable[Coroutine[Any, Any, A]]) -> tuple[A, ...]: ...
async def together(calls: Iterable[Coroutine[Any, Any, Any]]) -> tuple[Any, ...]:
    """The results of all, in order. If one raises an exception, the others are cancelled and end before it is raised.

    `asyncio.gather` would leave them running, and a task group wraps exceptions. Prefect's signal to terminate is raised
    wherever the process is at that moment, so in any of them.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return tuple(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def until_stopped(work: Coroutine[Any, Any, A], stop: Callable[[], None]) -> A:
    """Wait for the end of work. A first cancellation calls `stop` and goes on waiting, a second one cancels the work.

    Raises:
        asyncio.CancelledError: It was cancelled, even if the work ended.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop()
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        raise
