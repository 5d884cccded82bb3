"""A model behind OpenAI-compatible servers.

A request that fails in passing (busy, broken, timed out, cut off, unreadable) is made again, after a wait
that grows and is drawn at random, at whichever server then has the fewest under way, but not where it
failed before as long as there is another. One that is refused is not made again. Every attempt counts; none is ever taken for an answer.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from pydantic import ValidationError
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from bon.generation import (
    GenerationFailed,
    PromptTooLong,
    Reply,
    Request,
    RequestRefused,
    Sampling,
)
from bon.generation.encoding import ChatEncoder, filled, unmarked
from bon.generation.models import model_identity, resolve_model
from bon.generation.openai import wire
from bon.generation.openai.address import Address, parse_address
from bon.generation.openai.line import Line, NotFound, Passing, Refused, dial
from bon.generation.openai.pool import Pool, Server
from bon.generation.openai.settings import NO_RESUME, Settings
from bon.generation.thinking import THINK_OPEN
from bon.types import BonError, EngineError
from bon.untrusted import one_line

GREETING = 20.0
"""Seconds that a server has to say what it serves."""
BACKOFF, LONGEST_BACKOFF = 0.5, 30.0
"""The first wait before another attempt is drawn from 0 to this many seconds; each further one may be
twice as long, up to the second."""


@dataclass
class Traffic:
    """What went over the wire."""

    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Attempts that gave no answer, by what came of them."""
    refused: set[str] = field(default_factory=set)
    """Settings that a server does not take: requests go on without them."""

    @property
    def attempts(self) -> int:
        """Every request that was made, whatever came of it."""
        return self.answers + self.failures.total()

    def __str__(self) -> str:
        text = f"{self.answers:,} answers in {self.attempts:,} attempts"
        if self.failures:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.failures.most_common())
            text += f" ({kinds})"
        if self.refused:
            text += (
                f"; asked without {', '.join(sorted(self.refused))}, which the server does not take"
            )
        return text


@asynccontextmanager
async def load(
    model: str, engine_args: Mapping[str, Any] | None = None
) -> AsyncIterator[OpenAIBackend]:
    """Connect to the servers of `openai:NAME@URL[,URL...]`.

    `engine_args` are the fields of `Settings`. A server that does not answer is left out and tried again.
    Raises `BonError` for a bad address or argument, `EngineError` where none answers, or one that does has
    no such model or wants another key.
    """
    address, settings = parse_address(model), Settings.of(engine_args or {})
    encoder = await asyncio.to_thread(_encoder, settings.tokenizer) if settings.tokenizer else None
    async with AsyncExitStack() as stack:
        lines = [dial(url, settings.timeout) for url in address.urls]
        for line in lines:
            stack.push_async_callback(line.client.close)
        found = await _greetings(lines, address.model)
        pool = Pool(lines, settings.max_in_flight)
        for server, card in zip(pool.servers, found, strict=True):
            if isinstance(card, Passing):
                pool.leave_out(server)
            elif isinstance(card, BaseException):
                raise card
        cards = [card for card in found if isinstance(card, wire.Card)]
        if not cards:
            raise EngineError(_nobody(address, "; ".join(map(str, found))))
        opened = settings.starts_thinking
        if opened is None and encoder is None and any(c.owned_by == "vllm" for c in cards):
            opened = await _template_opens_thinking(lines, address.model, settings)
        yield OpenAIBackend(address, settings, pool, cards, encoder, opened)


