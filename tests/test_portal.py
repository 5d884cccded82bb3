"""The thread that owns the engines: who may submit to it, and how it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fakes import Engines, FakeBackend, larger_number

from bon import api
from bon.api import Observer
from bon.portal import Portal, close, portal
from bon.shared import SharedEngines
from bon.types import BonError


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close()


async def thread_name() -> str:
    return threading.current_thread().name


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )


# --- who submits --------------------------------------------------------------------------------------


def test_there_is_one_thread_for_everybody() -> None:
    assert portal() is portal()
    assert portal().call(thread_name()) == "bon portal"
    assert sum(thread.name == "bon portal" for thread in threading.enumerate()) == 1


def test_code_inside_a_running_loop_may_wait_or_await() -> None:
    async def notebook() -> list[str]:
        return [portal().call(thread_name()), await portal().acall(thread_name())]

    assert asyncio.run(notebook()) == ["bon portal"] * 2


def test_its_own_loop_is_told_to_await_instead_of_waiting_for_itself() -> None:
    async def calls_back() -> str:
        return portal().call(thread_name())

    with pytest.raises(BonError, match="await"):
        portal().call(calls_back())


def test_what_the_work_raises_comes_out_as_it_is() -> None:
    error = LookupError("mine")

    async def fails() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        portal().call(fails())
    assert caught.value is error


def test_cancelling_whoever_awaits_cancels_the_work() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def give_up() -> None:
        waiting = asyncio.create_task(portal().acall(forever()))
        await asyncio.to_thread(begun.wait, 20)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(give_up())
    assert cancelled.wait(20)


# --- how it ends --------------------------------------------------------------------------------------


@asynccontextmanager
async def logged(log: list[str]) -> AsyncIterator[str]:
    log.append("entered")
    try:
        yield "value"
    finally:
        log.append("left")


def test_closing_cancels_what_runs_leaves_what_is_open_and_joins_the_thread() -> None:
    log: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cancelled")

    one = portal()
    one.call(one.hold(logged(log)))
    work = one.submit(forever())
    one.call(asyncio.sleep(0))
    close()
    assert log == ["entered", "cancelled", "left"]
    assert work.cancelled()
    assert not one.alive
    assert "bon portal" not in [thread.name for thread in threading.enumerate()]


def test_what_is_held_can_be_left_before() -> None:
    log: list[str] = []
    value, release = portal().call(portal().hold(logged(log)))
    portal().call(release())
    assert (value, log) == ("value", ["entered", "left"])
    close()
    assert log == ["entered", "left"]


def test_one_that_fails_to_close_does_not_keep_the_others_open() -> None:
    log: list[str] = []

    @asynccontextmanager
    async def fails() -> AsyncIterator[None]:
        yield
        raise ZeroDivisionError

    one = Portal()
    one.call(one.hold(logged(log)))
    one.call(one.hold(fails()))
    with pytest.raises(ZeroDivisionError):
        one.close()
    assert log == ["entered", "left"]


def test_closed_it_takes_no_work_and_the_next_use_starts_another() -> None:
    first = portal()
    close()
    with pytest.raises(BonError, match="closed"):
        first.call(thread_name())
    assert portal().call(thread_name()) == "bon portal"
    assert portal() is not first


HELD = """
import asyncio, contextlib, sys
from bon.portal import portal

@contextlib.asynccontextmanager
async def engine():
    try:
        yield
    finally:
        await asyncio.to_thread(print, "stopped", flush=True)  # as a real one stops

portal().call(portal().hold(engine()))
"""


@pytest.mark.parametrize(
    ("last_line", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise ZeroDivisionError", 1),
        ("portal().submit(asyncio.sleep(9999))", 0),
    ],
)
def test_what_is_open_is_left_when_the_interpreter_ends(last_line: str, code: int) -> None:
    ended = python(HELD + last_line)
    assert (ended.stdout, ended.returncode) == ("stopped\n", code)
    assert ("Traceback" in ended.stderr) is (last_line.startswith("raise"))


def test_a_forked_process_has_a_portal_of_its_own() -> None:
    ended = python(
        HELD
        + """
import os
if os.fork() == 0:
    portal().call(asyncio.sleep(0))
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    )
    assert (ended.stdout, ended.returncode) == ("stopped\n", 0)


# --- engines that several use ---------------------------------------------------------------------------


def test_an_engine_is_started_for_the_first_and_stopped_after_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engines = Engines({"one": FakeBackend(larger_number), "two": FakeBackend(larger_number)})
    monkeypatch.setattr(api, "engine", engines)

    async def use() -> None:
        shared = SharedEngines()
        async with shared("policy", "one", {"a": 1}, Observer()) as first:
            async with (
                shared("judge", "one", {"a": 1}, Observer()) as second,
                shared("judge", "two", {}, Observer()),
            ):
                assert first is second
                engines.log.append("both")
            engines.log.append("one left")
        async with shared("judge", "one", {"a": 1}, Observer()):
            pass

    asyncio.run(use())
    assert engines.log == [
        *("start one", "start two", "both", "stop two", "one left", "stop one"),
        *("start one", "stop one"),
    ]


def test_other_arguments_are_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = Engines({"one": FakeBackend(larger_number)})
    monkeypatch.setattr(api, "engine", engines)

    async def use() -> None:
        shared = SharedEngines()
        async with (
            shared("judge", "one", {}, Observer()),
            shared("judge", "one", {"seed": 1}, Observer()),
        ):
            pass

    asyncio.run(use())
    assert engines.log.count("start one") == 2


def test_asked_for_at_once_it_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = Engines({"one": FakeBackend(larger_number)})
    monkeypatch.setattr(api, "engine", engines)

    async def use() -> None:
        shared = SharedEngines()

        async def one() -> None:
            async with shared("judge", "one", {}, Observer()):
                await asyncio.sleep(0)

        await asyncio.gather(*(one() for _ in range(5)))

    asyncio.run(use())
    assert engines.log.count("start one") == engines.log.count("stop one") == 1
