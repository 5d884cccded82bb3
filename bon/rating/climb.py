"""Newton's method to the top of the posterior, many tournaments at once."""

from __future__ import annotations

import numpy as np

from bon.rating import plain
from bon.rating.games import FloatArray, IntArray
from bon.rating.posterior import FULL_STEP, TOLERANCE, Prior, Table, slopes, solved


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
    strength, extra = _start(table, prior), extra.copy()
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


def _start(table: Table, prior: Prior | None) -> FloatArray:
    """(B, n) strengths to climb from, with sum 0: without a prior nothing else fixes the shift."""
    if prior is not None and not table.directed:
        return plain.start(table, prior.strength**-2.0)
    won = table.points + 0.5
    strength = np.log(won / (won - 2.0 * table.lift))
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
    if prior is not None and not table.directed:
        return plain.step(table, prior.strength**-2.0, strength)
    gradient, hessian = slopes(table, prior, strength, extra, fitted)
    return solved(hessian, gradient)


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
