"""Everybody meets everybody."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from bon.match import single
from bon.standings import standings
from bon.tournament import Rule, Table


async def round_robin(table: Table, *, rule: Rule = single) -> Sequence[int]:
    """Round robin, ranked by the mean share of verdicts won; equals in random order.

    That is the order of Elo as well: where all have equally many verdicts, Elo averaged over game orders
    and Bradley-Terry rank by them. The ratings themselves stand in the result.
    Matches: n (n - 1) / 2. Stages: 1 under a one-stage rule.
    Source: RRM (arXiv 2505.14674), section 3.
    Choose it when a whole ranking is wanted and calls are cheap; it is the yardstick for the others.
    """
    pairs = combinations(table.seats, 2)
    matches = await table.together([table.match(a, b, rule) for a, b in pairs])
    return standings(table, table.seats, matches)
