"""Who may come in, with how much, and how many at once: ASGI middleware before everything else.

The body is read here, whole and bounded, so that no slow or endless one reaches the routes; what the
routes receive afterwards is that body, then whether the client is still there.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections import deque
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bon.server.errors import Refusal
from bon.server.limits import Limits
from bon.server.metrics import Meters

ROUTES = frozenset(
    ("/", "/health", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/completions")
)
OPEN = frozenset(("/", "/health", "/docs", "/openapi.json"))
"""What needs no key: the page itself shows nothing before it has one."""
WORK = frozenset(("/v1/chat/completions", "/v1/completions"))
BODY_SECONDS = 30.0
GONE = 499
"""Status of what was never answered, as the client went away; nginx's number for it."""


class Gate:
    """Checks host and key, reads the body, counts what is in flight, meters answers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        meters: Meters,
        api_key: str | None = None,
        hosts: Collection[str] | None = None,
    ) -> None:
        self._app = app
        self._limits = limits
        self._meters = meters
        self._key = None if api_key is None else api_key.encode()
        self._hosts = hosts
        self._in_flight = 0
        self._lately: deque[float] = deque(maxlen=64)
        meters.in_flight(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._enter(scope, receive, told)
        except Refusal as refusal:
            await refusal.response()(scope, receive, told)
        finally:
            route = scope["path"] if scope["path"] in ROUTES else "other"
            self._meters.answered(route, status or GONE, time.monotonic() - began)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            raise Refusal(
                421,
                "this server without a key answers to this machine's own names alone: start it with"
                " --api-key",
            )
        if self._key is not None and path not in OPEN:
            self._check_key(headers)
        if path not in WORK or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await self._body(headers, receive)
        if self._in_flight >= self._limits.requests:
            raise Refusal(
                429,
                f"{self._limits.requests} requests are in flight, and no more are taken",
                code="rate_limit_exceeded",
                headers={"retry-after": str(self._wait())},
            )
        began = time.monotonic()
        self._in_flight += 1
        try:
            await self._app(scope, _replay(body, receive), send)
        finally:
            self._in_flight -= 1
            self._lately.append(time.monotonic() - began)

    def _check_key(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        assert self._key is not None
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("latin-1", "replace"), self._key
        ):
            raise Refusal(
                401,
                "send the server's key: Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        told = headers.get("content-length", "0")
        if told.isdecimal() and int(told[:20]) > self._limits.body:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "the request ended before its body did")
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._limits.body:
                        raise self._too_large()
        except TimeoutError:
            raise Refusal(408, f"no whole body within {BODY_SECONDS:g} s") from None
        return bytes(body)

    def _too_large(self) -> Refusal:
        return Refusal(
            413,
            f"the body has more than {self._limits.body} bytes",
            code="request_too_large",
            headers={"connection": "close"},
        )

    def _wait(self) -> int:
        """Whole seconds until room is likely: as long as requests took lately, a minute at most."""
        took = sum(self._lately) / len(self._lately) if self._lately else 1.0
        return max(1, min(60, math.ceil(took)))


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body at once, then whatever the client does."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
