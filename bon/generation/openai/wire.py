"""What is said to OpenAI-compatible servers and what they answer, without any I/O.

Two ways to ask. *Messages* go to `/chat/completions`, and the server's own template and tokenizer make
the prompt of them. *Token ids*, where the model's tokenizer is at hand, go to `/completions`: the prompt
is then the very one that an engine in this process would see.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import orjson
from pydantic import BaseModel, Field

from bon.generation import Generation, Sampling, TokenChoice
from bon.generation.thinking import THINK_CLOSE, THINK_OPEN
from bon.types import Message

TAIL = 32
"""How many of the last tokens keep their log-probabilities: enough to hold a verdict."""

MAX_TOKENS = 2048
"""Of one text on `/completions` where nobody says: servers would give a handful."""

OPTIONAL = ("top_logprobs", "logprobs", "seed", "skip_special_tokens", "return_token_ids")
"""What a server may refuse and still do its work: without probabilities, draws that can be repeated, ..."""

RAW = {"skip_special_tokens": False}
"""`</think>` is a special token in some vocabularies; servers that run models leave those out unasked."""

IDS = {"return_token_ids": True}
"""What a vLLM server is asked for, so that each of several texts is counted, and one can be gone on with,
exactly."""


class Usage(BaseModel):
    """Tokens that a request cost, as far as the server says."""

    class Details(BaseModel):
        cached_tokens: int | None = None

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Details | None = None

    @property
    def cached_tokens(self) -> int:
        """How many of the prompt's tokens came from a prefix cache."""
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0


class _Likely(BaseModel):
    token: str
    logprob: float


class _Written(_Likely):
    top_logprobs: list[_Likely] = Field(default_factory=list)


class _Logprobs(BaseModel):
    """Of a chat completion (`content`) or of a plain one (the other three, parallel lists)."""

    content: list[_Written] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Function(BaseModel):
    name: str
    arguments: str = "{}"


class _Call(BaseModel):
    function: _Function


class _Message(BaseModel):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class Choice(BaseModel):
    """One generated text, as a server tells it."""

    index: int = 0
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    token_ids: list[int] | None = None


class Completion(BaseModel):
    """A server's answer; anything else it holds is not looked at."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None


class Card(BaseModel):
    """What a server says of a model that it serves."""

    id: str
    owned_by: str | None = None
    root: str | None = None
    max_model_len: int | None = None


class Cards(BaseModel):
    """The models that a server serves."""

    data: list[Card]


def chat_body(
    model: str,
    messages: Sequence[Message],
    sampling: Sampling,
    extra: Mapping[str, Any],
    tools: str = "",
) -> dict[str, Any]:
    """A request for `/chat/completions`."""
    body = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        **_settings(sampling),
    }
    if sampling.logprobs:
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    if tools:
        body["tools"] = orjson.loads(tools)
    return {**body, **extra}


def text_body(
    model: str, prompt: str | Sequence[int], sampling: Sampling, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """A request for `/completions`: to go on with a text, or with token ids."""
    body = {
        "model": model,
        "prompt": prompt if isinstance(prompt, str) else list(prompt),
        **_settings(replace(sampling, max_tokens=sampling.max_tokens or MAX_TOKENS)),
    }
    if sampling.logprobs:
        body["logprobs"] = sampling.logprobs
    return {**body, **extra}


def _settings(sampling: Sampling) -> dict[str, Any]:
    settings = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "n": sampling.n if sampling.n > 1 else None,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "response_format": _json_format(sampling.json_schema) if sampling.json_schema else None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _json_format(schema: str) -> dict[str, Any]:
    named = {"name": "answer", "schema": orjson.loads(schema), "strict": True}
    return {"type": "json_schema", "json_schema": named}


def without(body: Mapping[str, Any], refused: Collection[str]) -> dict[str, Any]:
    """The request without what the server has refused before."""
    left = {name: value for name, value in body.items() if name not in refused}
    if "max_tokens" in refused and "max_tokens" in body:
        left["max_completion_tokens"] = body["max_tokens"]
    if "logprobs" in refused:
        left.pop("top_logprobs", None)
    return left


def refused_setting(body: Mapping[str, Any], message: str, parameter: str | None) -> str | None:
    """Which of the settings that it can do without (or under another name) a server complains of."""
    for name in (*OPTIONAL, "max_tokens"):
        # quoted, or the whole of what is wrong: `seed` is a word that a prompt may hold, too
        named = re.search(
            rf"""['"`]{name}['"`]|(?:parameter|argument|field)s?(?: supplied)?\W+{name}\b""",
            message,
        )
        if name in body and (parameter == name or (parameter is None and named)):
            return name
    return None