class OpenAIBackend:
    """Servers that answered; made by `load`."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        pool: Pool[Line],
        cards: Sequence[wire.Card],
        encoder: ChatEncoder | None,
        opened: bool | None,
    ) -> None:
        self.identity = identity(address, settings, cards)
        self.capacity = pool.capacity
        self.traffic = Traffic()
        self._address = address
        self._settings = settings
        self._pool = pool
        self._encoder = encoder
        self._opened = opened
        self._context = min((c.max_model_len for c in cards if c.max_model_len), default=None)
        owners = {card.owned_by for card in cards}
        self._extra = {
            **(wire.RAW if owners & {"vllm", "sglang"} else {}),
            **settings.extra_body,
        }
        self._gives_ids = "vllm" in owners
        self._one_by_one = False
        """Whether a server has been seen to give one text a request, whatever `n` says."""

    async def generate(self, request: Request) -> Reply:
        n = request.sampling.n
        replies: list[Reply] = []
        if n == 1 or not self._one_by_one:
            try:
                replies.append(await self._draw(request))
            except RequestRefused:
                if n == 1:  # some refuse more, and do not say that this is what they refuse
                    raise
        drawn = sum(len(reply.generations) for reply in replies)
        if drawn < n:
            replies += await self._draw_each(request, range(drawn, n))
            self._one_by_one = self._one_by_one or drawn <= 1
        return replace(
            replies[0],
            generations=tuple(g for reply in replies for g in reply.generations)[:n],
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            cached_tokens=sum(reply.cached_tokens for reply in replies),
        )

    async def _draw_each(self, request: Request, numbers: range) -> list[Reply]:
        """One request a text, each with a seed of its own, which is the request's for number 0."""

        def single(number: int) -> Request:
            seed = request.sampling.seed
            other = None if seed is None else (seed + number) % 2**31
            return replace(request, sampling=replace(request.sampling, n=1, seed=other))

        draws = [self._draw(single(number)) for number in numbers]
        found = await asyncio.gather(*draws, return_exceptions=True)
        for reply in found:
            if isinstance(reply, BaseException):
                raise reply
        return [reply for reply in found if isinstance(reply, Reply)]

    async def _draw(self, request: Request) -> Reply:
        """What one request gives, which may be fewer texts than it asks for."""
        path, body = self._question(request)
        while True:
            asked = wire.without(body, self.traffic.refused)
            try:
                completion = await self._persist(path, asked, request.priority)
                break
            except Refused as error:
                body = self._adapted(body, asked, error)
        usage = completion.usage or wire.Usage()
        return Reply(
            wire.generations(completion, self._opened),
            usage.prompt_tokens,
            usage.cached_tokens,
            self._encoder is not None and self._encoder.starts_thinking(request.chat),
        )

    def _question(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Path and body of the request."""
        chat, model, sampling = request.chat, self._address.model, request.sampling
        extra = self._extra
        if self._gives_ids and (self._encoder is not None or sampling.n > 1):
            extra = {**wire.IDS, **extra}
        if self._encoder is not None:
            ids, sampling = self._fitted(request, self._encoder)
            return "/completions", wire.text_body(model, ids, sampling, extra)
        if request.resume is not None:
            raise BonError(NO_RESUME)
        if self._context is not None and sampling.max_tokens is not None:
            # beside the prompt the server cuts it down itself, but refuses more than there is at all
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, self._context))
        if not chat.messages:
            text = unmarked(chat.quoted[0])
            return "/completions", wire.text_body(model, text, sampling, extra)
        body = wire.chat_body(model, filled(chat), sampling, extra, chat.tools)
        return "/chat/completions", body

    def _fitted(self, request: Request, encoder: ChatEncoder) -> tuple[list[int], Sampling]:
        """The prompt's token ids, and the settings with a limit that fits into the context beside them."""
        ids = encoder.encode(request.chat)
        if request.resume is not None:
            written = request.resume.token_ids or encoder.markup(request.resume.text)
            ids += [*written, *encoder.markup(request.close)]
        if self._context is None:
            return ids, request.sampling
        if len(ids) >= self._context:
            raise PromptTooLong(
                f"{len(ids)} tokens leave no room in the context of {self._context} tokens"
            )
        wanted = request.sampling.max_tokens or wire.MAX_TOKENS
        return ids, replace(request.sampling, max_tokens=min(wanted, self._context - len(ids)))

    def _adapted(
        self, body: dict[str, Any], asked: Mapping[str, Any], error: Refused
    ) -> dict[str, Any]:
        """The request as the server may take it. Raises where nothing can be done about it."""
        if error.too_long:
            room, wanted = wire.room_left(error.message), body.get("max_tokens")
            if room is None or wanted is None or not 0 < room < wanted:
                raise PromptTooLong(str(error)) from error
            return {**body, "max_tokens": room}
        refused = wire.refused_setting(asked, error.message, error.parameter)
        if refused is None:
            raise RequestRefused(str(error)) from error
        self.traffic.refused.add(refused)
        return body

    async def _persist(self, path: str, body: Mapping[str, Any], priority: int) -> wire.Completion:
        """Ask until there is an answer, or no attempt left, or no time."""
        now = asyncio.get_running_loop().time
        began = now()
        last: Passing | None = None
        failed_at: set[Server[Line]] = set()
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_after_attempt(self._settings.attempts),
            wait=wait_random_exponential(BACKOFF, max=LONGEST_BACKOFF),
            reraise=True,
        )
        try:
            async with asyncio.timeout(None) as limit:
                async for attempt in attempts:
                    with attempt:
                        if len(failed_at) == len(self._pool.servers):
                            failed_at.clear()
                        async with self._pool.place(priority, failed_at) as server:
                            if limit.when() is None:  # what waits for its first place has not begun
                                limit.reschedule(now() + self._settings.deadline)
                            try:
                                return await self._attempt(server, path, body)
                            except Passing as error:
                                last = error
                                failed_at.add(server)
                                raise
        except Passing:
            words = f"{last}; given up after {self._settings.attempts} attempts"
        except TimeoutError:
            words = f"no answer within {self._settings.deadline:g} s" + (
                f"; {last}" if last else ""
            )
        if self._pool.last_answer < began and not await self._anybody_there():
            raise EngineError(_nobody(self._address, words)) from last
        raise GenerationFailed(words) from last

    async def _attempt(
        self, server: Server[Line], path: str, body: Mapping[str, Any]
    ) -> wire.Completion:
        """One request to one server. It counts, and tells the pool how the server does."""
        try:
            completion = await server.handle.complete(path, body, self._settings.timeout)
        except Passing as error:
            self.traffic.failures[error.kind] += 1
            if error.rest is None:
                self._pool.failed(server)
            else:
                self._pool.rest(server, error.rest)
            if (wait := self._pool.closed_for()) > self._settings.deadline:
                raise EngineError(f"{error}; nobody is to ask before {wait:,.0f} s") from error
            raise
        except Refused:
            self.traffic.failures["refused"] += 1
            self._pool.answered(server)  # it is there, and knows what it wants
            raise
        except EngineError:
            self.traffic.failures["refused"] += 1
            raise
        except asyncio.CancelledError:
            self.traffic.failures["aborted"] += 1
            raise
        self.traffic.answers += 1
        self._pool.answered(server)
        return completion

    async def _anybody_there(self) -> bool:
        """Whether any server still says what it serves."""
        lines = [server.handle for server in self._pool.servers]
        found = await _greetings(lines, self._address.model)
        return any(isinstance(card, wire.Card) for card in found)


