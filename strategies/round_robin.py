"""Everybody meets everybody."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bon.match import match_scores, single
from bon.rating import elo_average
from bon.tournament import Rule, Table


async def round_robin(table: Table, *, rule: Rule = single) -> Sequence[int]:
    """Round robin, ranked by Elo over the matches (averaged over game orders, so that none counts more).

    Matches: n (n - 1) / 2. Stages: 1 under a one-stage rule.
    Source: RRM (arXiv 2505.14674), section 3.
    Choose it when a whole ranking is wanted and calls are cheap; it is the yardstick for the others.
    """
    pairs = combinations(table.seats, 2)
    matches = await table.together([table.match(a, b, rule) for a, b in pairs])
    # Equal wins are common, and then the sampled game orders decide: they have to be this table's own,
    # or the same seats would come out ahead every time.
    orders = np.random.default_rng(table.rng("orders").getrandbits(64))
    rating = elo_average(*match_scores(matches), n=table.n, rng=orders).rating
    luck = table.rng("tie").sample(table.seats, table.n)
    return sorted(table.seats, key=lambda seat: (-rating[seat], luck[seat]))
