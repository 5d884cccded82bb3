"""Match rules: how many comparisons decide a match between two candidates.

A rule is what `Table.duel` takes: an async function of the table and two seats that gives a `Match`.
Slots come from the seed alone, so the same match is asked in the same order wherever it runs. When the
verdicts do not tell the two apart, a seeded coin does; the match says so and adds nothing of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bon.tournament import Rule, Table
from bon.types import BonError, Comparison, Decision, Match, Outcome


async def single(table: Table, a: int, b: int) -> Match:
    """One comparison, in a seeded order: position bias becomes zero-mean noise at no cost.

    Cost: 1 call, 1 stage.
    """
    first, second = _slots(table, a, b)
    return decide(table, a, b, [await table.compare(first, second)])


async def both(table: Table, a: int, b: int) -> Match:
    """One comparison in each order: position bias cancels, and shows as a split match.

    Cost: 2 calls, 1 stage.
    """
    first, second = _slots(table, a, b)
    asks = [table.compare(first, second), table.compare(second, first)]
    return decide(table, a, b, await table.together(asks))


def votes(k: int) -> Rule:
    """K comparisons in alternating orders; ends at the smallest prefix that no later vote can overturn.

    Cost: floor(K/2) + 1 to K calls, 1 stage. Source: RRM (arXiv 2505.14674), section 3, majority voting.
    """
    if k < 1:
        raise BonError("votes:K needs K of at least 1, such as votes:3")

    async def rule(table: Table, a: int, b: int) -> Match:
        order = _slots(table, a, b)
        asks = [table.compare(*(order if i % 2 == 0 else order[::-1])) for i in range(k)]

        def decided(prefix: Sequence[Comparison]) -> bool:
            return abs(_lead(prefix, a)) > k - len(prefix)

        return decide(table, a, b, await table.in_order(asks, decided))

    return rule


def decide(table: Table, a: int, b: int, comparisons: Sequence[Comparison]) -> Match:
    """The match that these comparisons make: more verdicts win it, a coin where they are balanced."""
    lead = _lead(comparisons, a)
    if lead:
        winner, decision = (a if lead > 0 else b), Decision.VERDICTS
    else:
        low, high = sorted((a, b))
        winner = low if table.coin("match", low, high, comparisons[0].repeat) else high
        silent = all(c.verdict.outcome is Outcome.VOID for c in comparisons)
        decision = Decision.VOID if silent else Decision.SPLIT
    stage = max([c.stage for c in comparisons])
    return Match(a, b, winner, decision, stage, tuple(comparisons))


def match_scores(
    matches: Iterable[Match],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """What ratings may know of matches: seats a and b, and the score of a (1, 0, or .5 for a split).

    A match without any verdict is left out: a coin is no evidence.
    """
    told = [m for m in matches if m.decision is not Decision.VOID]
    seats = np.array([(m.a, m.b) for m in told], dtype=np.int64).reshape(-1, 2)
    scores = [0.5 if m.decision is Decision.SPLIT else float(m.winner == m.a) for m in told]
    return seats[:, 0], seats[:, 1], np.array(scores, dtype=np.float64)


RULES: dict[str, Callable[[str], Rule]] = {
    "single": lambda argument: _plain(single, "single", argument),
    "both": lambda argument: _plain(both, "both", argument),
    "votes": lambda argument: votes(_whole_number("votes", argument)),
}


def parse_rule(text: str) -> Rule:
    """The rule that `single`, `both` or `votes:K` names; raises `BonError` with the known ones."""
    name, _, argument = text.partition(":")
    if name not in RULES:
        raise BonError(
            f"unknown match rule {text!r}; known: single, both, votes:K (such as votes:3)"
        )
    return RULES[name](argument)


def _slots(table: Table, a: int, b: int) -> tuple[int, int]:
    low, high = (a, b) if a < b else (b, a)
    return (low, high) if table.coin("slots", low, high) else (high, low)


def _lead(comparisons: Iterable[Comparison], seat: int) -> int:
    """Verdicts for `seat` less verdicts against it; a tie and a VOID are neither."""
    winners = [comparison.winner for comparison in comparisons]
    return 2 * winners.count(seat) + winners.count(None) - len(winners)


def _plain(rule: Rule, name: str, argument: str) -> Rule:
    if argument:
        raise BonError(f"the match rule {name} takes no argument, but got {argument!r}")
    return rule


def _whole_number(name: str, argument: str) -> int:
    try:
        return int(argument)
    except ValueError:
        raise BonError(
            f"{name}:K needs a whole number K, such as {name}:3, not {argument!r}"
        ) from None
