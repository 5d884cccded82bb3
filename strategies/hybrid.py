"""Knockout first, round robin for the last few."""

from __future__ import annotations

from itertools import combinations

from bon.match import single
from bon.standings import standings
from bon.strategies.knockout import winner_of
from bon.tournament import Rule, Table
from bon.types import BonError


async def hybrid(table: Table, *, k: int = 4, rule: Rule = single) -> int:
    """Hybrid: knockouts leave k, who then all meet each other.

    Matches: n - k + k (k - 1) / 2, k at most n. Stages: ceil(log2 ceil(n / k)) + 1 under a one-stage rule.
    Source: group stage and final reversed: cheap matches where most are weak, many where it is close.
    Choose it when the field is uneven and the last few deserve a closer look.
    """
    if k < 1:
        raise BonError(f"hybrid:k is {k}: give at least 1 finalist")
    k = min(k, table.n)
    blocks = [table.seats[table.n * i // k : table.n * (i + 1) // k] for i in range(k)]
    finalists = await table.together([winner_of(table, block, rule) for block in blocks])
    matches = await table.together(
        [table.match(a, b, rule) for a, b in combinations(sorted(finalists), 2)]
    )
    return standings(table, finalists, matches)[0]
