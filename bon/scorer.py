"""From candidates to scores: each by itself, one request a candidate to a scalar reward model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from bon.generation import Backend, Chat, GenerationFailed, Request, Sampling
from bon.types import Candidate, Prompt


@dataclass(frozen=True)
class Scorer:
    """A reward model on a running engine. A score depends on the conversation and the response alone."""

    backend: Backend

    async def score(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], priority: int = 0
    ) -> tuple[Candidate, ...]:
        """The candidates with their scores, those of the input replaced.

        Raises `PromptTooLong` or `GenerationFailed` for this prompt alone: where one response cannot
        be scored, none is, for a failure is no score.
        """
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._score(prompt, candidate.text, priority))
                for candidate in candidates
            ]
        return tuple(
            replace(candidate, score=task.result())
            for candidate, task in zip(candidates, asked, strict=True)
        )

    async def _score(self, prompt: Prompt, text: str, priority: int) -> float:
        chat = Chat.answered(prompt.messages, text, prompt.tools)
        reply = await self.backend.generate(Request(chat, Sampling(), priority))
        if reply.score is None or reply.score != reply.score:
            raise GenerationFailed("the reward model gave no score")
        return reply.score
