"""Newton's method from a good start to the top of the posterior, many tournaments at once.

The plain model (no slots, no ties of their own) has steps of its own here, written in the worths
exp(strength) so that a step is two divisions and a solve; the rest goes by ``slopes``.
"""

from __future__ import annotations

import numpy as np

from bon.rating.games import FloatArray, IntArray
from bon.rating.posterior import Prior, Table, diagonal, gauge, row_sums, slopes

TOLERANCE = 3e-5
"""Newton stops after a step this short (log odds): the error left is of the order of its square."""

FULL_STEP = 0.8
"""Steps up to this length are taken whole, longer ones damped to log(1 + r), r the length.

No outcome's third derivative exceeds r times its second (outcomes span one unit), which makes the
damped step an ascent and the whole step a contraction: Sun and Tran-Dinh, Generalized
self-concordant functions, Mathematical Programming 178 (2019)."""

JACOBI_STEPS = 3
"""Steps without a solve before the first with one: each leaves about a sixth of the error on a
round robin, for a third of the price."""

STRETCH = 1.2
"""Strengths over log odds of win rates, about: opponents of all strengths flatten a win rate."""


def climb(
    table: Table,
    prior: Prior | None,
    extra: FloatArray,
    fitted: tuple[bool, bool],
    limit: int,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Strengths, extra terms and Newton steps taken; ``limit`` + 1 says not converged.

    Tournaments that have converged leave the table, so that a few slow ones cost little.
    """
    strength, extra = start(table, prior), extra.copy()
    b, n = strength.shape
    steps = np.full(b, limit + 1)
    active = np.arange(b)
    for taken in range(1, limit + 1):
        move = _step(table, prior, strength[active], extra[active], fitted)
        length = _length(move, n)
        longest = length.max(initial=0.0)
        if longest > FULL_STEP:
            damped = np.log1p(length) / np.maximum(length, FULL_STEP)
            move *= np.where(length > FULL_STEP, damped, 1.0)[:, None]
        strength[active] += move[:, :n]
        _move_extra(extra, active, move[:, n:], fitted)
        if longest <= TOLERANCE:
            steps[active] = taken
            break
        done = length <= TOLERANCE
        if done.any():
            steps[active[done]] = taken
            active, table = active[~done], table.take(np.flatnonzero(~done))
    return strength, extra, steps


def start(table: Table, prior: Prior | None) -> FloatArray:
    """(B, n) the log odds of shrunken win rates, for the plain model a little improved.

    Centred: nothing else fixes the common shift where there is no prior.
    """
    won = table.points + 0.5
    strength = STRETCH * np.log(won / (won - 2.0 * table.lift))
    if not table.directed:
        n = strength.shape[1]
        for _ in range(JACOBI_STEPS):
            gradient, _, _, total = plain_slopes(table, prior, strength)
            strength += gradient * (1.0 - 1.0 / max(n, 1)) / total
    centre = strength.sum(1) / np.maximum(table.seated.sum(1), 1)
    centred: FloatArray = strength - centre[:, None] * table.seated
    return centred


def _step(
    table: Table,
    prior: Prior | None,
    strength: FloatArray,
    extra: FloatArray,
    fitted: tuple[bool, bool],
) -> FloatArray:
    """(B, n+e) Newton's step: of strengths, position, log of the tie parameter."""
    if not table.directed:
        return _plain_step(table, prior, strength)
    gradient, hessian = slopes(table, prior, strength, extra, fitted)
    return _solved(hessian, gradient)


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """(B, n) solutions of B systems."""
    return np.asarray(np.linalg.solve(matrix, right[:, :, None])[:, :, 0], dtype=np.float64)


def plain_slopes(
    table: Table, prior: Prior | None, strength: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Gradient, links, worths and the Hessian's (negated) diagonal; links are count / (sum of
    worths)**2, so that the Hessian off its diagonal is worth * link * worth."""
    worth = np.exp(strength)
    pair = _sums(worth)
    link = table.count / pair
    expected = row_sums(link) * worth
    gradient = table.points - expected
    link /= pair
    # count * worth * (pair - worth) / pair**2, so that row sums suffice
    total = expected - row_sums(link) * worth**2
    if prior is None:
        total += 1.0 / np.maximum(table.seated.sum(1, keepdims=True), 1)
    else:
        precision = prior.strength**-2.0
        gradient -= precision * strength
        total += precision
    return gradient, link, worth, total


def _sums(worth: FloatArray) -> FloatArray:
    """(B, n, n) worth of i plus worth of j."""
    b, n = worth.shape
    if b == 1:
        return worth[:, :, None] + worth[:, None, :]
    # (w, 1) times (1, w): NumPy's broadcast over rows this short takes three times as long
    left, right = np.ones((b, n, 2)), np.ones((b, 2, n))
    left[:, :, 0] = right[:, 1] = worth
    return np.asarray(left @ right, dtype=np.float64)


def _plain_step(table: Table, prior: Prior | None, strength: FloatArray) -> FloatArray:
    """Newton's step, solved for the change of worth so that the links need no scaling."""
    gradient, link, worth, total = plain_slopes(table, prior, strength)
    if prior is None:
        apart = gauge(table.seated)
        diagonal(apart)[:] = 0.0
        link -= apart / (worth[:, :, None] * worth[:, None, :])
    diagonal(link)[:] = -total / worth**2
    return _solved(link, gradient / -worth) / worth


def _length(move: FloatArray, n: int) -> FloatArray:
    """(B,) how far a step can change the log odds of any comparison."""
    across: FloatArray = move[:, :n].max(1, initial=0.0) - move[:, :n].min(1, initial=0.0)
    return across if move.shape[1] == n else across + np.abs(move[:, n:]).sum(1)


def _move_extra(
    extra: FloatArray, active: IntArray, move: FloatArray, fitted: tuple[bool, bool]
) -> None:
    if fitted[0]:
        extra[active, 0] += move[:, 0]
    if fitted[1]:
        extra[active, 1] *= np.exp(move[:, -1])
