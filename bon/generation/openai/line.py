"""The way to one OpenAI-compatible server, and what every ending of a request means.

`Passing`: the next attempt may do better. `Refused`: this request will never do. `NotFound`: nothing is
there under that name. `bon.types.EngineError`: no request will do before somebody mends something.

Keys come from the environment and go into one header, nowhere else. What a server says goes into messages
as one printable line, with the key cut out of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import openai
import orjson
from pydantic import ValidationError

from bon.generation.openai.wire import Completion, too_long
from bon.types import BonError, EngineError
from bon.untrusted import one_line

CONNECT = 10.0
"""Seconds that a connection may take to come about."""
REST = 1.0
"""Seconds of rest for a server that is busy and does not say for how long."""
KEY = "OPENAI_API_KEY"


class Passing(Exception):
    """An attempt failed in passing. `kind` is what failed, in two words."""

    def __init__(self, kind: str, words: str, rest: float | None = None) -> None:
        super().__init__(words)
        self.kind = kind
        self.rest = rest
        """Seconds of rest that the server asks for; None where it does not ask but fails."""


class Refused(Exception):
    """The server does not take this request as it is."""

    def __init__(self, words: str, message: str, error: openai.APIStatusError) -> None:
        super().__init__(words)
        self.message = message
        self.parameter = error.param if isinstance(error.param, str) else None
        self.too_long = error.status_code == 413 or too_long(message, error.code)


class NotFound(Exception):
    """The server has nothing at this path, or no such model."""


@dataclass(frozen=True)
class Line:
    """The way to one server; made by `dial`."""

    url: str
    client: openai.AsyncOpenAI = field(repr=False)
    key: str = field(repr=False)

    async def get(self, path: str, seconds: float) -> str:
        """The body of the answer to a GET. Raises as this module says."""
        return await self._send("GET", path, None, seconds)

    async def post(self, path: str, body: Mapping[str, object], seconds: float) -> str:
        """The body of the answer to a POST of JSON. Raises as this module says."""
        return await self._send("POST", path, body, seconds)

    async def complete(self, path: str, body: Mapping[str, object], seconds: float) -> Completion:
        """Generate. Raises `Passing`, `Refused` or `EngineError`."""
        try:
            return self._completion(await self.post(path, body, seconds))
        except NotFound as error:
            raise EngineError(
                f"{self.url} does not know the model {body['model']!r}, or nothing of {path}: {error}"
                " (a base URL ends mostly in /v1)"
            ) from error

    async def _send(
        self, method: str, path: str, body: Mapping[str, object] | None, seconds: float
    ) -> str:
        try:
            # the client's own limit is one of each read, not of all of them
            async with asyncio.timeout(seconds):
                if method == "GET":
                    return await self.client.get(path, cast_to=str)
                return await self.client.post(path, cast_to=str, body=body)
        except (TimeoutError, openai.APITimeoutError) as error:
            words = f"{self.url}: no answer within {seconds:g} s"
            raise Passing("timed out", words) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            said = self._quote(str(cause) or type(cause).__name__)
            raise Passing("lost connection", f"{self.url}: {said}") from error
        except openai.APIStatusError as error:
            raise self._ending(error) from error
        except openai.APIError as error:
            raise Passing("unreadable", f"{self.url}: {self._quote(str(error))}") from error

    def _ending(self, error: openai.APIStatusError) -> Exception:
        """What a status other than 200 means."""
        status = error.status_code
        message = self._quote(error_message(error.body) or error.response.text or error.message)
        words = f"{self.url} answers {status}: {message}"
        if status in (401, 402, 403) or error.code == "insufficient_quota":
            verb = "check" if self.key else "set"
            return EngineError(f"{words} ({verb} {key_name(self.url)}, or else {KEY})")
        if status in (404, 405):
            return NotFound(message)
        rest = retry_after(error.response.headers)
        if status == 429:
            return Passing("busy (429)", words, REST if rest is None else rest)
        if status in (408, 409, 425) or status >= 500:
            return Passing(f"broken ({status})", words, rest)
        return Refused(words, message, error)

    def _completion(self, text: str) -> Completion:
        """The answer, if it is one: with a choice at least, and none that the server itself broke off."""
        try:
            completion = Completion.model_validate_json(text)
        except ValidationError as error:
            what = error.errors()[0]
            where = ".".join(map(str, what["loc"])) or "body"
            said = self._quote(error_message(text) or f"{where}: {what['msg']}")
            raise Passing("unreadable", f"{self.url}: no usable answer: {said}") from error
        for choice in completion.choices:
            if choice.message is None and choice.text is None:
                raise Passing(
                    "unreadable", f"{self.url}: no usable answer: a choice without a text"
                )
            if choice.finish_reason in ("abort", "error"):
                raise Passing("broken off", f"{self.url}: the server broke its answer off")
        return completion

    def _quote(self, text: str) -> str:
        """What the server said, fit for a message: one line, without the key."""
        return one_line(text.replace(self.key, "***") if self.key else text, 200)


def dial(url: str, timeout: float) -> Line:
    """The way to the server at a base URL. Raises `BonError` for a key that no header can carry."""
    name = key_name(url) if os.environ.get(key_name(url)) else KEY
    key = os.environ.get(name, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise BonError(f"{name} holds characters that no key has")
    client = openai.AsyncOpenAI(
        # servers of one's own often want no key; the client wants one in any case
        api_key=key or "none",
        base_url=url,
        timeout=openai.Timeout(timeout, connect=min(CONNECT, timeout)),
        max_retries=0,  # an attempt may go to another server, and each one counts
    )
    return Line(url, client, key)


def key_name(url: str) -> str:
    """The environment variable for the key of one server: its host and port, in capitals.

    `https://api.example.com/v1` has `OPENAI_API_KEY_API_EXAMPLE_COM`.
    """
    return f"{KEY}_{re.sub('[^A-Z0-9]+', '_', url.split('/')[2].upper()).strip('_')}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `Retry-After` (a number or a date, RFC 9110) or `retry-after-ms`; else None."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{0,9})?", value):
            return float(value) / unit
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            continue
    return None


def error_message(body: object) -> str | None:
    """The message in the body of an error, in whichever of the usual shapes it comes."""
    if isinstance(body, str):
        try:
            body = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
    while isinstance(body, dict):
        body = body.get("message") or body.get("error") or body.get("detail")
    return body if isinstance(body, str) else None
