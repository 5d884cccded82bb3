"""A league: everybody meets as many others, all at once."""

from __future__ import annotations

from collections.abc import Sequence

from bon.match import single
from bon.standings import mean_scores, standings
from bon.strategies.knockout import winner_of
from bon.tournament import Rule, Table
from bon.types import BonError, Match


async def league(
    table: Table, *, m: int = 4, rule: Rule = single, playoff: bool = False
) -> int | Sequence[int]:
    """League: everybody meets m others, drawn once; ranked by mean score.

    Several may end level, and then the lot decides; with `playoff` those level at the top play a
    knockout first, which makes it exact with a judge that never errs.
    Matches: floor(n m / 2), m at most n - 1. Stages: 1 under a one-stage rule, the playoff's on top.
    Source: average win rate over m opponents (PairJudge RM, arXiv 2501.13007, compares such schedules).
    Choose it when there is time for one stage alone and n (n - 1) / 2 matches are too many.
    """
    if m < 1:
        raise BonError(f"league:m is {m}: give at least 1 opponent")
    pairs = draw(table, table.seats, m)
    matches = await table.together([table.match(a, b, rule) for a, b in pairs])
    order = standings(table, table.seats, matches)
    return await play_off(table, order, matches, rule) if playoff else order


def draw(table: Table, seats: Sequence[int], m: int) -> list[tuple[int, int]]:
    """A regular graph: each meets those some drawn distances away around the circle of seats.

    Where the number of seats and m are both odd, one of them has an opponent less.
    """
    n = len(seats)
    m = min(m, n - 1)
    half = [(seat, seat + n // 2) for seat in range(n // 2)]
    near = [(seat, seat + 1) for seat in range(0, n - 1, 2)]
    pairs = (near if n % 2 else half) if m % 2 else []
    free = range(1 + (m % 2 and n % 2), (n + 1) // 2)
    for distance in table.rng("league", *seats).sample(free, m // 2):
        pairs += [(seat, (seat + distance) % n) for seat in range(n)]
    return sorted((seats[min(pair)], seats[max(pair)]) for pair in pairs)


async def play_off(
    table: Table, order: Sequence[int], matches: Sequence[Match], rule: Rule
) -> Sequence[int]:
    """The order, with the winner of a knockout among those level at its top in front."""
    mean = mean_scores(table.seats, matches)
    level = [seat for seat in order if mean[seat] == mean[order[0]]]
    best = await winner_of(table, level, rule)
    return [best, *(seat for seat in order if seat != best)]
