"""Double elimination."""

from __future__ import annotations

from collections.abc import Sequence

from bon.match import single
from bon.tournament import Rule, Table


async def double_elimination(table: Table, *, rule: Rule = single, reset: bool = True) -> int:
    """Double elimination: out after two defeats; the two brackets' winners meet in the final.

    Where the winner of the losers' bracket wins the final, both have lost once and, with `reset`, a second
    final decides.
    Matches: 2 n - 2, or 2 n - 1 with a second final. Stages: 2 ceil(log2 n), or 1 more, under a one-stage rule.
    Source: the bracket of many sports; each part of the bracket carries its own survivor of one defeat.
    Choose it when the judge errs often enough that one bad verdict should not end it.
    """

    async def bracket(seats: Sequence[int]) -> tuple[int, int | None]:
        """The undefeated of these seats, and the best of those with one defeat."""
        if len(seats) == 1:
            return seats[0], None
        half = len(seats) // 2
        (a, a_once), (b, b_once) = await table.together(
            [bracket(seats[:half]), bracket(seats[half:])]
        )
        if a_once is None or b_once is None:
            winner = await table.duel(a, b, rule)
            once = b_once if a_once is None else a_once
        else:
            winner, once = await table.together(
                [table.duel(a, b, rule), table.duel(a_once, b_once, rule)]
            )
        loser = a + b - winner
        return winner, loser if once is None else await table.duel(loser, once, rule)

    undefeated, once = await bracket(table.seats)
    if once is None:
        return undefeated
    winner = await table.duel(undefeated, once, rule)
    if winner == once and reset:
        return await table.duel(undefeated, once, rule)
    return winner
