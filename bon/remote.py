"""A session in the portal, for code that has no event loop, or another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from bon.api import Observer
from bon.job import Job
from bon.judge import PairwiseJudge
from bon.ledger import Ledger
from bon.portal import Portal, Release, portal
from bon.session import Session, session

T = TypeVar("T")
Work = Callable[[Session], Coroutine[Any, Any, T]]


class Remote:
    """A session that is opened in the portal when it is first needed, and again after it was closed."""

    def __init__(
        self,
        job: Job,
        judge: PairwiseJudge | None = None,
        ledger: str | Path | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._job = job
        self._judge = judge
        self._ledger = ledger
        self._observer = observer
        self._portal: Portal | None = None
        self._opening: asyncio.Task[tuple[Session, Release]] | None = None

    def submit(self, work: Work[T]) -> Future[T]:
        """Have it done; returns at once."""
        home = portal()
        return home.submit(self._done(work, home))

    def call(self, work: Work[T]) -> T:
        """Have it done and wait for it."""
        home = portal()
        return home.call(self._done(work, home))

    def call_all(self, works: Sequence[Work[T]]) -> list[T]:
        """Have all of it done at once and wait for it. The first error in their order ends it all."""
        futures = [self.submit(work) for work in works]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    async def acall(self, work: Work[T]) -> T:
        """Have it done and await it, on any event loop."""
        home = portal()
        return await home.acall(self._done(work, home))

    def close(self) -> None:
        """Close the session; its engines stop, unless others use them."""
        if self._portal is not None and self._portal.alive:
            self._portal.call(self._close())

    async def aclose(self) -> None:
        """As `close`."""
        if self._portal is not None and self._portal.alive:
            await self._portal.acall(self._close())

    async def _done(self, work: Work[T], home: Portal) -> T:
        if self._portal is not home:
            self._portal, self._opening = home, None
        if self._opening is None:
            self._opening = asyncio.create_task(home.hold(self._opened(home)))
        opening = self._opening
        try:
            # shielded: who waits here may give up, and others wait for the same
            opened, _ = await asyncio.shield(opening)
        except BaseException:
            if opening.done() and self._opening is opening:
                self._opening = None  # the next one tries again
            raise
        return await work(opened)

    @asynccontextmanager
    async def _opened(self, home: Portal) -> AsyncIterator[Session]:
        with nullcontext() if self._ledger is None else Ledger(self._ledger) as ledger:
            start = home.engines
            async with session(
                self._job, self._observer, ledger, judge=self._judge, start=start
            ) as opened:
                yield opened

    async def _close(self) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        opening.cancel()
        [opened] = await asyncio.gather(opening, return_exceptions=True)
        if not isinstance(opened, BaseException):
            await opened[1]()
