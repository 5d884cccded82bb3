"""From a job to a server that listens: engines first, then the port; at the end the other way round."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn

from bon.api import Observer
from bon.job import Job
from bon.server.app import create_app
from bon.server.limits import Limits
from bon.server.metrics import Meters
from bon.session import session
from bon.types import BonError, EngineError, Result, Verdict


@dataclass(frozen=True)
class Listening:
    """Where and for whom."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes any that is free."""
    api_key: str | None = None
    ui: bool = True
    drain: float = 30.0
    """Seconds that requests in flight have once the server is told to stop."""


class Cut(BonError):
    """Requests were still in flight when the time to drain was over."""

    exit_code = 3


async def serve(
    job: Job,
    listening: Listening,
    limits: Limits,
    say: Callable[[str], None],
    observer: Observer | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then take nothing new, finish what is in flight, stop the engines.

    A second signal stops at once. Raises `BonError` for an address that cannot be had and for requests that
    had to be cut off, `EngineError` where an engine does not start or dies twice.
    """
    sock = bound(listening)
    meters = Meters()
    dead: list[EngineError] = []
    cut = 0
    with sock, _stoppable():
        async with session(job, _Both(meters, observer or Observer())) as running:

            def give_up(error: EngineError) -> None:
                dead.append(error)
                server.should_exit = True

            app = create_app(
                running,
                job,
                meters=meters,
                limits=limits,
                api_key=listening.api_key,
                ui=listening.ui,
                on_dead_engine=give_up,
            )
            server = _Server(
                uvicorn.Config(
                    app,
                    log_config=None,
                    access_log=False,
                    lifespan="off",  # there is none, and a second signal would end it with a traceback
                    timeout_graceful_shutdown=max(1, round(listening.drain)),
                    http="h11",  # the other one keeps headers without end, of whoever sends them
                    h11_max_incomplete_event_size=1 << 16,
                    server_header=False,
                ),
                say,
            )
            await server.serve(sockets=[sock])
            cut = server.cut
    if dead:
        raise dead[0]
    if cut:
        raise Cut(f"stopped with {cut} requests unanswered; --drain gives them more time")


SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM while engines load gives them up: left to itself it would leave their processes behind.

    Once it runs, the server heeds signals itself; whoever sends more while engines stop is not heard.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    told = False

    def stop() -> None:
        nonlocal told
        told = True
        task.cancel()

    try:
        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, RuntimeError, ValueError):  # not in the main thread
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def bound(listening: Listening) -> socket.socket:
    """A socket on the address, before any model is loaded. Raises `BonError` where it cannot be had."""
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((listening.host, listening.port))
    except OSError as error:
        sock.close()
        raise BonError(
            f"cannot listen on {listening.host}:{listening.port}: {error.strerror or error};"
            " choose another --port or --host"
        ) from error
    return sock


class _Server(uvicorn.Server):
    """uvicorn, with signals that end in a return: engines are stopped after it, not beside it."""

    def __init__(self, config: uvicorn.Config, say: Callable[[str], None]) -> None:
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(_no_cancellation)
        self._say = say
        self.cut = 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            for number in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self._told)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for sock in sockets or ():  # only now is a client not turned away
            address, port = sock.getsockname()[:2]
            name = f"[{address}]" if ":" in address else address
            self._say(f"listening on http://{name}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        left = list(self.server_state.tasks)
        self.cut = len(left)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)  # abort before the engines stop

    def _told(self) -> None:
        in_flight = len(self.server_state.tasks)
        if self.should_exit:
            self.force_exit = True
            return
        self.should_exit = True
        if in_flight:
            self._say(
                f"stopping: {in_flight} requests in flight have"
                f" {self.config.timeout_graceful_shutdown} s; again to stop at once"
            )


def _no_cancellation(record: logging.LogRecord) -> bool:
    """Requests that a shutdown cuts off are told in one line, and are no errors of the application."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Both(Observer):
    """Tells two observers."""

    def __init__(self, meters: Meters, other: Observer) -> None:
        self._watchers = (meters, other)

    def loading(self, role: str, model: str) -> None:
        for watcher in self._watchers:
            watcher.loading(role, model)

    def loaded(self, role: str) -> None:
        for watcher in self._watchers:
            watcher.loaded(role)

    def heard(self, verdict: Verdict) -> None:
        for watcher in self._watchers:
            watcher.heard(verdict)

    def finished(self, result: Result) -> None:
        for watcher in self._watchers:
            watcher.finished(result)


def log_to_stderr() -> None:
    """What uvicorn and the routes have to say: warnings and errors, a line each."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
