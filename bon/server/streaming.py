"""Answers while somebody waits for them: work ends when the client does, and a stream is kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bon.server.errors import refusal_of

T = TypeVar("T")


class ClientGone(Exception):
    """There is nobody to answer."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; it is cancelled, and `ClientGone` raised, when the client goes away first."""

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(listen())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


class Streamed(Response):
    """Server-sent events of chunks that are there all at once, when the work is done.

    Until then a comment goes out every `pause` seconds, so that nothing on the way takes the connection
    for dead. What fails within the first pause fails with a status of its own, later in the stream.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        work: Coroutine[Any, Any, T],
        chunks: Callable[[T], Iterable[dict[str, Any]]],
        comment: Callable[[], str],
        pause: float,
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._work = work
        self._chunks = chunks
        self._comment = comment
        self._pause = pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def say(event: str) -> None:
            nonlocal begun
            if not begun:
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
                begun = True
            await send({"type": "http.response.body", "body": event.encode(), "more_body": True})

        async def tell() -> None:
            task = asyncio.ensure_future(self._work)
            try:
                while not task.done():
                    await asyncio.wait((task,), timeout=self._pause)
                    if not task.done():
                        await say(f": {self._comment()}\n\n")
                if not begun:
                    chunks = self._chunks(await task)  # its error is the response
                else:
                    try:
                        chunks = self._chunks(await task)
                    except Exception as error:
                        chunks = [refusal_of(error).body]
                for chunk in chunks:
                    await say(f"data: {orjson.dumps(chunk).decode()}\n\n")
                await say("data: [DONE]\n\n")
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        with suppress(ClientGone):
            await unless_gone(receive, tell())
