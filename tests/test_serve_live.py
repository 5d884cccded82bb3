"""`bon serve` as its users start it: one process with the bundled models on real engines."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from bon.demo import problems

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

ASKED = problems(64)


class Served:
    """A `bon serve` process: where it listens, and what it said."""

    def __init__(self, *options: str) -> None:
        self.said: deque[str] = deque()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bon", "serve", "--port", "0", "-n", "4", *options],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._listening.wait(240), self.said
        assert self.process.poll() is None, self.said
        found = re.search(r"listening on (\S+)", "\n".join(self.said))
        assert found
        self.url = found[1]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            if "listening on" in line:
                self._listening.set()
        self._listening.set()

    def metric(self, name: str) -> float:
        """The sum over the labels of what `/metrics` says."""
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop; gives its exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(timeout=120)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    running = Served()
    yield running
    if running.process.poll() is None:
        running.stop(signal.SIGKILL)


def message(place: int) -> Any:
    return [{"role": "user", "content": ASKED[place].text}]


def ask(served: Served, **settings: Any) -> Any:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", timeout=120) as client:
        return client.chat.completions.create(
            **{"model": "bon", "messages": message(0), **settings}
        )


def test_the_sync_client_gets_the_winner_of_a_real_tournament(served: Served) -> None:
    # all four of them play, even where an engine that batches otherwise makes them equal
    done = ask(served, extra_body={"bon": {"record": True, "group_by": "none"}})
    record = done.bon["record"]
    winner = record["candidates"][record["winner"]]
    assert len(record["comparisons"]) >= 3
    assert done.choices[0].message.content == winner["text"]
    assert len(record["candidates"]) == done.bon["n"] == 4
    assert done.usage.prompt_tokens > record["candidates"][0]["prompt_tokens"] > 0
    judged = sum(c["output_tokens"] for c in record["comparisons"])
    written = sum(c["tokens"] for c in record["candidates"])
    assert done.usage.completion_tokens == judged + written > 0


def test_a_stream_carries_a_real_answer(served: Served) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", timeout=120) as client:
        chunks = list(client.chat.completions.create(model="bon", messages=message(1), stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_sixty_four_clients_at_once_are_all_answered_by_one_pool(served: Served) -> None:
    before = served.metric("bon_tournaments_total")

    async def everybody() -> list[Any]:
        async with openai.AsyncOpenAI(
            base_url=f"{served.url}/v1", api_key="any", timeout=300, max_retries=0
        ) as client:
            return await asyncio.gather(
                *(
                    client.chat.completions.create(model="bon", messages=message(place))
                    for place in range(64)
                )
            )

    done = asyncio.run(everybody())
    assert all(one.bon["cut_short"] is None for one in done)
    assert served.metric("bon_tournaments_total") - before == 64
    assert served.metric("bon_requests_in_flight") == 0


def test_stop_texts_and_json_mode_reach_the_engine(served: Served) -> None:
    # the tiny policy writes its sums as "a + b = c"; nothing follows the first equals sign
    stopped = ask(served, model="tiny-policy", stop=["="])
    assert "=" not in stopped.choices[0].message.content
    schema = {"type": "string", "enum": ["yes", "no"]}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    done = ask(served, response_format=form, max_tokens=40)
    assert done.choices[0].message.content in ('"yes"', '"no"')


def test_a_schema_that_the_engine_does_not_take_is_the_clients_mistake(served: Served) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "colour"}}}
    with pytest.raises(openai.BadRequestError) as told:
        ask(served, response_format=form)
    assert "Traceback" not in str(told.value)
    assert ask(served, model="tiny-policy").choices


def test_a_text_is_gone_on_with_outside_any_template(served: Served) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", timeout=120) as client:
        done = client.completions.create(model="tiny-policy", prompt="17 + 25 =", max_tokens=8)
    assert done.usage is not None
    # the template's turn alone would be more
    assert done.usage.prompt_tokens <= len("17 + 25 =")
    assert done.choices[0].text


def test_a_prompt_longer_than_the_context_is_told_as_openai_does(served: Served) -> None:
    with pytest.raises(openai.BadRequestError) as told:
        ask(served, messages=[{"role": "user", "content": "1 + 1 = " * 4000}])
    assert told.value.code == "context_length_exceeded"


def test_a_client_that_hangs_up_has_its_work_aborted_in_the_engine(served: Served) -> None:
    body = {"model": "bon-64-round-robin:rule=votes:7", "messages": message(2)}
    before = served.metric('bon_requests_total{route="/v1/chat/completions",status="499"}')
    hang_up_after_a_verdict(served, body)
    wait(
        lambda: (
            served.metric('bon_requests_total{route="/v1/chat/completions",status="499"}') > before
        )
    )
    assert served.metric("bon_requests_in_flight") == 0
    heard = served.metric("bon_comparisons_total")
    # 14,112 comparisons were asked for: an engine that still worked on them would be busy for minutes
    assert ask(served).bon["cut_short"] is None
    assert served.metric("bon_comparisons_total") - heard < 100


def hang_up_after_a_verdict(served: Served, body: dict[str, Any]) -> None:
    before = served.metric("bon_comparisons_total")
    with Waiting(served, body):
        wait(lambda: served.metric("bon_comparisons_total") > before)


class Waiting:
    """A request on a bare socket, so that nobody but the test decides when it ends."""

    def __init__(self, served: Served, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        host, _, port = served.url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(120)
        self.socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data)
        )

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def answer(self) -> bytes:
        """All that comes until the server hangs up."""
        pieces = []
        while piece := self.socket.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)


def wait(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_being_told_to_stop_finishes_what_is_in_flight(served: Served) -> None:
    """The last one: afterwards there is no server."""
    children = engines_of(served.process.pid)
    body = {"model": "bon-8-round-robin:rule=both", "messages": message(3)}
    with Waiting(served, body) as waiting:
        wait(lambda: served.metric("bon_requests_in_flight") == 1)
        served.process.send_signal(signal.SIGTERM)
        answer = waiting.answer()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"finish_reason"' in answer
    assert served.ended() == 0, served.said
    assert "Traceback" not in "\n".join(served.said)
    wait(lambda: not any(map(alive, children)))


def engines_of(process: int) -> list[int]:
    """The processes that it started, and theirs."""
    found = []
    for line in subprocess.check_output(["ps", "-eo", "pid=,ppid="], text=True).splitlines():
        child, parent = map(int, line.split())
        if parent == process:
            found += [child, *engines_of(child)]
    return found


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
