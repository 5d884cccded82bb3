"""Several servers as one: who gets the next request, and who is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

import pytest
from fakes import some_turns

from bon.generation.openai import pool as pools
from bon.generation.openai.pool import PATIENCE, Pool, Server


class Desk:
    """Takes places at a pool of servers `a`, `b`, ... and gives them back."""

    def __init__(self, servers: int, limit: int) -> None:
        self.pool = Pool("abcdefgh"[:servers], limit)
        self.given: list[str] = []
        self.placed = asyncio.Event()
        self._held: list[tuple[str, asyncio.Event, asyncio.Task[None]]] = []

    @property
    def servers(self) -> list[Server[str]]:
        return self.pool.servers

    async def ask(
        self, priority: int = 0, name: str = "", avoid: Collection[Server[str]] = ()
    ) -> asyncio.Task[None]:
        done = asyncio.Event()

        async def hold() -> None:
            async with self.pool.place(priority, avoid) as server:
                self.given.append(name or server.handle)
                self.placed.set()
                self._held.append((server.handle, done, task))
                await done.wait()

        task = asyncio.create_task(hold())
        await some_turns(3)
        return task

    async def give_back(self, server: str) -> None:
        place = next(i for i, held in enumerate(self._held) if held[0] == server)
        _, done, task = self._held.pop(place)
        done.set()
        await task
        await some_turns(3)

    async def close(self) -> None:
        while self._held:
            await self.give_back(self._held[0][0])


def play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, timeout=30))


def test_the_server_with_the_fewest_under_way_is_next() -> None:
    async def work() -> None:
        desk = Desk(servers=3, limit=9)
        for _ in range(4):
            await desk.ask()
        assert desk.given == ["a", "b", "c", "a"]
        await desk.give_back("b")
        await desk.ask()
        assert desk.given[-1] == "b"
        await desk.close()

    play(work())


def test_no_server_gets_more_than_the_limit() -> None:
    async def work() -> None:
        desk = Desk(servers=2, limit=2)
        assert desk.pool.capacity == 4
        for _ in range(5):
            await desk.ask()
        assert sorted(desk.given) == ["a", "a", "b", "b"]
        await desk.give_back("b")
        assert desk.given[-1] == "b"
        await desk.close()

    play(work())


def test_what_waits_goes_by_priority_then_by_arrival() -> None:
    async def work() -> None:
        desk = Desk(servers=1, limit=1)
        await desk.ask(name="first")
        for priority, name in ((5, "late"), (1, "urgent"), (5, "later"), (-3, "most urgent")):
            await desk.ask(priority, name)
        for _ in range(4):
            await desk.give_back("a")
        assert desk.given == ["first", "most urgent", "urgent", "late", "later"]
        await desk.close()

    play(work())


def test_who_avoids_a_server_waits_for_another_and_lets_others_pass() -> None:
    async def work() -> None:
        desk = Desk(servers=2, limit=1)
        await desk.ask()
        await desk.ask()
        await desk.ask(name="avoids a", avoid=[desk.servers[0]])
        await desk.ask(name="takes any")
        await desk.give_back("a")
        assert desk.given[2:] == ["takes any"]
        await desk.give_back("b")
        assert desk.given[3:] == ["avoids a"]
        await desk.close()

    play(work())


@pytest.mark.parametrize("when", ["waiting", "given"])
def test_a_place_that_is_no_longer_wanted_is_free_for_the_next(when: str) -> None:
    async def work() -> None:
        desk = Desk(servers=1, limit=1)
        await desk.ask()
        unwanted = await desk.ask()
        if when == "waiting":
            unwanted.cancel()
            await desk.give_back("a")
        else:  # its place is given in the very turn in which it is cancelled
            desk.servers[0].under_way -= 1
            desk.pool._assign()
            unwanted.cancel()
            desk.servers[0].under_way += 1
            await asyncio.gather(unwanted, return_exceptions=True)
            await desk.give_back("a")
        await asyncio.gather(unwanted, return_exceptions=True)
        await desk.ask()
        assert desk.given == ["a", "a"]
        await desk.close()
        assert desk.servers[0].under_way == 0

    play(work())


def test_a_server_that_keeps_failing_is_left_out() -> None:
    async def work() -> None:
        desk = Desk(servers=2, limit=4)
        dead = desk.servers[0]
        for _ in range(PATIENCE):
            desk.pool.failed(dead)
        for _ in range(3):
            await desk.ask()
        assert desk.given == ["b", "b", "b"]
        await desk.close()

    play(work())


def test_an_answer_in_between_forgives_the_failures_before() -> None:
    async def work() -> None:
        desk = Desk(servers=1, limit=4)
        for _ in range(PATIENCE):
            desk.pool.failed(desk.servers[0])
            desk.pool.answered(desk.servers[0])
        assert not desk.servers[0].suspect
        assert desk.servers[0].closed_until == 0

    play(work())


def test_one_left_out_is_tried_with_one_request_and_an_answer_brings_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "SHORTEST", 0.02)

    async def work() -> None:
        desk = Desk(servers=1, limit=4)
        server = desk.servers[0]
        desk.pool.leave_out(server)
        waiting = [await desk.ask() for _ in range(3)]
        assert desk.given == []
        await desk.placed.wait()  # nothing but the passing of its rest wakes them
        await some_turns(5)
        assert desk.given == ["a"]
        desk.pool.answered(server)
        await desk.give_back("a")
        assert desk.given == ["a", "a", "a"]
        await desk.close()
        await asyncio.gather(*waiting)

    play(work())


def test_each_further_failure_doubles_the_time_until_the_next_try() -> None:
    async def work() -> None:
        desk = Desk(servers=1, limit=4)
        server = desk.servers[0]
        now = asyncio.get_running_loop().time()
        rests = []
        for _ in range(PATIENCE + 9):
            desk.pool.failed(server)
            rests.append(server.closed_until - now)
        assert rests[: PATIENCE - 1] == [-now] * (PATIENCE - 1)
        doubled = [min(pools.LONGEST, pools.SHORTEST * 2**i) for i in range(10)]
        assert rests[PATIENCE - 1 :] == pytest.approx(doubled, abs=0.5)

    play(work())


def test_one_that_asks_for_a_rest_gets_it_and_is_not_taken_for_dead() -> None:
    async def work() -> None:
        desk = Desk(servers=2, limit=4)
        desk.pool.rest(desk.servers[0], 3600)
        for _ in range(2):
            await desk.ask()
        assert desk.given == ["b", "b"]
        assert not desk.servers[0].suspect
        await desk.close()

    play(work())
