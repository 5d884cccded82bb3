"""Sequential halving."""

from __future__ import annotations

from math import ceil

from bon.match import single
from bon.standings import standings
from bon.strategies.league import draw
from bon.tournament import Rule, Table
from bon.types import BonError, Match


async def sequential_halving(table: Table, *, m: int = 2, rule: Rule = single) -> int:
    """Sequential halving: a small league, the better half stays, twice as many opponents each, and so on.

    Two that have met are not asked again: their match counts in the later league as well.
    Matches: n m / 2 a round at most, and s (s - 1) / 2 among s who are left. Stages: ceil(log2 n) under a
    one-stage rule.
    Source: Karnin, Koren and Somekh (ICML 2013), with matches for arms.
    Choose it when the budget is a few calls a candidate and most candidates are weak.
    """
    if m < 1:
        raise BonError(f"sequential-halving:m is {m}: give at least 1 opponent")
    left = list(table.seats)
    met: dict[tuple[int, int], Match] = {}
    while len(left) > 1:
        due = draw(table, sorted(left), m)
        fresh = [pair for pair in due if pair not in met]
        played = await table.together([table.match(a, b, rule) for a, b in fresh])
        met.update(zip(fresh, played, strict=True))
        left = standings(table, left, [met[pair] for pair in due])[: ceil(len(left) / 2)]
        m *= 2
    return left[0]
