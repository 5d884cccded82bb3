"""A `bon serve` process to measure, and the client code that asks it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai

from bon.accuracy import is_right
from bon.types import Prompt

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
"""Seconds of what the system counts processor time in."""


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    prompts: Sequence[Prompt]
    n: int
    strategy: str
    group_by: str
    soak: float

    @property
    def wrapped(self) -> str:
        return f"bon-{self.n}-{self.strategy}"


@dataclass(frozen=True)
class Server:
    """A running `bon serve`."""

    url: str
    process: int

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def held(self) -> dict[str, float]:
        """What it holds: memory (MB) and threads of it and its engines, requests in flight."""
        memory = threads = 0
        for process in (self.process, *_descendants(self.process)):
            status = Path(f"/proc/{process}/status").read_text()
            memory += int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
            threads += int(re.search(r"Threads:\s+(\d+)", status)[1])  # type: ignore[index]
        return {
            "memory_mb": round(memory / 1024),
            "threads": threads,
            "in_flight": self.metric("bon_requests_in_flight"),
        }

    def engines_busy(self, seconds: float) -> float:
        """Share of one core that its engines use over so many seconds: one with a request left uses all."""
        began, before = time.perf_counter(), self._engine_ticks()
        time.sleep(seconds)
        used = (self._engine_ticks() - before) * TICK
        return round(used / (time.perf_counter() - began), 3)

    def _engine_ticks(self) -> int:
        ticks = 0
        for process in _descendants(self.process):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks


@contextmanager
def serving(setting: Setting, *options: str) -> Iterator[Server]:
    """`bon serve` on a free port, with the bundled models unless `options` name others."""
    command = [sys.executable, "-m", "bon", "serve", "--port", "0", "-n", str(setting.n)]
    command += ["--strategy", setting.strategy, "--group-by", setting.group_by, *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"listening on (\S+)", line):
                yield Server(found[1], process.pid)
                break
            print(line, end="", file=sys.stderr)
        else:
            raise SystemExit("bon serve did not start")
    finally:
        process.terminate()
        process.communicate(timeout=120)


def _descendants(process: int) -> list[int]:
    found = []
    for line in subprocess.check_output(["ps", "-eo", "pid=,ppid="], text=True).splitlines():
        child, parent = map(int, line.split())
        if parent == process:
            found += [child, *_descendants(child)]
    return [child for child in found if Path(f"/proc/{child}/status").exists()]


# --- the client: the same code for everything ------------------------------------------------------


async def ask(client: openai.AsyncOpenAI, model: str, prompt: Prompt) -> str:
    """One answer. Nothing but the model's name says how it is found."""
    done = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt.text}]
    )
    return done.choices[0].message.content or ""


async def clients(
    server: Server, count: int, work: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, None]]
) -> None:
    """So many clients at work at once: connections of their own, but one object, as each costs time."""
    async with (
        openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", timeout=600, max_retries=0
        ) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(count):
            tasks.create_task(work(client))


async def answers(
    server: Server, model: str, prompts: Sequence[Prompt], count: int
) -> tuple[list[str], list[float]]:
    """An answer and its seconds for each prompt, asked by so many clients."""
    left = iter(enumerate(prompts))
    texts, seconds = [""] * len(prompts), [0.0] * len(prompts)

    async def work(client: openai.AsyncOpenAI) -> None:
        for place, prompt in left:
            began = time.perf_counter()
            texts[place] = await ask(client, model, prompt)
            seconds[place] = time.perf_counter() - began

    await clients(server, count, work)
    return texts, seconds


def right(texts: Sequence[str], prompts: Sequence[Prompt]) -> list[float]:
    """Whether each answer is right, 1.0 or 0.0."""
    pairs = zip(texts, prompts, strict=True)
    return [float(is_right(text, prompt.answer or "")) for text, prompt in pairs]
