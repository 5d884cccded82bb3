"""A server on fake models for tests of what a client sees: real HTTP on loopback, real clients."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fakes import Answer, FakeBackend, larger_number, numbers_from_the_seed

from bon.job import Job
from bon.server.app import create_app
from bon.server.limits import Limits
from bon.server.metrics import Meters
from bon.session import Session


@dataclass
class Serving:
    """A running server and the fakes behind it."""

    url: str
    policy: FakeBackend
    judge: FakeBackend


@contextmanager
def serving(
    policy: Answer = numbers_from_the_seed,
    judge: Answer = larger_number,
    *,
    job: Job | None = None,
    limits: Limits | None = None,
    turns: Callable[[Any], int] = lambda request: 1,
    **settings: Any,
) -> Iterator[Serving]:
    """A server in a thread; `turns` is how long the judge takes over a request."""
    models = FakeBackend(policy), FakeBackend(judge, turns=turns)
    meters = Meters()
    session = Session(models[1], models[0], meters)
    app = create_app(session, job or Job(), meters=meters, limits=limits, **settings)
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
    thread.start()
    try:
        yield Serving(f"http://127.0.0.1:{sock.getsockname()[1]}", *models)
    finally:
        server.should_exit = True
        thread.join()
        sock.close()
