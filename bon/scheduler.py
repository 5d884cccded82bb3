"""Many tournaments over one judge: everything they ask for meets in one pool, without barriers.

No tournament waits for another and no match for a round: a call goes out as soon as its strategy asks
for it, and the back end batches whatever is there. New tournaments are admitted, in the order in which
they came, while those that run do not fill the judge's batch, so what is in memory does not grow with
the input. `play_all` fills a pool from one input; a session (`bon.session`) lets whoever asks fill it.

Who goes first, where the back end has a choice: while prompts wait for admission, earlier prompts, as
each that ends makes room; after the last has been admitted, those with the most stages before them, as
the longest chain of calls is what the end then waits for. Calls that a strategy asks for at once go out
with those next to each other that share their first candidate, and with it a cached prefix.
Order of submission and arrival change when things happen, never what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass

from bon.judge import PairwiseJudge
from bon.tournament import Ask, Step, Tournament
from bon.types import Verdict

Hear = Callable[[Ask, Verdict], None]
"""Told every verdict as it comes, with the call that it answers."""


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
    judge: PairwiseJudge,
    *,
    calls: Callable[[], int],
    heard: Callable[[Verdict], None],
    over: Callable[[Entry], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Play every tournament to its end, with about `calls()` judge calls under way.

    `heard` is told every verdict as it comes, `over` every tournament as it ends. Once `stop` is set no
    more are admitted; those that run go on. An `EngineError` of the judge ends all of it.
    """
    pool = Pool(calls)

    async def play(entry: Entry, first_step: Step) -> None:
        await pool.play(entry, first_step, judge, lambda _, verdict: heard(verdict))
        over(entry)

    async with asyncio.TaskGroup() as tournaments:
        async for entry in entries:
            # before the wait: what never began would complain of it when the run is cancelled
            step = entry.tournament.start()
            await pool.room.wait()
            if stop is not None and stop.is_set():
                break
            tournaments.create_task(play(entry, step))
            await asyncio.sleep(0)  # let it ask, so that the next look at the load sees its calls
        pool.all_admitted = True


class Room:
    """How much is under way, and whether there is room for more.

    `limit` is asked each time: an engine says what it works on at once only when it runs.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._taken = 0
        self._turn = asyncio.Lock()
        self._free = asyncio.Event()
        self._free.set()

    async def wait(self) -> None:
        """Return when there is room; who came first goes first.

        Whoever returns from here takes what it needs before it awaits anything else, so that the next
        in line sees it.
        """
        async with self._turn:
            await self._free.wait()

    def take(self, count: int = 1) -> None:
        """Have so much more under way, or less where it is negative."""
        self._taken += count
        if self._taken < self._limit():
            self._free.set()
        else:
            self._free.clear()


class Pool:
    """The calls of all tournaments: how many are under way, and which matter most."""

    def __init__(self, calls: Callable[[], int]) -> None:
        self.all_admitted = False
        """Whether no further tournament will come, so that the longest chains now matter most."""
        self.room = Room(calls)
        self._depths: dict[int, int] = {}

    async def play(self, entry: Entry, first_step: Step, judge: PairwiseJudge, heard: Hear) -> None:
        """Play one tournament to its end. Cancelled, it aborts its calls and leaves their room to others."""
        running: dict[Ask, asyncio.Task[None]] = {}
        over = asyncio.get_running_loop().create_future()
        depth = 0

        async def call(ask: Ask, stage: int) -> None:
            """Make this call, then the first that its answer asks for, and so on: fewer tasks to start."""
            nonlocal depth
            task = asyncio.current_task()
            following: Ask | None = ask
            while following is not None:
                ask = following
                verdict = await judge.compare(
                    entry.query,
                    entry.texts[ask.first],
                    entry.texts[ask.second],
                    repeat=ask.repeat,
                    attempt=ask.attempt,
                    priority=self._priority(entry, stage),
                )
                heard(ask, verdict)
                step = entry.tournament.answer(ask, verdict)
                # gone where it was dropped, but ended before it could be cancelled
                ended = running.pop(ask, None) is not None
                depth = max(depth, stage)
                stage += 1
                following = submit(step, stage, ended=ended, task=task)
            if not running and not over.done():
                over.set_result(None)

        def submit(
            step: Step, stage: int, *, ended: bool = False, task: asyncio.Task[None] | None = None
        ) -> Ask | None:
            """Take up what changed after a call that `ended`; gives a call that is left to its `task`."""
            for ask in step.dropped:
                running.pop(ask).cancel()
            # at once: no other tournament comes between a call and its successors
            self.room.take(len(step.asked) - len(step.dropped) - ended)
            asked = sorted(step.asked) if len(step.asked) > 1 else step.asked
            for ask in asked[task is not None :]:
                running[ask] = group.create_task(call(ask, stage))
            if task is None or not asked:
                return None
            running[asked[0]] = task
            return asked[0]

        try:
            async with asyncio.TaskGroup() as group:
                submit(first_step, 1)
                try:
                    if running:
                        await over
                except asyncio.CancelledError:
                    # in the order in which they were asked: what is in the engine is told first, and
                    # not somewhere among thousands that only wait for their turn
                    for task in running.values():
                        task.cancel()
                    raise
        finally:  # what failed or was cancelled
            self.room.take(-len(running))
        n = len(entry.texts)
        self._depths[n] = max(depth, self._depths.get(n, 0))

    def _priority(self, entry: Entry, stage: int) -> int:
        """A lower number goes first; what is urgent at the end comes before all that went out earlier."""
        if not self.all_admitted:
            return entry.position
        n = len(entry.texts)
        expected = self._depths.get(n) or (n - 1).bit_length()
        return -max(1, expected - stage + 1)
