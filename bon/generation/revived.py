"""A back end that is started again, once, when its engine dies under a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from bon.generation import Backend, Reply, Request
from bon.types import EngineError

Start = Callable[[], AbstractAsyncContextManager[Backend]]


@asynccontextmanager
async def revived(start: Start) -> AsyncIterator[Backend]:
    """The back end that `start` gives. When it dies, what was under way goes to a second one.

    Raises `EngineError` when that dies as well, or does not start.
    """
    async with AsyncExitStack() as stack:
        backend = _Revived(start, await stack.enter_async_context(start()), stack)
        try:
            yield backend
        finally:
            await backend.settle()


class _Revived:
    def __init__(self, start: Start, backend: Backend, stack: AsyncExitStack) -> None:
        self.identity = backend.identity
        self.capacity = backend.capacity
        self._start = start
        self._backend = backend
        self._stack = stack
        self._restart: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Reply:
        while True:
            backend = self._backend
            try:
                return await backend.generate(request)
            except EngineError as error:
                await self._replaced(backend, error)

    async def settle(self) -> None:
        """Wait for a restart that is under way: what it starts has to be stopped, too."""
        if self._restart is not None:
            await asyncio.wait([self._restart])

    async def _replaced(self, dead: Backend, error: EngineError) -> None:
        """Return when there is another back end than the dead one."""
        if self._restart is None:
            self._restart = asyncio.create_task(self._start_again())
        elif self._restart.done() and self._backend is dead:
            raise EngineError(
                f"{error}; it had been restarted once. What was judged is on disk:"
                " mend the cause, then run with --resume"
            ) from error
        # shielded: the call that waits here may be a vote that no longer matters
        await asyncio.shield(self._restart)

    async def _start_again(self) -> None:
        with suppress(Exception):  # a dead engine may not even stop properly
            await self._stack.aclose()
        self._backend = await self._stack.enter_async_context(self._start())
