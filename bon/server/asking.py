"""From a request to what is asked of the session, and from there to its result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from bon.api import Observer, Sampled
from bon.job import Job, Policy
from bon.server.errors import Refusal
from bon.server.limits import Limits
from bon.server.technique import Technique, drawn_seed, technique_of
from bon.server.tools import as_text, call_schema, offered, read_calls, said_again
from bon.server.wire import (
    ChatRequest,
    CommonRequest,
    CompletionRequest,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    Tool,
)
from bon.session import Session
from bon.types import Candidate, Message, Prompt, Result

ROLES = {"developer": "system"}
ANY_OBJECT = '{"type": "object"}'


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, ready to be played."""

    prompt: Prompt
    technique: Technique
    choices: int
    """How many answers are wanted, best first."""
    functions: frozenset[str] = frozenset()
    """Functions whose calls are read."""

    @property
    def job(self) -> Job:
        """With a candidate at least for every answer that is wanted."""
        job = self.technique.job
        return replace(job, n=max(job.n, self.choices))


def asked_in_chat(request: ChatRequest, job: Job, limits: Limits) -> Asked:
    """What a chat request asks. Raises `Refusal` or `BonError` for what it cannot have."""
    tools = _callable(request)
    messages = tuple(Message(ROLES.get(m.role, m.role), as_text(m)) for m in request.messages)
    prompt = Prompt(_digest(messages), messages, tools=offered(tools))
    forced = isinstance(request.tool_choice, NamedTool) or request.tool_choice == "required"
    schema = call_schema(tools) if forced and tools else _schema(request)
    _fits(prompt, schema, limits)
    technique = technique_of(request.model, request.bon, job, limits)
    wanted = request.max_completion_tokens or request.max_tokens
    decided = _sampled_as(request, technique, limits, wanted, schema)
    functions = frozenset(tool.function.name for tool in tools)
    return Asked(prompt, decided, request.n or 1, functions)


def asked_in_text(request: CompletionRequest, job: Job, limits: Limits) -> Asked:
    """What a completion request asks. Raises as `asked_in_chat`."""
    messages = (Message("user", request.text),)
    prompt = Prompt(_digest(messages), messages, raw=True)
    _fits(prompt, None, limits)
    options = request.bon
    if options.n is None and request.best_of is not None:
        options = options.model_copy(update={"n": request.best_of})
    technique = technique_of(request.model, options, job, limits)
    decided = _sampled_as(request, technique, limits, request.max_tokens, None)
    return Asked(prompt, decided, request.n or 1)


async def play(session: Session, asked: Asked, watch: Observer, limits: Limits) -> Result:
    """Sample, read tool calls, judge. `watch` is told of this request alone.

    The deadline counts from here; `TimeoutError` where it passes before there are candidates. Raises as
    `Session.sample` and `Session.best` do.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + asked.technique.seconds
    job, prompt = asked.job, asked.prompt
    async with asyncio.timeout_at(ends):
        drawn = await session.sample(prompt, job)
    candidates = tuple(_read(candidate, asked) for candidate in drawn)
    if asked.technique.plain:
        watch.sampled(Sampled(0, prompt, candidates))
        own = tuple(range(len(candidates)))
        known = {key: value for key, value in job.provenance.items() if key != "profile"}
        result = Result(prompt, candidates, own, 0, (), (), (), known)
        watch.finished(result)
        return result
    given = replace(prompt, given=candidates)
    left = max(0.0, ends - loop.time())
    result = await session.best(given, job, deadline=left, watch=watch, at_once=limits.at_once)
    if result.cut_short is None:
        return result
    # in the words of the whole request: its sampling took a part of the time
    told = f"the deadline of {asked.technique.seconds:g} s passed"
    return replace(result, cut_short=told)


def _read(candidate: Candidate, asked: Asked) -> Candidate:
    """The candidate as it is compared: tool calls in their one spelling."""
    if not asked.functions:
        return candidate
    return replace(candidate, text=said_again(read_calls(candidate.text, asked.functions)))


def _callable(request: ChatRequest) -> list[Tool]:
    """The tools that may be called."""
    tools, choice = request.tools or [], request.tool_choice
    if choice == "none":
        return []
    if not isinstance(choice, NamedTool):
        return tools
    named = [tool for tool in tools if tool.function.name == choice.function.name]
    if not named:
        raise Refusal(400, "tool_choice names no function of `tools`", param="tool_choice")
    return named


def _schema(request: ChatRequest) -> str | None:
    match request.response_format:
        case JsonObjectFormat():
            return ANY_OBJECT
        case JsonSchemaFormat(json_schema=schema):
            return json.dumps(schema.schema_)
        case _:
            return None


def _sampled_as(
    request: CommonRequest,
    technique: Technique,
    limits: Limits,
    max_tokens: int | None,
    schema: str | None,
) -> Technique:
    """The technique with what the request says of sampling; the server's token limit, if it has one, holds."""
    if (request.n or 1) > limits.n:
        raise Refusal(400, f"n: this server gives up to {limits.n} answers", param="n")
    job = technique.job
    given: Mapping[str, Any] = {
        name: value
        for name, value in (("temperature", request.temperature), ("top_p", request.top_p))
        if value is not None
    }
    policy: Policy = replace(
        job.policy,
        **given,
        max_tokens=min((m for m in (max_tokens, job.policy.max_tokens) if m), default=None),
        stop=request.stops,
        json_schema=schema,
    )
    return replace(technique, job=replace(job, policy=policy, seed=drawn_seed(request.seed)))


def _fits(prompt: Prompt, schema: str | None, limits: Limits) -> None:
    size = sum(len(m.content) for m in prompt.messages) + len(prompt.tools) + len(schema or "")
    if size > limits.prompt:
        raise Refusal(
            400,
            f"{size} characters of conversation, and this server takes {limits.prompt}",
            code="context_length_exceeded",
            param="messages",
        )


def _digest(messages: tuple[Message, ...]) -> str:
    """A name that equal conversations share, so that the same seed plays the same tournament."""
    return blake2b(repr(messages).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
