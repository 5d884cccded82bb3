"""Single elimination."""

from __future__ import annotations

from collections.abc import Sequence

from bon.match import single
from bon.tournament import Rule, Table


async def knockout(table: Table, *, rule: Rule = single) -> int:
    """Single elimination: losers leave, the last one left wins; short halves have byes.

    Matches: n - 1. Stages: ceil(log2 n) under a one-stage rule. Every match is played as soon as its
    two feeders are decided, whatever the rest of the bracket does.
    Source: RRM (arXiv 2505.14674), section 3; error bound in arXiv 2411.19477.
    Choose it when calls are dear and only the winner matters.
    """

    async def winner_of(seats: Sequence[int]) -> int:
        if len(seats) == 1:
            return seats[0]
        half = len(seats) // 2
        left, right = await table.together([winner_of(seats[:half]), winner_of(seats[half:])])
        return await table.duel(left, right, rule)

    return await winner_of(table.seats)
