"""Small back ends and watchers for tests: no model, no engine, and a record of what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bon.api import Observer
from bon.generation import Generation, Reply, Request
from bon.grouping import last_number
from bon.types import Outcome, Verdict

Answer = Callable[[Request], Reply]


@dataclass
class FakeBackend:
    """Answers every request by `answer`, which may raise, after `turns` turns of the event loop."""

    answer: Answer
    identity: str = "fake@1"
    capacity: int = 8
    turns: Callable[[Request], int] = lambda request: 1
    requests: list[Request] = field(default_factory=list)
    running: int = 0
    most: int = 0
    """The most requests that ran at once."""
    aborted: int = 0

    async def generate(self, request: Request) -> Reply:
        self.requests.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await some_turns(self.turns(request))
            return self.answer(request)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self.running -= 1


async def some_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def reply(
    *texts: str,
    finish: str = "stop",
    tokens: int = 3,
    prompt_tokens: int = 10,
    opened: bool = False,
) -> Reply:
    """A reply of these texts, each of `tokens` tokens; `opened`: the prompt ends inside thinking."""
    generations = tuple(Generation(text, finish, tuple(range(tokens))) for text in texts)
    return Reply(generations, prompt_tokens, cached_tokens=4, starts_thinking=opened)


def boxes(number: int) -> str:
    return f"\\boxed{{Assistant {number}}}"


def larger_number(request: Request) -> Reply:
    """A judge that prefers the response which ends in the larger number; of equals, the first."""
    first, second = (int(last_number(text) or 0) for text in request.chat.quoted[1:])
    return reply(f"<think>{first} or {second}?</think>{boxes(1 if first >= second else 2)}")


def numbers_from_the_seed(request: Request) -> Reply:
    """A policy whose answers are numbers that depend on the request's seed alone."""
    seed = request.sampling.seed or 0
    return reply(*(f"The answer is {(seed >> i) % 1000}." for i in range(request.sampling.n)))


@dataclass
class Larger:
    """A judge of the user's own: the response with the larger number is the better one."""

    identity: str = "larger"
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def compare(
        self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
    ) -> Verdict:
        self.calls.append((first, second))
        await asyncio.sleep(0)
        larger = int(last_number(first) or 0) > int(last_number(second) or 0)
        return Verdict(Outcome.FIRST if larger else Outcome.SECOND, reasoning="I counted.")


@dataclass
class Engines:
    """Stands in for `bon.api.engine`: fake back ends by model, and a record of their coming and going."""

    backends: dict[str, FakeBackend]
    log: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def __call__(
        self, role: str, model: str, engine_args: Mapping[str, Any], observer: Observer
    ) -> AsyncIterator[FakeBackend]:
        self.log.append(f"start {model}")
        observer.loading(role, model)
        await asyncio.sleep(0)
        observer.loaded(role)
        try:
            yield self.backends[model]
        finally:
            self.log.append(f"stop {model}")
