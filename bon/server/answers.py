"""What clients get, in the forms of the OpenAI API: `usage` counts all that was spent, `bon` says how."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from bon.api import Observer
from bon.diagnostics import diagnose, diagnosed
from bon.job import Job
from bon.schema import totals
from bon.server.asking import Asked
from bon.server.places import without_places
from bon.server.tools import Call, read_calls
from bon.shape import by_rank
from bon.types import Candidate, Outcome, Result, Verdict

PIECE = 24
"""Characters of a streamed chunk, about."""


class CalledFunction(BaseModel):
    name: str
    arguments: str


class MadeCall(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[MadeCall] | None = None


class ChatChoice(BaseModel):
    index: int
    message: AssistantMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length", "tool_calls"]


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class PromptDetails(BaseModel):
    cached_tokens: int


class Usage(BaseModel):
    """Tokens of policy and judge together: those of calls that were dropped half-way are not known."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class BonField(BaseModel):
    """How the answer came about."""

    model_config = ConfigDict(extra="allow")

    strategy: str | None
    """None for the policy's plain answer."""
    n: int
    seed: int
    winner: int
    ranking: list[dict[str, Any]]
    totals: dict[str, Any]
    cut_short: str | None
    """Why the tournament ended early, where it did: the best so far is the answer."""
    record: dict[str, Any] | None = None
    """The whole result, in the form that `bon run` writes, where it was asked for. It names models without
    their folders and URLs."""


class ChatCompletion(BaseModel):
    """A chat completion in OpenAI's form, with a `bon` field."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    bon: BonField


class Completion(BaseModel):
    """A completion in OpenAI's form, with a `bon` field."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage
    bon: BonField


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """OpenAI's error object."""

    error: ErrorDetail


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "bon"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class Spent(Observer):
    """Counts what a request costs, verdicts that came too late to count included."""

    def __init__(self) -> None:
        self.comparisons = dict.fromkeys(Outcome, 0)
        self.prompt_tokens = self.cached_tokens = self.output_tokens = 0

    def heard(self, verdict: Verdict) -> None:
        self.comparisons[verdict.outcome] += 1
        self.prompt_tokens += verdict.prompt_tokens
        self.cached_tokens += verdict.cached_tokens
        self.output_tokens += verdict.output_tokens


def usage_of(result: Result, spent: Spent) -> Usage:
    """What policy and judge read and wrote."""
    cost = totals(result)
    prompt = cost["policy_prompt_tokens"] + spent.prompt_tokens
    completion = cost["policy_tokens"] + spent.output_tokens
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptDetails(cached_tokens=spent.cached_tokens),
    )


def bon_of(result: Result, asked: Asked, *, record: bool) -> BonField:
    """How the answer came about."""
    assert result.winner is not None
    job = asked.job
    return BonField(
        strategy=None if asked.technique.plain else str(job.strategy),
        n=len(result.candidates),
        seed=job.seed,
        winner=result.winner,
        ranking=[asdict(standing) for standing in result.ranking],
        totals=totals(result),
        cut_short=result.cut_short,
        record=_record(result, job) if record else None,
    )


def _record(result: Result, job: Job) -> dict[str, Any]:
    [diagnosis] = diagnose([result])
    return without_places(diagnosed(result, diagnosis), job)


def best_candidates(result: Result, count: int) -> list[Candidate]:
    """The best, from the top; of equal answers the one that played goes first."""
    place = {candidate: rank for rank, candidate in enumerate(by_rank(result))}
    last = len(place)

    def standing(candidate: int) -> tuple[int, bool, int]:
        player = result.groups[candidate]
        return place.get(player, last), player != candidate, candidate

    order = sorted(range(len(result.candidates)), key=standing)
    return [result.candidates[candidate] for candidate in order[:count]]


