"""Ctrl-C in two steps: first finish what is under way, then stop at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

SECONDS = 10.0
"""How long the first Ctrl-C lets what is under way go on."""


@asynccontextmanager
async def draining(
    say: Callable[[str], None], seconds: float | None = None
) -> AsyncIterator[asyncio.Event]:
    """Within it, the first SIGINT sets the event and cancels `seconds` later, a second one cancels at once.

    Whoever heeds the event admits nothing more. Ends in `KeyboardInterrupt` where there was a SIGINT.
    """
    seconds = SECONDS if seconds is None else seconds
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    task = asyncio.current_task()
    assert task is not None

    def interrupted() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        say(
            f"interrupted: finishing what is under way, {seconds:.0f} s at most; again to stop at once"
        )
        loop.call_later(seconds, task.cancel)

    try:
        loop.add_signal_handler(signal.SIGINT, interrupted)
    except (NotImplementedError, RuntimeError, ValueError):  # not in the main thread, not on Unix
        yield stop
        return
    try:
        yield stop
    except asyncio.CancelledError:
        if stop.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    if stop.is_set():
        raise KeyboardInterrupt