def identity(address: Address, settings: Settings, cards: Sequence[wire.Card]) -> str:
    """What is known of the model: its name, what the servers say they loaded, and where they are.

    The weights behind a URL cannot be seen. Without a `revision`, by which the user vouches for them, the
    URLs are a part of the identity: what was judged elsewhere under the same name is judged again.
    """
    said = [f"openai:{address.model}"]
    if settings.revision:
        said.append(f"@{settings.revision}")
    else:
        said += sorted({f" from {c.root}" for c in cards if c.root and c.root != address.model})
        said.append(f" at {','.join(sorted(address.urls))}")
    if settings.tokenizer:
        tokenizer = model_identity(resolve_model(settings.tokenizer)) or settings.tokenizer
        said.append(f" tokenized by {tokenizer}")
    if settings.starts_thinking is not None:
        said.append(f" starts_thinking={settings.starts_thinking}")
    if settings.extra_body:
        extra = orjson.dumps(settings.extra_body, option=orjson.OPT_SORT_KEYS)
        said.append(f" with {extra.decode()}")
    return "".join(said)


def _encoder(tokenizer: str) -> ChatEncoder:
    if importlib.util.find_spec("transformers") is None:
        raise BonError("the engine argument tokenizer needs transformers: pip install transformers")
    from transformers import AutoTokenizer

    try:
        return ChatEncoder(AutoTokenizer.from_pretrained(resolve_model(tokenizer)))
    except (OSError, ValueError) as error:
        said = one_line(str(error), 200)
        raise BonError(f"cannot load the tokenizer {tokenizer}: {said}") from error


async def _greetings(lines: Sequence[Line], model: str) -> list[wire.Card | BaseException]:
    greetings = [_greet(line, model) for line in lines]
    return await asyncio.gather(*greetings, return_exceptions=True)


async def _greet(line: Line, model: str) -> wire.Card:
    """What a server says of the model. Raises `Passing` where it does not answer."""
    try:
        cards = wire.Cards.model_validate_json(await line.get("/models", GREETING)).data
    except (Refused, NotFound, ValidationError):  # it lists nothing: the requests will show
        return wire.Card(id=model)
    for card in cards:
        if card.id == model:
            return card
    if any(card.owned_by in ("vllm", "sglang") for card in cards):  # these know no other names
        known = ", ".join(one_line(card.id) for card in cards[:5])
        raise EngineError(f"{line.url} serves no model {model!r}; it serves {known}")
    return wire.Card(id=model)


async def _template_opens_thinking(
    lines: Sequence[Line], model: str, settings: Settings
) -> bool | None:
    """Ask vLLM servers how their chat template ends a prompt; None where none tells."""
    question = {"model": model, "messages": [{"role": "user", "content": "?"}]}
    template = settings.extra_body.get("chat_template_kwargs", {})
    body = {**question, "return_token_strs": True, "chat_template_kwargs": template}
    for line in lines:
        url = f"{line.url.removesuffix('/v1')}/tokenize"
        try:
            told = await line.post(url, body, GREETING)
            end = "".join(orjson.loads(told)["token_strs"][-8:])
        except (Passing, Refused, NotFound, EngineError, ValueError, KeyError, TypeError):
            continue
        # blanks and line ends as byte-level and sentencepiece vocabularies spell them
        return end.rstrip(" \n\u010a\u0120\u2581").endswith(THINK_OPEN)
    return None


def _nobody(address: Address, words: str) -> str:
    return (
        f"no server answers for {address.model} ({words}): start one, or check the URL;"
        " what was judged with --ledger is kept"
    )
