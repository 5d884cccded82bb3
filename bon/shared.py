"""Engines that several use: each model is loaded once, and stopped when nobody uses it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bon import api
from bon.api import Observer
from bon.generation import Backend


class SharedEngines:
    """Stands in for `bon.api.engine`: the same model with the same arguments is the same engine."""

    def __init__(self) -> None:
        self._used: dict[str, _Engine] = {}
        # one that stops and one that starts would want the same memory
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def __call__(
        self, role: str, model: str, engine_args: Mapping[str, Any], observer: Observer
    ) -> AsyncIterator[Backend]:
        key = repr((model, sorted(engine_args.items())))
        async with self._turn:
            engine = self._used.get(key)
            if engine is None:
                stack = AsyncExitStack()
                context = api.engine(role, model, engine_args, observer)
                engine = _Engine(await stack.enter_async_context(context), stack)
                self._used[key] = engine
            engine.users += 1
        try:
            yield engine.backend
        finally:
            engine.users -= 1
            async with self._turn:
                if not engine.users and self._used.get(key) is engine:
                    del self._used[key]
                    await engine.stack.aclose()


@dataclass
class _Engine:
    backend: Backend
    stack: AsyncExitStack
    users: int = 0
