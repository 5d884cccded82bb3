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
    decided = [(c, c.score_first) for c in comparisons]
    games = [(c.first, c.second, score) for c, score in decided if score is not None]
    first = np.array([a for a, _, _ in games], dtype=np.int64)
    second = np.array([b for _, b, _ in games], dtype=np.int64)
    score = np.array([s for _, _, s in games], dtype=np.float64)
    fit = bradley_terry(first, second, score, n=seats)
    ratings = _elo(seats, matches)
    rest = sorted(set(range(seats)) - set(order), key=lambda seat: (-fit.strength[seat], seat))
    return [
        Standing(
            candidate=seat,
            rank=place,
            wins=float(score[first == seat].sum() + (1.0 - score[second == seat]).sum()),
            losses=float((1.0 - score[first == seat]).sum() + score[second == seat].sum()),
            strength=float(fit.strength[seat]),
            strength_se=float(fit.se[seat]),
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
