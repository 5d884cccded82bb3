"""A function of the user's as a policy: any callable, sync or async, that returns a text or a list of texts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bon.types import BonError, Candidate, Prompt

Generate: TypeAlias = Callable[[Any], Any]
"""Takes the prompt (text, or chat messages as dicts) and returns a text, or a list of them."""
Candidates: TypeAlias = tuple[Candidate, ...]
Begun: TypeAlias = Candidates | Coroutine[Any, Any, Candidates]
"""Candidates, or what there is to await for them."""


@dataclass
class WrappedPolicy:
    """Candidates from `generate`. What it raises comes out as it is.

    A list is all the candidates there are. A function that returns one text is called `n` times: a sync
    one call after the other, so that it need not be thread-safe; an async one all at once, but for its
    first call ever, which shows that it returns one text.
    """

    generate: Generate
    n: int
    _one_text: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        """Where the function is to be found."""
        function = self.generate
        named = function if hasattr(function, "__qualname__") else type(function)
        return f"{named.__module__}.{named.__qualname__}"

    def begin(self, prompt: Prompt) -> Begun:
        """Call the function: what a sync one gives, or, of an async one, what there is to await."""
        asked = as_asked(prompt)
        first = self.generate(asked)
        if inspect.isawaitable(first):
            return self._all(first, asked)
        rest = (self.generate(asked) for _ in range(self.n - 1))
        return _candidates([first, *rest] if _is_one(first) else [first])

    async def sample(self, prompt: Prompt) -> Candidates:
        """Candidates: an async function is awaited here, a sync one called in a thread."""
        if inspect.iscoroutinefunction(self.generate):
            begun = self.begin(prompt)
        else:
            begun = await asyncio.to_thread(self.begin, prompt)
        return begun if isinstance(begun, tuple) else await begun

    async def _all(self, first: Awaitable[Any], asked: Any) -> Candidates:
        rest = self.n - 1
        if self._one_text:
            returned = await _together([first, *(self.generate(asked) for _ in range(rest))])
        else:
            returned = [await first]
            if _is_one(returned[0]):
                self._one_text = True
                returned += await _together([self.generate(asked) for _ in range(rest)])
        return _candidates(returned)


def as_asked(prompt: Prompt) -> str | list[dict[str, str]]:
    """The prompt as a user wrote it: a lone user turn as text, otherwise chat messages."""
    if len(prompt.messages) == 1 and prompt.messages[0].role == "user":
        return prompt.messages[0].content
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def as_candidates(texts: Iterable[str | Candidate]) -> Candidates:
    """Texts as candidates; raises `BonError` where there is none or one is no text."""
    if isinstance(texts, str):
        raise BonError("candidates are a list of texts, not one text")
    return _candidates([list(texts)])


async def _together(awaitables: Sequence[Awaitable[Any]]) -> list[Any]:
    """The results of all; of several errors the first, as it was raised, and the others are cancelled."""

    async def one(awaitable: Awaitable[Any]) -> Any:
        return await awaitable

    failed: BaseException | None = None
    running: list[asyncio.Task[Any]] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(awaitable)) for awaitable in awaitables]
    except BaseExceptionGroup as group:
        failed = group.exceptions[0]
    if failed is not None:  # outside the handler, which would make the group its context
        raise failed
    return [task.result() for task in running]


def _is_one(returned: Any) -> bool:
    return isinstance(returned, str | Candidate)


def _candidates(returned: Sequence[Any]) -> Candidates:
    candidates: list[Candidate] = []
    for one in returned:
        for text in [one] if _is_one(one) or not isinstance(one, list | tuple) else one:
            if not _is_one(text):
                raise BonError(
                    f"a candidate is a text, not {type(text).__name__}: have `generate` return a"
                    " text or a list of texts"
                )
            candidates.append(Candidate(text) if isinstance(text, str) else text)
    if not candidates:
        raise BonError("there is no candidate to choose from")
    return tuple(candidates)
