"""One thread with an event loop that owns the engines; sync code, notebooks and other loops submit to it.

An engine outlives the call that started it and belongs to one event loop, while callers come from
scripts without a loop, notebooks whose loop is busy running the cell, threads, and loops of their own.
So there is one loop for all of them, in a thread that `portal` starts when it is first needed. `close`,
or the end of the interpreter, ends it: what runs is cancelled, engines stop, the thread is joined.

(anyio's blocking portal does the same while a `with` lasts. This one lives as long as the interpreter
and still has to stop its engines before that is gone, so the loop is its own.)
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 (ends executors; what is registered later, below, comes before)
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

from bon.shared import SharedEngines
from bon.types import BonError

T = TypeVar("T")
Release = Callable[[], Coroutine[Any, Any, None]]

_lock = threading.Lock()
_running: Portal | None = None


def portal() -> Portal:
    """The portal of this process, started if need be."""
    global _running
    with _lock:
        if _running is None:
            _running = Portal()
        return _running


def close() -> None:
    """Stop every engine that `bon` runs for Python code; whatever is used next starts anew."""
    global _running
    with _lock:
        ended, _running = _running, None
    if ended is not None:
        ended.close()


class Portal:
    """An event loop in a thread of its own. Made by `portal`, ended by `close`."""

    def __init__(self) -> None:
        self.engines = SharedEngines()
        self._work: set[asyncio.Task[Any]] = set()
        self._open: list[AsyncExitStack] = []
        self._closing = threading.Event()
        self._failure: BaseException | None = None
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="bon portal")
        self._thread.start()
        self._loop, self._end = ready.result()

    @property
    def alive(self) -> bool:
        """Whether it takes work."""
        return self._thread.is_alive() and not self._closing.is_set()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Have `work` done there. Cancelling the future cancels it."""
        if not self.alive:
            work.close()
            raise BonError("the engines have been closed")
        return asyncio.run_coroutine_threadsafe(self._done(work), self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Have `work` done and wait for it. Whatever ends the wait, such as Ctrl-C, cancels it."""
        if threading.current_thread() is self._thread:
            work.close()
            raise BonError("this runs on bon's own event loop: await the async form instead")
        future = self.submit(work)
        try:
            return future.result()
        finally:
            future.cancel()

    async def acall(self, work: Coroutine[Any, Any, T]) -> T:
        """Have `work` done and await it, from any event loop. Cancelling the caller cancels it."""
        return await asyncio.wrap_future(self.submit(work))

    async def hold(self, context: AbstractAsyncContextManager[T]) -> tuple[T, Release]:
        """Enter `context`; it is left by what comes with its value, at the latest when the portal ends.

        To be awaited in the portal.
        """
        stack = AsyncExitStack()
        value = await stack.enter_async_context(context)
        self._open.append(stack)

        async def release() -> None:
            if stack in self._open:
                self._open.remove(stack)
                await stack.aclose()

        return value, release

    def close(self) -> None:
        """Cancel what runs, leave what is open, join the thread; raises what went wrong with that."""
        self._closing.set()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    async def _done(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._work.add(task)
        try:
            return await work
        finally:
            self._work.discard(task)

    def _run(self, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        try:
            asyncio.run(self._live(ready))
        except BaseException as error:
            self._failure = error

    async def _live(self, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        end = asyncio.Event()
        ready.set_result((asyncio.get_running_loop(), end))
        await end.wait()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        async with AsyncExitStack() as everything:
            for stack in self._open:
                everything.push_async_callback(stack.aclose)


def _forget() -> None:
    """In a forked process: the thread and its engines are the parent's."""
    global _running, _lock
    _running, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
# Not `atexit`: its functions are called after all threads have been waited for, and ours waits for this
# one; and engines stop through an executor, which takes no work any more by then.
threading._register_atexit(close)  # type: ignore[attr-defined]
