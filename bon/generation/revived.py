"""A back end that is started when it is first needed, and again, once, when its engine dies under a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from bon.generation import Backend, Reply, Request
from bon.types import BonError, EngineError

Start = Callable[[], AbstractAsyncContextManager[Backend]]

CAPACITY = 128
"""What an engine is taken to work on at once before it says so: enough to have it start, and work."""


@asynccontextmanager
async def revived(start: Start, identity: str | None = None) -> AsyncIterator[Backend]:
    """The back end that `start` gives. When it dies, what was under way goes to a second one.

    Where its `identity` is known beforehand, the first request starts it: a run whose every answer is
    in the ledger needs none. Raises `EngineError` when it dies twice, does not start, or turns out to
    be another than it was taken for.
    """
    async with AsyncExitStack() as stack:
        backend = _Revived(start, stack, identity or "")
        if identity is None:
            await backend.begin()
        try:
            yield backend
        finally:
            await backend.settle()


async def begin(backend: Backend) -> None:
    """Start it now, where it would wait for its first request."""
    if isinstance(backend, _Revived):
        await backend.begin()


class _Revived:
    def __init__(self, start: Start, stack: AsyncExitStack, identity: str) -> None:
        self.identity = identity
        self._start = start
        self._stack = stack
        self._backend: Backend | None = None
        self._starting: asyncio.Task[None] | None = None
        self._death: EngineError | None = None

    @property
    def capacity(self) -> int:
        return CAPACITY if self._backend is None else self._backend.capacity

    async def generate(self, request: Request) -> Reply:
        while True:
            backend = self._backend
            if backend is None:
                await self.begin()
                continue
            try:
                return await backend.generate(request)
            except EngineError as error:
                self._lose(backend, error)

    async def begin(self) -> None:
        """Return when it runs."""
        if self._backend is not None:
            return
        if self._starting is None:
            self._starting = asyncio.create_task(self._begin())
        # shielded: the call that waits here may be a vote that no longer matters
        await asyncio.shield(self._starting)

    async def settle(self) -> None:
        """Give up a start that is under way."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)

    def _lose(self, dead: Backend, error: EngineError) -> None:
        if self._backend is not dead:
            return
        if self._death is not None:
            raise EngineError(f"{error}; it had been restarted once. {_ON_DISK}") from error
        self._death, self._backend = error, None

    async def _begin(self) -> None:
        with suppress(Exception):  # a dead engine may not even stop properly
            await self._stack.aclose()
        try:
            backend = await self._stack.enter_async_context(self._start())
        except BonError as error:
            if self._death is None:
                raise
            raise EngineError(
                f"{self._death}; it could not be restarted: {error}. {_ON_DISK}"
            ) from error
        if backend.identity != (self.identity or backend.identity):
            raise EngineError(
                f"{self.identity} has become {backend.identity} since this run began: run again"
            )
        self.identity = backend.identity
        self._backend, self._starting = backend, None


_ON_DISK = "What was judged is on disk: mend the cause, then run with --resume"
