"""One judge under several strategies: what two of them ask is answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from bon.generation import Backend, Reply, Request


@asynccontextmanager
async def shared(backend: Backend) -> AsyncIterator[Backend]:
    """The back end, working on each request once, however often it is made.

    A draw is a function of its request, seed included, so sharing changes no verdict. A request that
    its strategy dropped is finished all the same: another may want it. At the end, what nobody waits
    for any more is abandoned.
    """
    once = _Shared(backend)
    try:
        yield once
    finally:
        await once.close()


class _Shared:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._replies: dict[Hashable, asyncio.Task[Reply]] = {}

    @property
    def identity(self) -> str:
        return self._backend.identity

    @property
    def capacity(self) -> int:
        return self._backend.capacity

    async def generate(self, request: Request) -> Reply:
        resumed = request.resume and (request.resume.text, request.resume.token_ids)
        key = (request.chat, request.sampling, resumed, request.close)
        if key not in self._replies:
            self._replies[key] = asyncio.create_task(self._generate(request))
        return await asyncio.shield(self._replies[key])

    async def close(self) -> None:
        for task in self._replies.values():
            task.cancel()
        await asyncio.gather(*self._replies.values(), return_exceptions=True)

    async def _generate(self, request: Request) -> Reply:
        return await self._backend.generate(request)
