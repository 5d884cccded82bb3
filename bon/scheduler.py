"""Many tournaments over one judge: everything they ask for meets in one pool, without barriers.

No tournament waits for another and no match for a round: a call goes out as soon as its strategy asks
for it, and the back end batches whatever is there. New tournaments are admitted, in input order, while
those that run do not fill the judge's batch. Order of arrival changes when things happen, never what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass

from bon.judge import Judge
from bon.tournament import Ask, Step, Tournament
from bon.types import Verdict


@dataclass(frozen=True)
class Entry:
    """A tournament to play: `texts[seat]` is the response in that seat."""

    position: int
    """Place in the input; earlier ones go first."""
    query: str
    texts: Sequence[str]
    tournament: Tournament


async def play_all(
    entries: AsyncIterable[Entry],
    judge: Judge,
    *,
    calls: int,
    heard: Callable[[Verdict], None],
    over: Callable[[Entry], None],
) -> None:
    """Play every tournament to its end, with about `calls` judge calls under way.

    `heard` is told every verdict as it comes, `over` every tournament as it ends. An `EngineError` of
    the judge ends all of it.
    """
    load = _Load(calls)
    async with asyncio.TaskGroup() as tournaments:
        async for entry in entries:
            # before the wait: what never began would complain of it when the run is cancelled
            step = entry.tournament.start()
            await load.room()
            tournaments.create_task(_play(entry, step, judge, load, heard, over))
            await asyncio.sleep(0)  # let it ask, so that the next look at the load sees its calls


async def _play(
    entry: Entry,
    first_step: Step,
    judge: Judge,
    load: _Load,
    heard: Callable[[Verdict], None],
    over: Callable[[Entry], None],
) -> None:
    running: dict[Ask, asyncio.Task[None]] = {}

    async def call(ask: Ask) -> None:
        verdict = await judge.compare(
            entry.query,
            entry.texts[ask.first],
            entry.texts[ask.second],
            repeat=ask.repeat,
            attempt=ask.attempt,
            priority=entry.position,
        )
        heard(verdict)
        running.pop(ask, None)  # gone where it was dropped, but ended before it could be cancelled
        submit(entry.tournament.answer(ask, verdict))

    def submit(step: Step) -> None:
        for ask in step.dropped:
            running.pop(ask).cancel()
        load.add(len(step.asked))
        for ask in step.asked:
            running[ask] = task = group.create_task(call(ask))
            task.add_done_callback(lambda _: load.add(-1))

    async with asyncio.TaskGroup() as group:
        submit(first_step)
    over(entry)


class _Load:
    """How many judge calls are under way, and whether there is room for another tournament's."""

    def __init__(self, limit: int) -> None:
        self._calls = 0
        self._limit = limit
        self._room = asyncio.Event()
        self._room.set()

    def add(self, calls: int) -> None:
        self._calls += calls
        if self._calls < self._limit:
            self._room.set()
        else:
            self._room.clear()

    async def room(self) -> None:
        await self._room.wait()
