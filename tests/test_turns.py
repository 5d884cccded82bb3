"""Turns: never more than the limit, the urgent first, and none is lost with whoever gives up."""

from __future__ import annotations

import asyncio

from fakes import some_turns

from bon.generation.turns import Turns


def test_never_more_than_the_limit_and_the_urgent_first() -> None:
    began: list[int] = []

    async def run() -> None:
        turns, most, now = Turns(2), 0, 0

        async def one(priority: int) -> None:
            nonlocal most, now
            async with turns.turn(priority):
                began.append(priority)
                now += 1
                most = max(most, now)
                await some_turns(3)
                now -= 1

        await asyncio.gather(*(one(priority) for priority in (5, 4, 9, 1, 7, 1)))
        assert most == 2

    asyncio.run(run())
    assert began == [5, 4, 1, 1, 7, 9]


def test_who_gives_up_leaves_the_turn_to_others_waiting_or_called_or_at_work() -> None:
    async def run() -> None:
        turns = Turns(1)
        go = asyncio.Event()

        async def hold() -> None:
            async with turns.turn(0):
                await go.wait()

        first, waiting, called = (asyncio.create_task(hold()) for _ in range(3))
        await some_turns(3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        first.cancel()  # hands its turn to `called`, which is cancelled before it hears of it
        await asyncio.sleep(0)
        called.cancel()
        await asyncio.gather(first, called, return_exceptions=True)
        go.set()
        async with asyncio.timeout(5), turns.turn(0):
            pass

    asyncio.run(run())
