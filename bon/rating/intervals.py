"""How sure a rating is: the chance of being the best, and bootstraps of any method.

The posterior's own intervals are on ``Strengths``: they answer in no time and, by the prior, are
finite for the undefeated too. A bootstrap asks instead how the ratings would move had other
comparisons of the same kind been drawn; it trusts no model, and needs several comparisons a
candidate to mean anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import erf
from typing import Any

import numpy as np
import numpy.typing as npt

from bon.rating.games import BoolArray, FloatArray, Games, check, rows
from bon.rating.seeds import generators
from bon.rating.strengths import Strengths

DRAWS = 4096
"""Posterior draws behind ``probability_best``: a standard error of at most .008."""

FLOATS_AT_ONCE = 1 << 20

ROWS_AT_ONCE = 1 << 21
"""Resampled comparisons that a bootstrap hands to its method in one call."""

Method = Callable[..., "FloatArray | Strengths"]
"""A rating of this package that takes batches: bradley_terry, elo, win_rate, points, copeland."""


def probability_best(strengths: Strengths, draws: int = DRAWS) -> FloatArray:
    """Posterior chance that each candidate is the strongest, (n,) or (B, n), sums to 1.

    Monte Carlo over the Laplace approximation with one fixed table of normal draws: the same
    strengths always give the same answer, and near ones near answers. No generator is needed.
    """
    games = strengths.fit.games
    chance = np.zeros((len(games.sizes), games.n))
    for where, table, inverse in strengths.fit.inverse_curvatures():
        n = table.seated.shape[1]
        root = np.linalg.cholesky(inverse[:, :n, :n])
        centre = np.where(table.seated, strengths.fit.strength[where, :n], -np.inf)
        width = max(1, FLOATS_AT_ONCE // max(1, n * draws))
        for low in range(0, len(where) if n else 0, width):
            part = slice(low, low + width)
            sample = centre[part, :, None] + root[part] @ normal_table(n, draws)
            leads = np.count_nonzero(sample == sample.max(1, keepdims=True), axis=2)
            chance[where[part], :n] = leads / leads.sum(1, keepdims=True)
    return games.shaped(chance)


@lru_cache(maxsize=32)
def normal_table(n: int, draws: int) -> FloatArray:
    """(n, draws) standard normal draws, each with its negative: equals come out equal."""
    half = np.random.default_rng(20250518).standard_normal((n, (draws + 1) // 2))
    table = np.concatenate([half, -half], axis=1)[:, :draws]
    table.setflags(write=False)
    return table


def probability_above(strengths: Strengths) -> FloatArray:
    """(n, n) or (B, n, n): posterior chance that i is stronger than j; one half on the diagonal."""
    cov = strengths.covariance
    own = np.diagonal(cov, axis1=-2, axis2=-1)
    variance = own[..., :, None] + own[..., None, :] - 2.0 * cov
    gap = strengths.strength[..., :, None] - strengths.strength[..., None, :]
    z = gap / np.sqrt(2.0 * np.where(variance > 0.0, variance, 1.0))
    chance: FloatArray = 0.5 + 0.5 * np.frompyfunc(erf, 1, 1)(z).astype(np.float64)
    return chance


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Ratings of resampled tournaments: (R, n) for one, (B, R, n) with NaN padding for many."""

    samples: FloatArray
    seated: BoolArray
    """(n,) or (B, n): False on padding"""

    @cached_property
    def se(self) -> FloatArray:
        """Standard deviation of each candidate's rating over the resamples, NaN ones left out."""
        known = np.isfinite(self.samples)
        count = np.maximum(known.sum(-2), 1)
        values = np.where(known, self.samples, 0.0)
        mean = values.sum(-2) / count
        spread = np.where(known, values - mean[..., None, :], 0.0)
        return np.where(known.any(-2), np.sqrt((spread**2).sum(-2) / count), np.nan)

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Low and high percentiles of each candidate's rating, NaN ones left out."""
        tails = [0.5 - level / 2, 0.5 + level / 2]
        if np.isfinite(self.samples).all():
            low, high = np.quantile(self.samples, tails, axis=-2)
            return low, high
        known = np.asarray(np.isfinite(self.samples).any(-2))
        padded = np.where(known[..., None, :], self.samples, 0.0)
        low, high = np.nanquantile(padded, tails, axis=-2)
        return np.where(known, low, np.nan), np.where(known, high, np.nan)

    @cached_property
    def probability_best(self) -> FloatArray:
        """Share of resamples that rate each candidate highest, shared where they tie."""
        rated = np.where(np.isnan(self.samples), -np.inf, self.samples)
        top = (rated == rated.max(-1, keepdims=True)) & self.seated[..., None, :]
        share = (top / np.maximum(top.sum(-1, keepdims=True), 1)).mean(-2)
        return np.where(self.seated, share, np.nan)


def bootstrap(
    method: Method,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    resamples: int = 1000,
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    **options: Any,
) -> Bootstrap:
    """Ratings of ``resamples`` redraws of each tournament's comparisons, with replacement.

    ``method`` rates all redraws in one batch; ``options`` go to it. A comparison is drawn in
    proportion to its weight, as many times as the weights sum to, so that weight 2 is two
    comparisons. ``rng`` is one generator, spawned into one for each tournament, or a sequence of
    them; seed 0 if absent.

    Failure: the method's, and ValueError on arrays that make no sense.
    Source: Efron, Annals of Statistics 7 (1979).
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    games = check(first, second, score, n, tournament, weight)
    b = len(games.sizes)
    samples = np.full((b, resamples, games.n), np.nan)
    sources = generators(rng, b)
    t = np.zeros_like(games.first) if games.tournament is None else games.tournament
    by_tournament = np.argsort(t, kind="stable")
    ends = np.cumsum(np.bincount(t, minlength=b))
    for number, mine in enumerate(np.split(by_tournament, ends[:-1]) if b else []):
        size = int(games.sizes[number])
        own = rows(games, mine)
        samples[number, :, :size] = _redrawn(method, own, size, resamples, sources[number], options)
    seated = np.arange(games.n) < games.sizes[:, None]
    if games.tournament is None:
        return Bootstrap(samples[0], seated[0])
    return Bootstrap(samples, seated)


def _redrawn(
    method: Method,
    games: Games,
    n: int,
    resamples: int,
    rng: np.random.Generator,
    options: dict[str, Any],
) -> FloatArray:
    """(resamples, n) ratings of one tournament's redraws."""
    total = float(games.weights.sum())
    draws = max(1, round(total)) if len(games.first) else 0
    reach = None if games.weight is None else np.cumsum(games.weight)
    batch = max(1, ROWS_AT_ONCE // max(1, draws))
    rated = []
    for low in range(0, resamples, batch):
        count = min(batch, resamples - low)
        place = rng.random((count, draws)) * total
        row = place.astype(np.intp) if reach is None else reach.searchsorted(place, side="right")
        # rounding may put a draw one past the end
        row = np.minimum(row, len(games.first) - 1).ravel()
        fit = method(
            games.first[row],
            games.second[row],
            games.score[row],
            n=np.full(count, n),
            tournament=np.repeat(np.arange(count), draws),
            weight=None if total == draws else np.full(len(row), total / draws),
            **options,
        )
        rated.append(fit.strength if isinstance(fit, Strengths) else fit)
    return np.concatenate(rated)
