"""How sure a rating is: chances of being the best, and bootstraps."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bon.rating.bradley_terry import Strengths
from bon.rating.games import FloatArray

DRAWS = 4096
"""Posterior draws behind ``probability_best``: a standard error of at most .008."""

FLOATS_AT_ONCE = 1 << 20


def probability_best(strengths: Strengths, draws: int = DRAWS) -> FloatArray:
    """Posterior chance that each candidate is the strongest, (n,) or (B, n), sums to 1.

    Monte Carlo over the Laplace approximation with one fixed table of normal draws: the same
    strengths always give the same answer, and near ones near answers. No generator is needed.
    """
    games = strengths.fit.games
    chance = np.zeros((len(games.sizes), games.n))
    for where, table, inverse in strengths.fit.covariances():
        n = table.seated.shape[1]
        root = np.linalg.cholesky(inverse[:, :n, :n])
        centre = np.where(table.seated, strengths.fit.strength[where, :n], -np.inf)
        width = max(1, FLOATS_AT_ONCE // max(1, n * draws))
        for low in range(0, len(where), width):
            part = slice(low, low + width)
            sample = centre[part, :, None] + root[part] @ normal_table(n, draws)
            best = sample.argmax(1)
            for number, winners in zip(where[part].tolist(), best, strict=True):
                chance[number, :n] = np.bincount(winners, minlength=n) / winners.size
    return games.shaped(chance)


@lru_cache(maxsize=32)
def normal_table(n: int, draws: int) -> FloatArray:
    """(n, draws) standard normal draws, each with its negative: means come out exact."""
    half = np.random.default_rng(20250518).standard_normal((n, (draws + 1) // 2))
    table = np.concatenate([half, -half], axis=1)[:, :draws]
    table.setflags(write=False)
    return table
