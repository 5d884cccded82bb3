"""A judge and a sampler with a ledger: what was judged or sampled before is not done again."""

from __future__ import annotations

import asyncio
from dataclasses import astuple, replace

from bon.judge import PairwiseJudge
from bon.ledger import Ledger, candidates_key, verdict_key
from bon.sampler import Sampler
from bon.scorer import Scorer
from bon.types import Candidate, Outcome, Prompt, Verdict, VoidReason


class LedgeredJudge:
    """Answers from the ledger where it can; else asks the judge and keeps the verdict.

    The same call from several tournaments at once is made once. A VOID because the back end failed is
    nobody's verdict: it is not kept, and the next run asks again.
    """

    def __init__(self, judge: PairwiseJudge, ledger: Ledger) -> None:
        self.identity = judge.identity
        self._judge = judge
        self._ledger = ledger
        self._running: dict[bytes, asyncio.Future[Verdict | None]] = {}

    async def compare(
        self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
    ) -> Verdict:
        key = verdict_key(self.identity, query, first, second, repeat, attempt)
        while (running := self._running.get(key)) is not None:
            shared = await asyncio.shield(running)
            if shared is not None:
                return shared
        known = self._ledger.verdict(key)
        if known is not None:
            return known
        outcome = self._running[key] = asyncio.get_running_loop().create_future()
        verdict: Verdict | None = None
        try:
            verdict = await self._judge.compare(
                query, first, second, repeat=repeat, attempt=attempt, priority=priority
            )
            if not _failed(verdict):
                self._ledger.add_verdict(
                    key,
                    verdict,
                    judge=self.identity,
                    query=query,
                    first=first,
                    second=second,
                    repeat=repeat,
                    attempt=attempt,
                )
            return verdict
        finally:  # None, where this call was aborted: whoever else waits for it makes it himself
            del self._running[key]
            outcome.set_result(verdict)


class LedgeredSampler:
    """Candidates from the ledger where they are there; else from the policy, and then kept.

    So a run that is taken up again judges the candidates that the first one judged.
    """

    def __init__(self, sampler: Sampler, ledger: Ledger) -> None:
        self._sampler = sampler
        self._ledger = ledger

    async def sample(self, prompt: Prompt, priority: int = 0) -> tuple[Candidate, ...]:
        """As `Sampler.sample`."""
        sampler = self._sampler
        policy = sampler.backend.identity
        settings = (
            *astuple(sampler.sampling),
            sampler.system,
            sampler.seed,
            prompt.tools,
            prompt.raw,
        )
        key = candidates_key(policy, settings, prompt.messages)
        known = self._ledger.candidates(key)
        if known is not None:
            return known
        candidates = await sampler.sample(prompt, priority)
        self._ledger.add_candidates(key, candidates, policy)
        return candidates


class LedgeredScorer:
    """Candidates with their scores from the ledger where they are there; else scored, and then kept."""

    def __init__(self, scorer: Scorer, ledger: Ledger) -> None:
        self._scorer = scorer
        self._ledger = ledger

    async def score(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], priority: int = 0
    ) -> tuple[Candidate, ...]:
        """As `Scorer.score`."""
        scorer = self._scorer.backend.identity
        settings = ("score", prompt.tools, *(candidate.text for candidate in candidates))
        key = candidates_key(scorer, settings, prompt.messages)
        known = self._ledger.candidates(key)
        if known is None:
            known = await self._scorer.score(prompt, candidates, priority)
            self._ledger.add_candidates(key, known, scorer)
        pairs = zip(candidates, known, strict=True)
        return tuple(replace(candidate, score=told.score) for candidate, told in pairs)


def _failed(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.VOID and verdict.void_reason is VoidReason.FAILED
