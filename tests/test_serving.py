"""From the command to a server that listens, and to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from fakes import Engines, FakeBackend, larger_number, numbers_from_the_seed

from bon.cli.serve import command
from bon.generation import Reply, Request
from bon.job import Job
from bon.server.limits import Limits
from bon.server.serving import Cut, Listening, serve
from bon.types import BonError, EngineError

LONG = 10_000_000
BODY = {"messages": [{"role": "user", "content": "A number?"}], "bon": {"n": 2}}


class Run:
    """A server in this process, and what a client does with it meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.policy = FakeBackend(settings.pop("policy", numbers_from_the_seed))
        self.judge = FakeBackend(larger_number)
        self.engines = Engines({"tiny-policy": self.policy, "tiny-rrm": self.judge})
        monkeypatch.setattr("bon.api.engine", self.engines)
        self.listening = Listening(port=0, **settings)
        self.said: list[str] = []

    def __call__(self, meanwhile: Callable[[Run], Any]) -> Any:
        async def both() -> Any:
            serving = asyncio.create_task(
                serve(Job(share_device=True), self.listening, Limits(), self.said.append)
            )
            while not self.said:
                await asyncio.sleep(0.01)
                if serving.done():
                    break
            found = await meanwhile(self)
            await serving
            return found

        return asyncio.run(both())

    async def ask(self) -> Any:
        url = self.said[0].removeprefix("listening on ")
        async with httpx.AsyncClient(timeout=60) as client:
            return await client.post(f"{url}/v1/chat/completions", json=BODY)

    async def until_judging(self) -> None:
        while not self.judge.requests:  # noqa: ASYNC110 - a fake that counts has no event
            await asyncio.sleep(0.01)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_told_to_stop_it_answers_what_is_in_flight_and_stops_its_engines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def meanwhile(run: Run) -> Any:
        run.judge.turns = lambda request: 200_000
        asked = asyncio.create_task(run.ask())
        await run.until_judging()
        stop()
        return await asked

    run = Run(monkeypatch)
    assert run(meanwhile).status_code == 200
    assert run.engines.log[-2:] == ["stop tiny-rrm", "stop tiny-policy"]
    assert "1 requests in flight" in run.said[1]


def test_what_is_not_answered_when_the_time_to_drain_is_over_is_aborted_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def meanwhile(run: Run) -> None:
        run.judge.turns = lambda request: LONG
        asked = asyncio.create_task(run.ask())
        await run.until_judging()
        stop()
        await asyncio.gather(asked, return_exceptions=True)

    run = Run(monkeypatch, drain=1)
    with pytest.raises(Cut, match="1 requests unanswered") as told:
        run(meanwhile)
    assert told.value.exit_code == 3
    assert run.judge.running == 0
    assert run.judge.aborted > 0


def test_headers_without_end_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def meanwhile(run: Run) -> tuple[bytes, int]:
        address = run.said[0].removeprefix("listening on http://").split(":")
        reader, writer = await asyncio.open_connection(address[0], int(address[1]))
        writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 1 << 22 and not reader.at_eof():
                writer.write(b"x-%d: %s\r\n" % (sent, b"a" * 1000))
                await writer.drain()
                await asyncio.sleep(0)
                sent += 1000
        answer = b""
        with suppress(ConnectionError):
            answer = await reader.read()
        writer.close()
        stop()
        return answer, sent

    answer, sent = Run(monkeypatch)(meanwhile)
    assert sent < 1 << 22
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_told_twice_it_stops_at_once_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def meanwhile(run: Run) -> None:
        run.judge.turns = lambda request: LONG
        asked = asyncio.create_task(run.ask())
        await run.until_judging()
        stop()
        while len(run.said) < 2:  # noqa: ASYNC110 - two signals in one turn would be one
            await asyncio.sleep(0.01)
        stop()
        await asyncio.gather(asked, return_exceptions=True)

    with pytest.raises(Cut):
        Run(monkeypatch, drain=3_600)(meanwhile)
    assert "Traceback" not in caplog.text


def test_told_to_stop_while_engines_load_it_gives_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def never(*_: object) -> AsyncIterator[None]:
        try:
            asyncio.get_running_loop().call_soon(stop)
            await asyncio.Event().wait()
            yield
        finally:
            run.engines.log.append("given up")

    async def meanwhile(run: Run) -> None:
        pass

    run = Run(monkeypatch)
    monkeypatch.setattr("bon.api.engine", never)
    run(meanwhile)
    assert run.engines.log == ["given up"]
    assert run.said == []


def test_it_ends_when_an_engine_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(request: Request) -> Reply:
        raise EngineError("the engine died")

    async def meanwhile(run: Run) -> Any:
        return await run.ask()

    with pytest.raises(EngineError, match="the engine died"):
        Run(monkeypatch, policy=dead)(meanwhile)


def test_an_address_that_is_taken_is_told_before_any_engine_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BonError, match=f"cannot listen on 127.0.0.1:{port}"):
            asyncio.run(serve(Job(), Listening(port=port), Limits(), run.said.append))
    assert run.engines.log == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "needs a key"),
        (["--api-key", " "], "the key is empty"),
        (["-n", "8", "--max-n", "4"], "over --max-n 4"),
        (["--strategy", "chess"], "unknown strategy"),
        (["--policy", "./nowhere"], "no model"),
    ],
)
def test_settings_that_make_no_sense_are_told_at_once(arguments: list[str], said: str) -> None:
    done = CliRunner(env={"BON_API_KEY": ""}).invoke(command, arguments)
    assert isinstance(done.exception, BonError)
    assert said in str(done.exception)
