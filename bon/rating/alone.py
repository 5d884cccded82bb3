"""The plain Bradley-Terry model of one tournament, with as few NumPy calls as it takes.

For a dozen candidates the calls cost more than the arithmetic, and adaptive strategies fit after
every verdict. The steps are those of ``bon.rating.climb``, which is this function's twin in tests.
"""

from __future__ import annotations

import math

import numpy as np

from bon.rating.climb import FULL_STEP, STRETCH, TOLERANCE
from bon.rating.games import FloatArray, Games


def climb_alone(games: Games, precision: float, limit: int) -> tuple[FloatArray, int]:
    """Strengths (n,) and Newton steps taken; ``limit`` + 1 says not converged.

    ``precision`` is that of the strengths' normal prior, above 0.
    """
    n, first, second = games.n, games.first, games.second
    lift = games.score - 0.5
    if games.weight is not None:
        lift *= games.weight
    met = np.bincount(first * n + second, games.weight, n * n).reshape(n, n)
    met = met + met.T
    ones = np.ones(n)
    surplus = np.bincount(first, lift, n) - np.bincount(second, lift, n)
    points = 0.5 * met.dot(ones) + surplus
    won = points + 0.5
    strength = STRETCH * np.log(won / (won - 2.0 * surplus))
    for taken in range(1, limit + 1):
        worth = np.exp(strength)
        pair = worth[:, None] + worth
        link = met / pair
        expected = link.dot(ones) * worth
        gradient = points - expected - precision * strength
        link /= pair
        total = expected - link.dot(ones) * worth * worth + precision
        link.ravel()[:: n + 1] = total / (-worth * worth)
        move = np.linalg.solve(link, gradient / -worth) / worth
        length = float(move.max() - move.min())
        if length > FULL_STEP:
            move *= math.log1p(length) / length
        strength += move
        if length <= TOLERANCE:
            return strength, taken
    return strength, limit + 1
