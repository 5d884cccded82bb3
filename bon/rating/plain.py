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

from bon.rating.games import FloatArray, Games, tally
from bon.rating.posterior import (
    FULL_STEP,
    TOLERANCE,
    Table,
    diagonal,
    inverted,
    row_sums,
    solved,
)

Floats = npt.NDArray[np.floating[Any]]

TINY = np.float32(1e-30)

STRETCH = 1.2
"""Strengths over log odds of win rates, about: opponents of all strengths flatten a win rate."""

JACOBI_STEPS = 3
"""Steps without a solve before those with one: each leaves about a sixth of the error on a
round robin, for a tenth of the price."""

SHRINK = 2.0
"""Wins and losses added to everyone's, which makes the log odds of win rates a straight line in the
strengths of a round robin up to its ends, about."""

BEND = 0.32
"""How much steeper that line is for every unit of the log odds' mean square. As near as ``STRETCH``
and a step, for next to nothing. Fitted on round robins of 4 to 64 candidates."""

EXACT = TOLERANCE**2
"""Newton's error after a step of TOLERANCE: strengths this near the top (log odds) are there."""

NEAR = 0.25
"""A step no longer than this leads so near the top that its inverse serves for the next ones."""

SERVED = 4
"""Steps that an inverse serves for, at most."""


@np.errstate(all="ignore")
def climb_alone(games: Games, precision: float, limit: int) -> tuple[FloatArray, int]:
    """Strengths (n,) and Newton steps taken; ``limit`` + 1 says not converged.

    ``precision`` is that of the strengths' normal prior, above 0. One step without a solve, then
    Newton's. Once one of these is short, its inverse (half of its price) serves for the next
    too: over a distance D curvatures change by a factor of at most exp(D) (``FULL_STEP`` has the
    source), by a third of that as a rule, so that each leaves less than D of the way.
    """
    n = games.n
    if n == 0:
        return np.zeros(0), 1
    met, points, lost, total = _sums_alone(games, n)
    strength = opening(points, lost, total, precision)
    # between two rows of ones: the sum of every two worths is then a product of small matrices
    rows = np.ones((3, n))
    ones, worth, left, right = rows[0], rows[1], rows[1:].T, rows[:2]
    pair, link = np.empty((n, n)), np.empty((n, n))
    own, prior, column = link.ravel()[:: n + 1], precision * ones, worth[:, None]

    def gradient() -> FloatArray:
        """(n,), with the worths and, in ``link``, met / pair brought up to date."""
        np.exp(strength, worth)
        left.dot(right, pair)
        np.divide(met, pair, link)
        slope: FloatArray = points - prior * strength - worth * link.dot(ones)
        return slope

    def bend() -> FloatArray:
        """Minus the Hessian's diagonal over worth; past it, the Hessian over both worths is left
        in ``link``."""
        np.divide(link, pair, link)
        curvature: FloatArray = prior / worth + link.dot(worth)
        return curvature

    # Jacobi's step, and once more on the same slopes
    slope, scale = gradient(), bend()
    move = (1.0 - 1.0 / n) * slope / scale
    move = (slope / worth + link.dot(move)) / scale
    if _range(move) < 1.0:
        strength += move
    serves = 0
    for taken in range(1, limit + 1):
        slope = gradient()
        if fresh := not serves:
            curvature = bend()
            # elimination picks its pivots within columns: with rows over their worths too, poor
            # ones once worths are far apart, and rounding would swallow the step
            np.multiply(link, column, link)
            np.negative(curvature, own)
            inverse, scale = inverted(link), ones / worth
        move = scale * inverse.dot(slope)
        length = _range(move)
        if fresh:
            reach, serves = length, SERVED if length <= NEAR else 0
            if length > FULL_STEP:
                move *= math.log1p(length) / length
        else:
            serves -= 1
        strength -= move
        if reach * length <= EXACT:
            return strength, taken
    return strength, limit + 1


def _range(values: FloatArray) -> float:
    # half of what NumPy's max takes for so few
    return float(values[values.argmax()] - values[values.argmin()])


def _sums_alone(games: Games, n: int) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Weight of games (n, n), of wins (n,), of losses (n,), of all games."""
    first, second, won, total = games.first, games.second, games.score, float(len(games.first))
    lost = 1.0 - won
    if games.weight is not None:
        won, lost, total = won * games.weight, lost * games.weight, float(games.weight.sum())
    table = tally(first * n + second, won, (n, n))
    table += tally(second * n + first, lost, (n, n))
    ones = np.ones(n)
    return table + table.T, table.dot(ones), ones.dot(table), total


def opening(points: FloatArray, lost: FloatArray, total: float, precision: float) -> FloatArray:
    """(n,) strengths to climb from: the log odds of shrunken win rates, times what is right for
    candidates who are nearly equal, bent.
    """
    n = len(points)
    odds: FloatArray = np.log((points + SHRINK) / (lost + SHRINK))
    games = 2.0 * total / n
    bent = 1.0 + BEND * min(float(odds.dot(odds)) / n, 2.0)
    odds *= bent * (games + 2.0 * SHRINK) / (games * n / max(1, n - 1) + 4.0 * precision)
    return odds


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
    """(B, n) Newton's step, solved for the change of worth so that the links need no scaling.

    Where worths are so far apart that this takes long, the system is solved in the strengths.
    """
    gradient, link, worth, total = _slopes(
        table.count, table.points, np.float64(precision), strength
    )
    move = _conjugate(link, total / worth**2, gradient / worth, worth)
    if move is None:
        move = solved(curvature(table, precision, strength), gradient)
    return np.asarray(move, dtype=np.float64)


def curvature(table: Table, precision: float, strength: FloatArray) -> FloatArray:
    """(B, n, n) minus the Hessian of the log posterior, as ``bon.rating.posterior.slopes`` has it.

    ``table`` is not directed.
    """
    worth = np.exp(strength)
    chance = worth[:, :, None] / _sums(worth)
    spread: FloatArray = table.count * chance * chance.transpose(0, 2, 1)
    total = row_sums(spread)
    np.negative(spread, spread)
    diagonal(spread)[:] = total + precision
    return spread


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