@dataclass(frozen=True)
class Answer:
    """A result in the words of one request."""

    asked: Asked
    model: str
    result: Result
    spent: Spent
    record: bool = False

    def chat(self) -> ChatCompletion:
        """As one object."""
        return ChatCompletion(
            id=f"chatcmpl-{uuid4().hex}", choices=self._chat_choices(), **self._common()
        )

    def text(self) -> Completion:
        """As one object."""
        return Completion(
            id=f"cmpl-{uuid4().hex}",
            choices=[
                TextChoice(index=i, text=c.text, finish_reason=_finish(c))
                for i, c in enumerate(self._best())
            ],
            **self._common(),
        )

    def chat_chunks(self, *, usage: bool) -> Iterator[dict[str, Any]]:
        """As the chunks of a stream."""
        whole = self.chat()
        head = _head(whole, "chat.completion.chunk")
        for choice in whole.choices:
            message = choice.message
            deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
            deltas += [{"reasoning_content": p} for p in _pieces(message.reasoning_content or "")]
            deltas += [{"content": piece} for piece in _pieces(message.content or "")]
            deltas += [
                {"tool_calls": [{"index": i, **call.model_dump()}]}
                for i, call in enumerate(message.tool_calls or ())
            ]
            for delta in deltas:
                yield {**head, "choices": [_chunk(choice.index, delta, None)]}
            last = _chunk(choice.index, {}, choice.finish_reason)
            yield {**head, "choices": [last], **self._how(whole, choice.index)}
        if usage:
            yield {**head, "choices": [], "usage": whole.usage.model_dump()}

    def text_chunks(self, *, usage: bool) -> Iterator[dict[str, Any]]:
        """As the chunks of a stream."""
        whole = self.text()
        head = _head(whole, "text_completion")
        for choice in whole.choices:
            blank = {"index": choice.index, "logprobs": None, "finish_reason": None}
            for piece in _pieces(choice.text):
                yield {**head, "choices": [{**blank, "text": piece}]}
            last = {**blank, "text": "", "finish_reason": choice.finish_reason}
            yield {**head, "choices": [last], **self._how(whole, choice.index)}
        if usage:
            yield {**head, "choices": [], "usage": whole.usage.model_dump()}

    def _how(self, whole: ChatCompletion | Completion, index: int) -> dict[str, Any]:
        """The `bon` field, in the last chunk that has a choice: some clients read no other."""
        return {"bon": whole.bon.model_dump()} if index == len(whole.choices) - 1 else {}

    def _best(self) -> Sequence[Candidate]:
        return best_candidates(self.result, self.asked.choices)

    def _chat_choices(self) -> list[ChatChoice]:
        choices = []
        for index, candidate in enumerate(self._best()):
            said = read_calls(candidate.text, self.asked.functions)
            finish = "tool_calls" if said.calls else _finish(candidate)
            message = AssistantMessage(
                content=said.text if said.text or not said.calls else None,
                reasoning_content=candidate.thinking or None,
                tool_calls=[_made(call) for call in said.calls] or None,
            )
            choices.append(ChatChoice(index=index, message=message, finish_reason=finish))
        return choices

    def _common(self) -> dict[str, Any]:
        return {
            "created": int(time.time()),
            "model": self.model,
            "usage": usage_of(self.result, self.spent),
            "bon": bon_of(self.result, self.asked, record=self.record),
        }


def _finish(candidate: Candidate) -> Literal["stop", "length"]:
    return "length" if candidate.finish_reason == "length" else "stop"


def _made(call: Call) -> MadeCall:
    function = CalledFunction(name=call.name, arguments=call.arguments)
    return MadeCall(id=f"call_{uuid4().hex[:24]}", function=function)


def _head(whole: ChatCompletion | Completion, kind: str) -> dict[str, Any]:
    return {"id": whole.id, "object": kind, "created": whole.created, "model": whole.model}


def _chunk(index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end with a word where they can."""
    start = 0
    while start < len(text):
        end = text.find(" ", start + PIECE, start + 4 * PIECE)
        end = end + 1 if end >= 0 else start + 4 * PIECE
        yield text[start:end]
        start = end
