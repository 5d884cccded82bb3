"""An engine that dies is started again once; Ctrl-C comes in two steps."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from fakes import reply, some_turns

from bon.draining import draining
from bon.generation import Backend, Chat, Reply, Request, Sampling
from bon.generation.revived import begin, revived
from bon.types import EngineError

REQUEST = Request(Chat(()), Sampling(1))


@dataclass
class Mortal:
    """A back end that answers so often and then is dead."""

    answers: int
    identity: str = "mortal"
    capacity: int = 4

    async def generate(self, request: Request) -> Reply:
        await some_turns(2)
        if self.answers == 0:
            raise EngineError("the engine died")
        self.answers -= 1
        return reply("alive")


@dataclass
class Nursery:
    """Starts back ends of these lifetimes, one after another."""

    lifetimes: list[int]
    log: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Backend]:
        if not self.lifetimes:
            raise EngineError("cannot load it")
        self.log.append("start")
        try:
            yield Mortal(self.lifetimes.pop(0))
        finally:
            self.log.append("stop")


def ask(nursery: Nursery, times: int) -> list[Reply]:
    async def run() -> list[Reply]:
        async with asyncio.timeout(10), revived(nursery.start) as backend:
            asks = (backend.generate(REQUEST) for _ in range(times))
            replies = await asyncio.gather(*asks, return_exceptions=True)
            for one in replies:
                if isinstance(one, BaseException):
                    raise one
            return [one for one in replies if isinstance(one, Reply)]

    return asyncio.run(run())


def test_what_was_under_way_when_an_engine_died_goes_to_the_next_one() -> None:
    nursery = Nursery([3, 99])
    assert len(ask(nursery, 10)) == 10
    assert nursery.log == ["start", "stop", "start", "stop"]


def test_an_engine_that_dies_twice_ends_the_run_and_says_how_to_go_on() -> None:
    nursery = Nursery([3, 3])
    with pytest.raises(EngineError, match=r"died; it had been restarted once.*run with --resume"):
        ask(nursery, 10)
    assert nursery.log == ["start", "stop", "start", "stop"]


def test_an_engine_that_does_not_start_again_is_an_error() -> None:
    with pytest.raises(
        EngineError, match=r"died; it could not be restarted: cannot load it.*--resume"
    ):
        ask(Nursery([1]), 5)


def test_a_restart_survives_the_call_that_noticed_the_death() -> None:
    nursery = Nursery([0, 9])

    async def run() -> Reply:
        async with revived(nursery.start) as backend:
            first = asyncio.create_task(backend.generate(REQUEST))
            await some_turns(3)
            first.cancel()
            return await backend.generate(REQUEST)

    assert asyncio.run(run()).generations[0].text == "alive"
    assert nursery.log == ["start", "stop", "start", "stop"]


def test_an_engine_whose_identity_is_known_starts_with_its_first_request() -> None:
    nursery = Nursery([9])

    async def run() -> None:
        async with revived(nursery.start, "mortal") as backend:
            await some_turns(5)
            assert (backend.identity, nursery.log) == ("mortal", [])
            await asyncio.gather(*(backend.generate(REQUEST) for _ in range(3)))
            assert nursery.log == ["start"]
            assert backend.capacity == 4

    asyncio.run(run())
    assert nursery.log == ["start", "stop"]


def test_an_engine_that_nobody_asks_never_starts() -> None:
    nursery = Nursery([9])

    async def run() -> None:
        async with revived(nursery.start, "mortal"):
            pass

    asyncio.run(run())
    assert nursery.log == []


def test_an_engine_may_be_started_before_it_is_asked() -> None:
    nursery = Nursery([9])

    async def run() -> None:
        async with revived(nursery.start, "mortal") as backend:
            await begin(backend)
            assert nursery.log == ["start"]

    asyncio.run(run())


def test_an_engine_that_is_not_what_it_was_taken_for_answers_nothing() -> None:
    async def run() -> None:
        async with revived(Nursery([9]).start, "another") as backend:
            await backend.generate(REQUEST)

    with pytest.raises(EngineError, match="another has become mortal since"):
        asyncio.run(run())


def test_a_start_is_given_up_when_nobody_wants_it_any_more() -> None:
    log = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[Backend]:
        log.append("start")
        try:
            await asyncio.sleep(60)
        finally:
            log.append("given up")
        yield Mortal(1)

    async def run() -> None:
        async with asyncio.timeout(10), revived(slow, "mortal") as backend:
            asking = asyncio.create_task(backend.generate(REQUEST))
            await some_turns(3)
            asking.cancel()

    asyncio.run(run())
    assert log == ["start", "given up"]


def interrupted(times: int, seconds: float, work: float) -> tuple[list[str], bool, bool]:
    """What is said, whether the work ended, and whether it ended in KeyboardInterrupt."""
    said: list[str] = []
    finished = False

    async def run() -> None:
        nonlocal finished
        async with draining(said.append, seconds) as stop:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0.01)
            assert stop.is_set() == (times > 0)
            await asyncio.sleep(work)
            finished = True

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return said, finished, True
    return said, finished, False


def test_the_first_interrupt_lets_what_is_under_way_end() -> None:
    said, finished, stopped = interrupted(1, seconds=20, work=0.05)
    assert (finished, stopped) == (True, True)
    assert len(said) == 1


def test_what_takes_too_long_after_the_first_interrupt_is_cancelled() -> None:
    assert interrupted(1, seconds=0.05, work=20)[1:] == (False, True)


def test_the_second_interrupt_stops_at_once() -> None:
    assert interrupted(2, seconds=20, work=20)[1:] == (False, True)


def test_without_an_interrupt_nothing_is_different() -> None:
    assert interrupted(0, seconds=1, work=0) == ([], True, False)


# --- the engine's process ------------------------------------------------------------------------------

PARENT = """
import multiprocessing
from bon.generation.engine import children_without_main

with children_without_main():
    engine = "import time; print('up', flush=True); time.sleep(60); print('outlived it', flush=True)"
    child = multiprocessing.get_context("spawn").Process(target=exec, args=(engine,))
    child.start()
child.join()
"""


def test_no_engine_outlives_the_process_that_started_it() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        parent.kill()
        assert parent.stdout.read() == ""  # which ends when the child does, for it has inherited it
