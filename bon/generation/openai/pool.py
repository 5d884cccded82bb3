"""Several servers as one: who takes the next request, and who is left out for a while.

The server with the fewest requests under way takes the next one; each takes `limit` at most, and what
has to wait does so here, the lowest priority number first. After `PATIENCE` failures in a row a server
is left out, then tried with one request at a time, at intervals that double up to `LONGEST` seconds;
its first answer brings it back. One that asks for a rest gets it, and is not taken for dead.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

PATIENCE = 3
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds that a server is left out after the first failure too many, and at most."""

T = TypeVar("T")


@dataclass(eq=False)
class Server(Generic[T]):
    """One server of a pool. Times are those of the event loop, in seconds."""

    handle: T
    under_way: int = 0
    failures: int = 0
    """In a row; 0 after each answer."""
    closed_until: float = 0.0

    def takes_more(self, limit: int, now: float) -> bool:
        """Whether it may be given another request."""
        return now >= self.closed_until and self.under_way < (1 if self.suspect else limit)

    @property
    def suspect(self) -> bool:
        """Whether it has failed so often that one request at a time is enough to try it with."""
        return self.failures >= PATIENCE


class _Waiting(NamedTuple, Generic[T]):
    priority: int
    number: int
    """No two have the same, so comparing never comes to the rest."""
    place: asyncio.Future[Server[T]]
    avoid: Collection[Server[T]]


class Pool(Generic[T]):
    """Places at servers. To be used from one event loop."""

    def __init__(self, handles: Sequence[T], limit: int) -> None:
        self.servers = [Server(handle) for handle in handles]
        self.last_answer = float("-inf")
        """When a server last answered, by the event loop's clock."""
        self._limit = limit
        self._numbers = itertools.count()
        self._waiting: list[_Waiting[T]] = []
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def capacity(self) -> int:
        """How many requests may be under way at once."""
        return self._limit * len(self.servers)

    @asynccontextmanager
    async def place(
        self, priority: int = 0, avoid: Collection[Server[T]] = ()
    ) -> AsyncIterator[Server[T]]:
        """Wait for a server that takes one more request, none of `avoid`, and hold the place."""
        server = await self._enter(priority, avoid)
        try:
            yield server
        finally:
            self._leave(server)

    def answered(self, server: Server[T]) -> None:
        """The server did what it was asked for."""
        server.failures = 0
        self.last_answer = _now()

    def failed(self, server: Server[T]) -> None:
        """The server did not answer, or not sensibly."""
        server.failures += 1
        if server.suspect:
            self.rest(server, min(LONGEST, SHORTEST * 2.0 ** (server.failures - PATIENCE)))

    def leave_out(self, server: Server[T]) -> None:
        """The server is not there: try it again later."""
        server.failures = max(server.failures, PATIENCE - 1)
        self.failed(server)

    def rest(self, server: Server[T], seconds: float) -> None:
        """Give the server no request for so long."""
        server.closed_until = max(server.closed_until, _now() + seconds)

    def closed_for(self) -> float:
        """Seconds until a server takes requests again; 0 where one does."""
        return max(0.0, min(server.closed_until for server in self.servers) - _now())

    async def _enter(self, priority: int, avoid: Collection[Server[T]]) -> Server[T]:
        place: asyncio.Future[Server[T]] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, _Waiting(priority, next(self._numbers), place, avoid))
        self._assign()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # given just before it was no longer wanted
                self._leave(place.result())
            raise

    def _leave(self, server: Server[T]) -> None:
        server.under_way -= 1
        self._assign()

    def _assign(self) -> None:
        """Give places to who waits, as long as there are both."""
        now = _now()
        passed_over: list[_Waiting[T]] = []
        while self._waiting:
            takers = [s for s in self.servers if s.takes_more(self._limit, now)]
            if not takers:
                break
            first = heapq.heappop(self._waiting)
            if first.place.done():  # cancelled while it waited
                continue
            server = min(
                (s for s in takers if s not in first.avoid),
                key=lambda s: s.under_way,
                default=None,
            )
            if server is None:
                passed_over.append(first)
                continue
            server.under_way += 1
            first.place.set_result(server)
        for waiting in passed_over:
            heapq.heappush(self._waiting, waiting)
        if self._waiting:
            self._wake_up_later(now)

    def _wake_up_later(self, now: float) -> None:
        """Look again when the next rest is over; a place that is left is looked at in any case."""
        rests = [s.closed_until for s in self.servers if s.closed_until > now]
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(min(rests), self._assign) if rests else None


def _now() -> float:
    return asyncio.get_running_loop().time()
