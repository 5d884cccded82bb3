"""A language model as judge: it thinks, then names the better response."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

from bon.generation import Backend, GenerationFailed, PromptTooLong, Request, Sampling
from bon.generation.thinking import THINK_CLOSE
from bon.judge.template import Template
from bon.judge.verdict import probability_of_first, read_verdict
from bon.types import Outcome, Verdict, VoidReason

LOGPROBS = 5
VERDICT_TOKENS = 100
"""Room for the verdict once the thinking has been closed for the model (RRM, section 3)."""


@dataclass(frozen=True)
class GenerativeJudge:
    """A reward reasoning model behind a back end.

    With a `thinking_budget` (tokens), thinking that exceeds it is closed and the verdict written in a
    second short call (RRM, arXiv 2505.14674, section 3); without one, thinking that hits `max_tokens`
    makes the comparison VOID.
    """

    backend: Backend
    template: Template
    temperature: float
    top_p: float
    max_tokens: int
    thinking_budget: int | None = None
    criteria: str = ""
    seed: int = 0

    @cached_property
    def identity(self) -> str:
        """Model and template, for people, and a hash of all that decides a verdict."""
        return f"{self.backend.identity}, template {self.template.name}, {self._digest}"

    @cached_property
    def _digest(self) -> str:
        """Of model, revision, template, criteria and sampling; the seed too, as it chooses the draws."""
        settings = (
            self.backend.identity,
            self.template.digest,
            self.criteria,
            self.temperature,
            self.top_p,
            self.max_tokens,
            self.thinking_budget,
            self.seed,
        )
        return blake2b(repr(settings).encode(), digest_size=16).hexdigest()

    async def compare(
        self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
    ) -> Verdict:
        key = repr((self._digest, query, first, second, repeat, attempt))
        seed = int.from_bytes(blake2b(key.encode(errors="surrogatepass"), digest_size=4).digest())
        request = Request(
            self.template.chat(query, first, second, self.criteria),
            Sampling(
                max_tokens=self.thinking_budget or self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=seed >> 1,
                logprobs=LOGPROBS,
            ),
            priority,
        )
        try:
            return await self._verdict(request)
        except (PromptTooLong, GenerationFailed) as error:
            return _void(error)

    async def _verdict(self, request: Request) -> Verdict:
        reply = await self.backend.generate(request)
        written = reply.generations[0]
        text, tokens, cached = written.text, written.tokens, reply.cached_tokens
        prompt_tokens = reply.prompt_tokens
        if self.thinking_budget and written.finish_reason == "length":
            close = "" if THINK_CLOSE in written.text else self.template.close
            short = replace(request.sampling, max_tokens=VERDICT_TOKENS)
            try:
                forced = await self.backend.generate(
                    replace(request, sampling=short, resume=written, close=close)
                )
            except (PromptTooLong, GenerationFailed) as error:
                return replace(
                    _void(error),
                    prompt_tokens=prompt_tokens,
                    cached_tokens=cached,
                    output_tokens=tokens,
                )
            written = forced.generations[0]
            text += close + written.text
            tokens += written.tokens
            prompt_tokens += forced.prompt_tokens
            cached += forced.cached_tokens
        reading = read_verdict(self.template, text, written.finish_reason, reply.starts_thinking)
        return Verdict(
            outcome=reading.outcome,
            p_first=probability_of_first(self.template, reading, written.tail),
            reasoning=reading.reasoning,
            text=reading.text,
            void_reason=reading.void_reason,
            prompt_tokens=prompt_tokens,
            cached_tokens=cached,
            output_tokens=tokens,
        )


def _void(error: PromptTooLong | GenerationFailed) -> Verdict:
    reason = VoidReason.TOO_LONG if isinstance(error, PromptTooLong) else VoidReason.FAILED
    return Verdict(Outcome.VOID, void_reason=reason, detail=str(error))
