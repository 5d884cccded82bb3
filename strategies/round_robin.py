"""Everybody meets everybody."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from bon.match import match_scores, single
from bon.rating import points
from bon.tournament import Rule, Table


async def round_robin(table: Table, *, rule: Rule = single) -> Sequence[int]:
    """Round robin, ranked by matches won, a split match counting one half; equals in random order.

    That is the order of Elo as well: where all play equally many matches, Elo averaged over game orders
    and Bradley-Terry rank by wins. The ratings themselves stand in the result.
    Matches: n (n - 1) / 2. Stages: 1 under a one-stage rule.
    Source: RRM (arXiv 2505.14674), section 3.
    Choose it when a whole ranking is wanted and calls are cheap; it is the yardstick for the others.
    """
    pairs = combinations(table.seats, 2)
    matches = await table.together([table.match(a, b, rule) for a, b in pairs])
    won = points(*match_scores(matches), n=table.n)
    luck = table.rng("tie").sample(table.seats, table.n)
    return sorted(table.seats, key=lambda seat: (-won[seat], luck[seat]))
