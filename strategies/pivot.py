"""Probabilistic pivot tournament."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from bon.match import single
from bon.standings import standings
from bon.strategies.league import play_off
from bon.tournament import Rule, Table
from bon.types import BonError


async def pivot(
    table: Table, *, k: int = 2, rule: Rule = single, playoff: bool = False
) -> int | Sequence[int]:
    """Pivot tournament: a ring, whose k best become pivots; everybody meets the pivots; best mean score.

    As published it may end level, and then the lot decides; with `playoff` those level at the top play a
    knockout first, which makes it exact with a judge that never errs.
    Matches: n + k (n - k) + k (k - 1) / 2. Stages: 2 under a one-stage rule, the playoff's on top.
    Source: llm-verifier (PyPI), pivot_tournament.py; a pivot meets its neighbours of the ring again, in the
    other order.
    Choose it when two stages are all there is time for and a full round robin is too dear.
    """
    if k < 1:
        raise BonError(f"pivot:k is {k}: give at least 1 pivot")
    after = [(seat, (seat + 1) % table.n) for seat in table.seats]
    ring = after if table.n > 2 else after[: table.n - 1]
    matches = await table.together([table.match(a, b, rule) for a, b in ring])
    pivots = standings(table, table.seats, matches)[:k]
    others = [seat for seat in table.seats if seat not in pivots]
    pairs = [*combinations(pivots, 2), *((pivot, other) for pivot in pivots for other in others)]
    matches += await table.together([table.match(a, b, rule) for a, b in pairs])
    order = standings(table, table.seats, matches)
    return await play_off(table, order, matches, rule) if playoff else order
