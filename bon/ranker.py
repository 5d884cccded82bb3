"""From a finished tournament to a ranking: who won, in which order, and how sure the ratings are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bon.match import match_scores
from bon.rating import bradley_terry, elo_average
from bon.types import Comparison, Match, Standing


def rank(
    seats: int,
    order: Sequence[int],
    comparisons: Sequence[Comparison],
    matches: Sequence[Match],
) -> list[Standing]:
    """Standings of seats 0 to `seats` - 1, best first.

    `order` is the winner, or all seats from best to worst where the strategy ranks them, or nothing where
    it did not come so far; seats that it leaves open follow by Bradley-Terry strength. Only comparisons with a verdict count: a VOID adds
    nothing, nor does a match that a coin decided. Strengths are maximum a posteriori, so a bracket's
    undefeated winner stays finite. Elo is given where everybody met everybody.
    """
    decided = [(c.first, c.second, c.score_first) for c in comparisons]
    games = [(a, b, score) for a, b, score in decided if score is not None]
    first, second, score = ([game[k] for game in games] for k in range(3))
    fit = bradley_terry(first, second, score, n=seats)
    strength, error = fit.strength.tolist(), fit.se.tolist()
    wins, losses = [0.0] * seats, [0.0] * seats
    for a, b, won in games:
        wins[a] += won
        wins[b] += 1.0 - won
        losses[a] += 1.0 - won
        losses[b] += won
    ratings = _elo(seats, matches)
    rest = sorted(set(range(seats)) - set(order), key=lambda seat: (-strength[seat], seat))
    return [
        Standing(
            candidate=seat,
            rank=place,
            wins=wins[seat],
            losses=losses[seat],
            strength=strength[seat],
            strength_se=error[seat],
            elo=None if ratings is None else float(ratings[seat]),
        )
        for place, seat in enumerate([*order, *rest], start=1)
    ]


def _elo(seats: int, matches: Sequence[Match]) -> npt.NDArray[np.float64] | None:
    """Elo over the matches, where every pair met; else None."""
    met = {frozenset((m.a, m.b)) for m in matches}
    if seats < 2 or len(met) < seats * (seats - 1) // 2:
        return None
    return np.asarray(elo_average(*match_scores(matches), n=seats).rating)
