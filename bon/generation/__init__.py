"""Text generation behind one small async protocol; each back end is a module of its own, loaded lazily.

Text that people or models wrote never becomes markup. A `Chat` keeps it apart from the words of the
template: where it belongs, the template holds only a slot, and the back end fills the slots after the
chat template has been applied (`bon.generation.encoding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bon.types import BonError, Message

SLOT_PATTERN = r"\ue000(\d+)\ue001"
"""Slots are written in private-use characters, which no template has a reason to hold."""


def slot(index: int) -> str:
    """The mark that stands for `Chat.quoted[index]`."""
    return f"\ue000{index}\ue001"


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation of trusted words, with slots for the untrusted texts in `quoted`."""

    messages: tuple[Message, ...]
    quoted: tuple[str, ...] = ()
    tools: str = ""
    """The tools on offer, as `bon.types.Prompt.tools`; the chat template says how they are shown."""
    closed: bool = False
    """Whether it ends in a response that is to be scored; otherwise one is to come."""

    @classmethod
    def answered(cls, messages: Sequence[Message], response: str, tools: str = "") -> Chat:
        """A conversation that ends in this response; none of it is trusted."""
        asked = cls.of((*messages, Message("assistant", response)), tools)
        return cls(asked.messages, asked.quoted, tools, closed=True)

    @classmethod
    def of(cls, messages: Sequence[Message], tools: str = "") -> Chat:
        """A conversation of which no content is trusted."""
        slots = tuple(Message(m.role, slot(i)) for i, m in enumerate(messages))
        return cls(slots, tuple(m.content for m in messages), tools)

    @classmethod
    def raw(cls, text: str) -> Chat:
        """No conversation: an untrusted text to go on with, outside any chat template."""
        return cls((), (text,))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw. None leaves a setting to the model's own generation config."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    seed: int | None = None
    logprobs: int = 0
    """How many likeliest tokens to report at each position; 0 for none."""
    stop: tuple[str, ...] = ()
    """Texts that end a generation; they are no part of it."""
    json_schema: str | None = None
    """A JSON schema, as text, that the generated text has to satisfy."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One generated text."""

    text: str
    finish_reason: str
    """`stop` or `length`."""
    token_ids: tuple[int, ...] = ()
    tail: tuple[TokenChoice, ...] = ()
    """The last tokens with their alternatives, where log-probabilities were asked for."""
    counted: int | None = None
    """How many tokens it has, where that is told but not which."""

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return len(self.token_ids) if self.counted is None else self.counted


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """A generated token and the log-probabilities of the likeliest tokens in its place, itself among them."""

    text: str
    logprobs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request came to."""

    generations: tuple[Generation, ...]
    prompt_tokens: int
    cached_tokens: int = 0
    starts_thinking: bool = False
    """Whether the chat template itself opened the thinking at the end of the prompt."""
    score: float | None = None
    """What a reward model gives the conversation."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to generate. `resume` goes on after an earlier generation and a forced `close`."""

    chat: Chat
    sampling: Sampling
    priority: int = 0
    """A lower number goes first."""
    resume: Generation | None = None
    close: str = ""


class Backend(Protocol):
    """Something that generates. Cancelling the task that awaits `generate` aborts the request."""

    @property
    def identity(self) -> str:
        """Model and revision: equal only where the same request means the same distribution."""
        ...

    @property
    def capacity(self) -> int:
        """How many requests it works on at once; more than that wait in its queue."""
        ...

    async def generate(self, request: Request) -> Reply:
        """Raises `PromptTooLong`, `GenerationFailed` or `bon.types.EngineError`."""
        ...


class PromptTooLong(BonError):
    """The prompt leaves no room in the model's context."""


class GenerationFailed(BonError):
    """This request failed; the next one may not."""


class RequestRefused(GenerationFailed):
    """This request is one that the model or its engine does not take, however often it is made."""
