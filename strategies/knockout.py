"""Single elimination."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from bon.match import single
from bon.tournament import Rule, Table
from bon.types import BonError


class Draw(StrEnum):
    """Who meets whom: by lot, or seeded so that the favourites meet last and have the byes."""

    RANDOM = "random"
    SCORE = "score"
    """Favourites by the scores of the input."""
    VOTES = "votes"
    """Favourites by how many candidates share their final answer."""


async def knockout(table: Table, *, rule: Rule = single, draw: Draw = Draw.RANDOM) -> int:
    """Single elimination: losers leave, the last one left wins; short halves have byes.

    Matches: n - 1. Stages: ceil(log2 n) under a one-stage rule. Every match is played as soon as its
    two feeders are decided, whatever the rest of the bracket does.
    Source: RRM (arXiv 2505.14674), section 3; error bound in arXiv 2411.19477.
    Choose it when calls are dear and only the winner matters.
    """
    return await winner_of(table, drawn(table, draw), rule)


async def winner_of(table: Table, seats: Sequence[int], rule: Rule) -> int:
    """The winner of a bracket of these seats, which meet as they stand."""
    if len(seats) == 1:
        return seats[0]
    half = len(seats) // 2
    left, right = await table.together(
        [winner_of(table, seats[:half], rule), winner_of(table, seats[half:], rule)]
    )
    return await table.duel(left, right, rule)


def drawn(table: Table, draw: Draw) -> Sequence[int]:
    """The seats in the order of the bracket. Raises `BonError` for a seeding without scores."""
    if draw is Draw.RANDOM:
        return table.seats
    if draw is Draw.SCORE and not table.scores:
        raise BonError("knockout:draw=score needs `score` in the input's candidates")
    if draw is Draw.SCORE:
        favour: Sequence[float] = table.scores
    else:
        favour = [
            sum(size for size, team in zip(table.sizes, table.teams, strict=True) if team == mine)
            for mine in table.teams
        ]
    luck = table.rng("draw").sample(table.seats, table.n)
    return folded(sorted(table.seats, key=lambda seat: (-favour[seat], luck[seat])))


def folded(ranked: Sequence[int]) -> list[int]:
    """Seats ranked by favour in the order of a bracket: the first two can only meet in the final.

    The smaller half, which has the bye, goes to the favourite.
    """
    if len(ranked) < 3:
        return list(ranked)
    mine = [seat for place, seat in enumerate(ranked) if place % 4 in (0, 3)]
    yours = [seat for place, seat in enumerate(ranked) if place % 4 in (1, 2)]
    # brackets split their seats in halves, the left one the smaller
    if len(mine) > len(yours):
        yours, mine = mine, yours
    return folded(mine) + folded(yours)
