"""What one tournament on one prompt came to, in numbers that rows are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from bon.tournament import Strategy
from bon.types import Comparison, Outcome


class Played(NamedTuple):
    """One tournament. Numbers alone, so that thousands of them are an array."""

    right: float
    """1 where the winner is (among) the best, 0 where it is not."""
    regret: float
    """By how much the best is worth more than the winner."""
    comparisons: int
    tokens: int
    """Tokens that the judge wrote."""
    prompt_tokens: int
    stages: int
    latency: int
    """In each stage the longest output, summed: what the tournament takes where calls are not queued."""
    voids: int
    flips: int
    """Pairs of `pairs` on which the two orders disagree."""
    pairs: int
    """Pairs heard in both orders, none of the two a VOID."""


class World(Protocol):
    """A judge and its prompts. It travels to other processes, so it is plain data."""

    @property
    def size(self) -> int:
        """How many prompts there are."""
        ...

    @property
    def seats(self) -> Sequence[int]:
        """How many candidates each prompt has."""
        ...

    def play(self, strategy: Strategy, index: int) -> tuple[Played, Sequence[Comparison]]:
        """One tournament and its comparisons, the same wherever and whenever it is played."""
        ...

    def limit(self, error: float) -> float | None:
        """Comparisons that any strategy needs to err this rarely, where that is known."""
        ...

    def reference(self, text: str) -> Strategy | None:
        """A yardstick of this world's own by that name: one that is told what strategies are not."""
        ...


def played(comparisons: Iterable[Comparison], stages: int, right: float, regret: float) -> Played:
    """Count what a tournament did."""
    calls = tokens = prompt_tokens = voids = flips = pairs = 0
    longest: dict[int, int] = {}
    heard: dict[tuple[int, int, int], Outcome] = {}
    for c in comparisons:
        verdict = c.verdict
        calls += 1
        prompt_tokens += verdict.prompt_tokens
        if written := verdict.output_tokens:
            tokens += written
            longest[c.stage] = max(longest.get(c.stage, 0), written)
        outcome = verdict.outcome
        if outcome is Outcome.VOID:
            voids += 1
            continue
        turned = heard.get((c.second, c.first, c.repeat))
        if turned is None:
            heard[c.first, c.second, c.repeat] = outcome
        else:
            pairs += 1
            flips += turned is not _TURNED[outcome]
    latency = sum(longest.values())
    return Played(
        right,
        regret,
        calls,
        tokens,
        prompt_tokens,
        stages,
        latency,
        voids,
        flips,
        pairs,
    )


_TURNED = {
    Outcome.FIRST: Outcome.SECOND,
    Outcome.SECOND: Outcome.FIRST,
    Outcome.TIE: Outcome.TIE,
}