def too_long(message: str, code: str | None) -> bool:
    """Whether a server refuses because prompt and answer do not fit into its context."""
    if code in ("context_length_exceeded", "exceed_context_size_error"):
        return True
    words = r"context (?:length|window|size)|maximum model length|prompt is too long|max_model_len"
    return re.search(words, message, re.IGNORECASE) is not None


def room_left(message: str) -> int | None:
    """How many tokens a refused answer may have, from a refusal that gives context and prompt in tokens."""
    context = re.search(r"context length (?:is|of) ([\d,]+)", message)
    prompt = re.search(
        r"([\d,]+) (?:input tokens|in the messages|tokens (?:from|in) the (?:input|messages|prompt))",
        message,
    )
    if context is None or prompt is None:
        return None
    return int(context[1].replace(",", "")) - int(prompt[1].replace(",", ""))


def generations(completion: Completion, opened: bool | None) -> tuple[Generation, ...]:
    """The generated texts in the order of their index, thinking inside its tags.

    `opened` says whether the prompt itself ends inside `<think>`; None where nobody knows: then a text
    that closes what it never opened is taken to have begun in its thinking.
    """
    choices = sorted(completion.choices, key=lambda choice: choice.index)
    texts = [_text(choice, opened) for choice in choices]
    counts = _counts(texts, completion.usage)
    return tuple(
        Generation(
            text,
            "length" if choice.finish_reason in ("length", "content_filter") else "stop",
            tuple(choice.token_ids or ()),
            tail(choice),
            None if choice.token_ids else count,
        )
        for choice, text, count in zip(choices, texts, counts, strict=True)
    )


def _text(choice: Choice, opened: bool | None) -> str:
    message = choice.message
    if message is None:
        return choice.text or ""
    answer, thinking = message.content or "", message.reasoning or message.reasoning_content
    for call in message.tool_calls or ():  # as most models write them themselves
        name, arguments = orjson.dumps(call.function.name).decode(), call.function.arguments
        answer += f'\n<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'
    answer = answer if message.content else answer.lstrip()
    if thinking:
        # without an answer the thinking was cut off, or never came to an end
        return f"{THINK_OPEN}{thinking}{THINK_CLOSE}{answer}" if answer else THINK_OPEN + thinking
    inside = THINK_CLOSE in answer if opened is None else opened
    return THINK_OPEN + answer if inside and not answer.lstrip().startswith(THINK_OPEN) else answer


def tail(choice: Choice) -> tuple[TokenChoice, ...]:
    """The last tokens with their alternatives, where the server gives log-probabilities."""
    given = choice.logprobs
    if given is None:
        return ()
    if given.content:
        return tuple(
            TokenChoice(
                written.token,
                {likely.token: likely.logprob for likely in (*written.top_logprobs, written)},
            )
            for written in given.content[-TAIL:]
        )
    tokens = given.tokens or []
    own = given.token_logprobs or [None] * len(tokens)
    tops = given.top_logprobs or [None] * len(tokens)
    if not len(tokens) == len(own) == len(tops):
        return ()
    return tuple(
        TokenChoice(token, {**(top or {}), **({} if logprob is None else {token: logprob})})
        for token, logprob, top in list(zip(tokens, own, tops, strict=True))[-TAIL:]
    )


def _counts(texts: Sequence[str], usage: Usage | None) -> list[int]:
    """Tokens of each text. Where only their sum is known, it is shared out by length."""
    total = usage.completion_tokens if usage else 0
    ends = list(accumulate((len(text) for text in texts), initial=0))
    if not ends[-1]:
        return [total, *[0] * (len(texts) - 1)]
    marks = [round(total * end / ends[-1]) for end in ends]
    return [after - before for before, after in pairwise(marks)]
