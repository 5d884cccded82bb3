"""The plain Bradley-Terry model with a prior: no slots, ties half a win each. The common case.

Newton's method again (see ``bon.rating.climb``, the twin in tests), in the worths exp(strength),
so that a step is two divisions and a solve. Two forms: ``climb_alone`` for one tournament, where
NumPy's calls cost more than the arithmetic and adaptive strategies fit after every verdict; and
``start`` and ``step`` for hundreds side by side, where single precision does for whatever
Newton's next step corrects anyway. Numbers beyond their range make a step that is not short, and
so no convergence, which is reported: NumPy need not warn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bon.rating.games import FloatArray, Games
from bon.rating.posterior import FULL_STEP, TOLERANCE, Table, solved

Floats = npt.NDArray[np.floating[Any]]

TINY = np.float32(1e-30)

STRETCH = 1.2
"""Strengths over log odds of win rates, about: opponents of all strengths flatten a win rate."""

JACOBI_STEPS = 3
"""Steps without a solve before those with one: each leaves about a sixth of the error on a
round robin, for a tenth of the price."""

JACOBI_STEPS_ALONE = 2
"""As above, where NumPy's calls cost more than the arithmetic: half the price of a step with a solve."""

largest, smallest = np.maximum.reduce, np.minimum.reduce


@np.errstate(all="ignore")
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
    pull = 1.0 - 1.0 / max(1, n)

    def slopes() -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        worth = np.exp(strength)
        pair = worth[:, None] + worth
        link = met / pair
        expected = link.dot(ones) * worth
        gradient = points - expected - precision * strength
        link /= pair
        total = expected - link.dot(ones) * worth * worth + precision
        return worth, link, gradient, total

    for _ in range(JACOBI_STEPS_ALONE):
        _, _, gradient, total = slopes()
        move = pull * gradient / total
        if not largest(np.abs(move), initial=0.0) < 1.0:
            break
        strength += move
    for taken in range(1, limit + 1):
        worth, link, gradient, total = slopes()
        link.ravel()[:: n + 1] = total / (-worth * worth)
        move = solved(link, gradient / -worth) / worth
        length = float(largest(move, initial=0.0) - smallest(move, initial=0.0))
        if length > FULL_STEP:
            move *= math.log1p(length) / length
        strength += move
        if length <= TOLERANCE:
            return strength, taken
    return strength, limit + 1


@np.errstate(all="ignore")
def start(table: Table, precision: float) -> FloatArray:
    """(B, n) the log odds of shrunken win rates, brought nearer by Jacobi's and Newton's steps."""
    won = table.points + 0.5
    strength: Floats = (STRETCH * np.log(won / (won - 2.0 * table.lift))).astype(np.float32)
    count, points = table.count.astype(np.float32), table.points.astype(np.float32)
    pull = np.float32(1.0 - 1.0 / max(1, strength.shape[1]))
    for taken in range(JACOBI_STEPS + 1):
        gradient, link, worth, total = _slopes(count, points, np.float32(precision), strength)
        move: Floats | None = pull * gradient / (total + TINY)
        if taken == JACOBI_STEPS:
            move = _conjugate(link, total / worth**2, gradient / worth, worth)
        if move is not None:
            strength = strength + np.clip(move, -1.0, 1.0)
    return strength.astype(np.float64)


@np.errstate(all="ignore")
def step(table: Table, precision: float, strength: FloatArray) -> FloatArray:
    """(B, n) Newton's step, solved for the change of worth so that the links need no scaling."""
    gradient, link, worth, total = _slopes(
        table.count, table.points, np.float64(precision), strength
    )
    own, right = total / worth**2, gradient / worth
    move = _conjugate(link, own, right, worth)
    if move is None:
        b, n = right.shape
        link.reshape(b, n * n)[:, :: n + 1] = -own
        move = solved(link, -right) / worth
    return np.asarray(move, dtype=np.float64)


def _slopes(
    count: Floats, points: Floats, precision: np.floating[Any], strength: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Gradient, links, worths and the Hessian's (negated) diagonal, in the inputs' precision.

    Links are count / (sum of worths)**2: off its diagonal the Hessian is worth * link * worth.
    """
    worth = np.exp(strength)
    pair = _sums(worth)
    link = count / pair
    expected = _row_sums(link) * worth
    gradient = points - expected - precision * strength
    link /= pair
    # count * worth * (pair - worth) / pair**2, so that row sums suffice
    total = expected - _row_sums(link) * worth**2 + precision
    return gradient, link, worth, total


def _sums(worth: Floats) -> Floats:
    """(B, n, n) worth of i plus worth of j.

    The product (w, 1) times (1, w): NumPy's broadcast over rows this short takes twice as long.
    """
    b, n = worth.shape
    left, right = np.ones((b, n, 2), worth.dtype), np.ones((b, 2, n), worth.dtype)
    left[:, :, 0] = right[:, 1] = worth
    sums: Floats = np.matmul(left, right)
    return sums


def _row_sums(link: Floats) -> Floats:
    b, n, _ = link.shape
    return (link.reshape(b * n, n) @ np.ones(n, link.dtype)).reshape(b, n)


def _conjugate(link: Floats, own: Floats, right: Floats, worth: Floats) -> Floats | None:
    """Newton's step (B, n), the y / worth with own * y - link y = right, by conjugate gradients;
    None if that takes long.

    A handful of rounds, all tournaments together, beat a factorisation for each. The nearer the
    top, the more exact, since Newton's own error is of the order of the step's square.
    """
    near, scale = link.astype(np.float32, copy=False), own.astype(np.float32)
    rest = right.astype(np.float32)
    solution = np.zeros_like(rest)
    move = rest / scale
    size = _dot(rest, move)
    enough = size * np.clip(1e-4 * size, 1e-11, 1e-4)
    for _ in range(right.shape[1]):
        image = scale * move - np.matmul(near, move[:, :, None])[:, :, 0]
        pace = (size / _dot(move, image))[:, None]
        solution += pace * move
        rest -= pace * image
        toward = rest / scale
        size, before = _dot(rest, toward), size
        if (size <= enough).all():
            return solution / worth
        move *= (size / before)[:, None]
        move += toward
    return None


def _dot(a: Floats, b: Floats) -> Floats:
    """(B,) scalar products of rows, plus next to nothing so that rows of 0 stay 0."""
    products: Floats = np.einsum("bi,bi->b", a, b)
    return products + TINY
