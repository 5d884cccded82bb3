"""A server that speaks the OpenAI protocol, or passes it on to one that does, and fails as it is told.

It runs on a thread of its own, so that plain tests, event loops and processes can all be its clients.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

BLANK = "\r\n\r\n"


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


Way = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
"""A way to answer: writes to the connection, or does not."""
Answer = Callable[[Asked], Mapping[str, Any]]


@dataclass
class Server:
    """Answers generation requests by `answer`, after the `faults`, one a request, have been used up.

    Give it `upstream` (`http://host:port`) and it is a proxy for everything.
    """

    answer: Answer = lambda asked: chat("")
    model: str = "some-model"
    card: Mapping[str, Any] = field(default_factory=dict)
    """What `/models` says beside the name."""
    opens: str = "assistant\n"
    """What `/tokenize` says the template ends with, where `card` says that this is vLLM."""
    models: Way | None = None
    """Another answer to `/models`."""
    faults: deque[Way] = field(default_factory=deque)
    always: Way | None = None
    """A fault for every generation request."""
    upstream: str = ""
    asked: list[Asked] = field(default_factory=list)
    """The generation requests, faults included."""
    most: int = 0
    """The most generation requests that were under way at once."""
    came: threading.Event = field(default_factory=threading.Event)
    """Set once a generation request has come in."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set once a client has gone away before its answer."""
    gone: int = 0
    """How many generation requests a client has left before their answer."""
    _under_way: int = 0

    def __enter__(self) -> Server:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def address(self) -> str:
        """The model's name for `--policy` and `--judge`."""
        return f"openai:{self.model}@{self.url}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The generation requests' bodies."""
        return [asked.body for asked in self.asked]

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _start(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._serve(await _read(reader), reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if asked.path.endswith("completions"):
            self.asked.append(asked)
            self.came.set()
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            answering = asyncio.ensure_future(self._generate(asked, writer))
            leaving = asyncio.ensure_future(reader.read(1))
            try:
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    self.gone += 1
                    self.left.set()
                    raise ConnectionError("the client has gone")
                await answering
            finally:
                self._under_way -= 1
                for task in (answering, leaving):
                    task.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)
        elif self.upstream:
            await self._forward(asked, writer)
        elif asked.path.endswith("/models") and self.models is not None:
            await self.models(asked, writer)
        elif asked.path.endswith("/models"):
            await say(200, {"data": [{"id": self.model, **self.card}]})(asked, writer)
        elif asked.path == "/tokenize":
            await say(200, {"token_strs": list(self.opens)})(asked, writer)
        else:
            await say(404, {"detail": "Not Found"})(asked, writer)

    async def _generate(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        way = self.faults.popleft() if self.faults else self.always
        if way is not None:
            await way(asked, writer)
        elif self.upstream:
            await self._forward(asked, writer)
        else:
            await say(200, self.answer(asked))(asked, writer)

    async def _forward(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.upstream)
        there, back = await asyncio.open_connection(target.hostname, target.port)
        try:
            kept = {k: v for k, v in asked.headers.items() if k not in ("connection", "host")}
            lines = [f"{asked.method} {asked.path} HTTP/1.1", f"host: {target.netloc}"]
            lines += [f"{name}: {value}" for name, value in {**kept, "connection": "close"}.items()]
            back.write(("\r\n".join(lines) + BLANK).encode() + asked.raw)
            writer.write(await there.read())
            await writer.drain()
        finally:
            back.close()
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(BLANK.encode())).decode("latin-1")
    first, *lines = head.removesuffix(BLANK).split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, raw)


# --- ways to answer -----------------------------------------------------------------------------------


def say(status: int, body: Any, **headers: str) -> Way:
    """An answer with a JSON body, or with one that is bytes already."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(raw))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    async def way(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + raw)
        await writer.drain()

    return way


def error(status: int, message: str, **fields: Any) -> Way:
    """An error in OpenAI's form."""
    return say(status, {"error": {"message": message, "type": "an_error", **fields}})


async def hang(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.sleep(3600)


async def reset_in_the_body(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Promises more than it sends."""
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
    )
    writer.write(b'{"choices": [{"message": {"content": "half of')
    await writer.drain()
    writer.transport.abort()


async def reset_at_once(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Closes the connection without a word."""
    writer.transport.abort()


# --- bodies -------------------------------------------------------------------------------------------


def chat(*texts: str, finish: str = "stop", tokens: int = 6, **message: Any) -> dict[str, Any]:
    """A chat completion of these texts; `message` holds further fields of each message."""
    return {
        "object": "chat.completion",
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish,
            }
            for index, text in enumerate(texts)
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": tokens,
            "prompt_tokens_details": {"cached_tokens": 16},
        },
    }


def completion(*texts: str, finish: str = "stop", **fields: Any) -> dict[str, Any]:
    """A plain completion of these texts; `fields` are further fields of each choice."""
    return {
        "object": "text_completion",
        "choices": [
            {"index": index, "text": text, "finish_reason": finish, **fields}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 6},
    }
