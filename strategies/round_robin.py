"""Everybody meets everybody."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bon.match import single
from bon.rating import elo
from bon.tournament import Rule, Table


async def round_robin(table: Table, *, rule: Rule = single) -> Sequence[int]:
    """Round robin, ranked by Elo over the matches (averaged over game orders, so that none counts more).

    Matches: n (n - 1) / 2. Stages: 1 under a one-stage rule.
    Source: RRM (arXiv 2505.14674), section 3.
    Choose it when a whole ranking is wanted and calls are cheap; it is the yardstick for the others.
    """
    pairs = list(combinations(table.seats, 2))
    winners = await table.together([table.duel(a, b, rule) for a, b in pairs])
    if not pairs:
        return [0]
    first, second = np.array(pairs).T
    ratings = elo(first, second, (np.array(winners) == first).astype(float), n=table.n)
    luck = table.rng("tie").sample(table.seats, table.n)
    return sorted(table.seats, key=lambda seat: (-ratings.rating[seat], luck[seat]))
