"""Match rules: how many comparisons decide a match between two candidates.

A rule is what `Table.duel` takes: an async function of the table and two seats that gives a `Match`.
Slots come from the seed alone, so the same match is asked in the same order wherever it runs. When the
verdicts do not tell the two apart, a seeded coin does; the match says so and adds nothing of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from math import ceil, exp, log, log1p, log2

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


def escalate(k: int = 3) -> Rule:
    """Both orders, and K more votes only where the two do not name a winner.

    Cost: 2 calls and 1 stage, or up to 2 + K calls and 2 stages. Source: order swap with votes added on
    disagreement, asked for in harness-evals #10 and waza #310.
    """
    if k < 1:
        raise BonError("escalate:K needs K of at least 1, such as escalate:3")
    more = votes(k)

    async def rule(table: Table, a: int, b: int) -> Match:
        agreed = await both(table, a, b)
        if agreed.decision is Decision.VERDICTS:
            return agreed
        further = await more(table, a, b)
        return decide(table, a, b, agreed.comparisons + further.comparisons)

    return rule


MOST_VOTES = 63
"""Where a sequential test of two equals ends: a lead has it, or the coin."""


def sequential(error: float, flip: float = 0.2) -> Rule:
    """Wald's probability ratio test: votes in alternating orders until one side leads by enough.

    In a bracket the best candidate is lost with chance `error` at most, as long as the judge errs
    independently, with chance `flip` at most. The lead asked for depends on the round: later rounds have
    fewer matches, so certainty is cheaper there. Votes that cannot decide yet are asked for at once.
    Cost: in round r about lead(r) / (1 - 2 flip) calls a match. Source: Wald, Ann. Math. Statist. 16
    (1945); a lead of h errs with chance 1 / (1 + ((1 - flip) / flip)^h).
    """
    for name, chance in (("ERROR", error), ("FLIP", flip)):
        if not 0.0 < chance < 0.5:
            raise BonError(
                f"sequential:ERROR or sequential:ERROR:FLIP needs {name} between 0 and 0.5,"
                f" such as sequential:0.05, not {chance:g}"
            )

    async def rule(table: Table, a: int, b: int) -> Match:
        leads = bracket_leads(table.n, error, flip)
        needed = leads[min(max(table.met(a), table.met(b)), len(leads) - 1)]
        order = _slots(table, a, b)
        votes: list[Comparison] = []
        while (short := needed - abs(_lead(votes, a))) > 0 and len(votes) < MOST_VOTES:
            due = range(len(votes), min(len(votes) + short, MOST_VOTES))
            asks = [table.compare(*(order if i % 2 == 0 else order[::-1])) for i in due]
            votes += await table.together(asks)
        return decide(table, a, b, votes)

    return rule


@cache
def bracket_leads(n: int, error: float, flip: float) -> tuple[int, ...]:
    """The lead to ask for in each round of a bracket of n, so that the best is lost with chance `error`.

    From a lead of one everywhere, the round goes up that buys most certainty for its calls; what is more
    than enough in the end is given back, from the first round on.
    """
    rounds = max(1, ceil(log2(n)))
    matches = [max(1.0, n / (2 << r)) for r in range(rounds)]
    leads = [1] * rounds

    def wrong(lead: int) -> float:
        return 1.0 / (1.0 + exp(lead * log((1.0 - flip) / flip)))

    def calls(lead: int) -> float:
        return lead * (1.0 - 2.0 * wrong(lead)) / (1.0 - 2.0 * flip)

    def gain(r: int) -> float:
        saved = log1p(-wrong(leads[r] + 1)) - log1p(-wrong(leads[r]))
        return saved / (matches[r] * (calls(leads[r] + 1) - calls(leads[r])))

    def kept(leads: Sequence[int]) -> float:
        return sum(log1p(-wrong(lead)) for lead in leads)

    while kept(leads) < log1p(-error):
        leads[max(range(rounds), key=gain)] += 1
    for r in range(rounds):
        while kept([*leads[:r], leads[r] - 1, *leads[r + 1 :]]) >= log1p(-error):
            leads[r] -= 1
    return tuple(leads)


def decide(table: Table, a: int, b: int, comparisons: Sequence[Comparison]) -> Match:
    """The match that these comparisons make: more verdicts win it, a coin where they are balanced."""
    lead = _lead(comparisons, a)
    if lead:
        winner, decision = (a if lead > 0 else b), Decision.VERDICTS
    else:
        low, high = sorted((a, b))
        opening = comparisons[0]
        heads = table.coin("match", low, high, opening.repeat, int(opening.first == low))
        winner = low if heads else high
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
    "escalate": lambda argument: escalate(_whole_number("escalate", argument or "3")),
    "sequential": lambda argument: sequential(*_chances(argument)),
}


KNOWN_RULES = (
    "single, both, votes:K (such as votes:3), escalate, sequential:ERROR (such as sequential:0.05)"
)


def parse_rule(text: str) -> Rule:
    """The rule of that name, with its argument after a colon; raises `BonError` with the known ones."""
    name, _, argument = text.partition(":")
    if name not in RULES:
        raise BonError(f"unknown match rule {text!r}; known: {KNOWN_RULES}")
    return RULES[name](argument)


def _slots(table: Table, a: int, b: int) -> tuple[int, int]:
    """A seeded order of the two; when they meet again, the vote that is due in alternation."""
    low, high = (a, b) if a < b else (b, a)
    swapped = table.coin("slots", low, high) ^ (table.asked(low, high) % 2 == 1)
    return (low, high) if swapped else (high, low)


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


def _chances(text: str) -> list[float]:
    try:
        chances = [float(part) for part in text.split(":")]
    except ValueError:
        chances = []
    if len(chances) not in (1, 2):
        raise BonError(
            "sequential needs the chance of error, such as sequential:0.05, and takes the judge's flip"
            f" rate, such as sequential:0.05:0.3, not {text!r}"
        )
    return chances
