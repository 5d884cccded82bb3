"""From a prompt to N candidates: one request to the policy, thinking split off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

from bon.generation import Backend, Chat, GenerationFailed, Request, Sampling
from bon.generation.thinking import split_thinking
from bon.types import Candidate, Message, Prompt


@dataclass(frozen=True)
class Sampler:
    """A policy and how it draws. The draws depend on the seed and the prompt's words alone."""

    backend: Backend
    sampling: Sampling
    system: str = ""
    """System prompt for prompts that have none of their own."""
    seed: int = 0

    async def sample(self, prompt: Prompt, priority: int = 0) -> tuple[Candidate, ...]:
        """N candidates. Raises `PromptTooLong` or `GenerationFailed` for this prompt alone."""
        messages = prompt.messages
        if self.system and messages[0].role != "system" and not prompt.raw:
            messages = (Message("system", self.system), *messages)
        key = repr((self.seed, messages)).encode(errors="surrogatepass")
        seed = int.from_bytes(blake2b(key, digest_size=4).digest()) >> 1
        chat = Chat.raw(messages[0].content) if prompt.raw else Chat.of(messages, prompt.tools)
        reply = await self.backend.generate(
            Request(chat, replace(self.sampling, seed=seed), priority)
        )
        candidates = []
        for generation in reply.generations:
            thinking, text, _ = split_thinking(generation.text, reply.starts_thinking)
            candidates.append(
                Candidate(
                    text,
                    thinking,
                    generation.finish_reason,
                    generation.tokens,
                    prompt_tokens=reply.prompt_tokens,
                )
            )
        if not candidates:
            raise GenerationFailed("the policy returned no candidate")
        return tuple(candidates)
