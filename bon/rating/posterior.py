"""The Bradley-Terry-Davidson posterior: what it needs of the data, its slopes and its curvature.

The parameters of a tournament are its strengths, the first slot's advantage and the log of
Davidson's tie parameter. One comparison has the log likelihood, with x = strength[first] -
strength[second] + position and outcome o = +1/2, 0 or -1/2,

    o x + [tie] log(tie) - log(2 cosh(x/2) + tie)

which is concave (minus a log-sum-exp of linear functions), so the data enter as counts per pair
and a few sums, and the curvature below is all that is needed for steps and for errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bon.rating.games import BoolArray, FloatArray, Games, IntArray, tally

TOLERANCE = 3e-5
"""Newton stops after a step this short (log odds): the error left is of the order of its square."""

FULL_STEP = 0.8
"""Steps up to this length are taken whole, longer ones damped to log(1 + r), r the length.

No outcome's third derivative exceeds r times its second (outcomes span one unit), which makes the
damped step an ascent and the whole step a contraction: Sun and Tran-Dinh, Generalized
self-concordant functions, Mathematical Programming 178 (2019)."""


@dataclass(frozen=True)
class Prior:
    """Standard deviations of the normal priors, in natural-log odds."""

    strength: float = 1.75
    """of a candidate's strength, around 0; on recorded round robins of a strong model's verdicts
    the evidence peaks between 1.75 and 2"""
    position: float = 1.0
    """of a fitted first-slot advantage, around 0"""
    tie: float = 1.5
    """of the log of a fitted tie parameter, around log .5 (equals tie one time in five)"""

    def __post_init__(self) -> None:
        if not min(self.strength, self.position, self.tie) > 0.0:
            raise ValueError(f"the standard deviations of a prior must be above 0, got {self}")


TIE_AT_REST = 0.5
"""Centre of the tie parameter's prior, and where its fit starts."""


@dataclass(frozen=True)
class Table:
    """The sufficient sums of B tournaments of up to n candidates."""

    count: FloatArray
    """(B, n, n) weight of the comparisons of i (first) with j; both orders added up, and so
    symmetric, where nothing in the model depends on slots or ties"""
    lift: FloatArray
    """(B, n) weight of outcomes, +1/2 a win and -1/2 a loss"""
    points: FloatArray
    """(B, n) weight of wins: half the weight of the games, plus the lift"""
    slot_lift: FloatArray
    """(B,) lift of the first slot"""
    ties: FloatArray
    """(B,) weight of scores of exactly one half"""
    seated: BoolArray
    """(B, n) False on padding"""
    directed: bool

    def take(self, where: IntArray) -> Table:
        """The tournaments at these places."""
        return Table(
            self.count[where],
            self.lift[where],
            self.points[where],
            self.slot_lift[where],
            self.ties[where],
            self.seated[where],
            self.directed,
        )


def tabulate(games: Games, directed: bool) -> Table:
    """Comparisons added up per pair, candidate and tournament."""
    b, n, t, w = len(games.sizes), games.n, games.tournament, games.weight
    cell = games.first * n if t is None else (t * n + games.first) * n
    cell += games.second
    lift = games.score - 0.5
    if w is not None:
        lift *= w
    count = tally(cell, w, (b, n, n))
    lifted = tally(cell, lift, (b, n, n))
    lift = row_sums(lifted) - np.ones(n) @ lifted
    met = count + count.transpose(0, 2, 1)
    points = 0.5 * row_sums(met) + lift
    seated = np.arange(n) < games.sizes[:, None]
    if not directed:
        return Table(met, lift, points, np.zeros(b), np.zeros(b), seated, directed)
    tied = tally(cell, (games.score == 0.5) * games.weights, (b, n * n))
    return Table(count, lift, points, lifted.sum((1, 2)), tied.sum(1), seated, directed)


def row_sums(table: FloatArray) -> FloatArray:
    """(B, n) sums over the last axis: as a matrix product several times faster than ``sum``."""
    b, n, width = table.shape
    sums: FloatArray = (table.reshape(b * n, width) @ np.ones(width)).reshape(b, n)
    return sums


def law(x: FloatArray, tie: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and variance of the outcome (+1/2, 0, -1/2) and the chance of a tie."""
    small = np.exp(-np.abs(x))
    tied = tie * np.sqrt(small)
    total = 1.0 + small + tied
    mean = np.copysign(0.5 * (1.0 - small) / total, x)
    tied /= total
    return mean, 0.25 * (1.0 - tied) - mean * mean, tied


def slopes(
    table: Table,
    prior: Prior | None,
    strength: FloatArray,
    extra: FloatArray,
    fitted: tuple[bool, bool],
) -> tuple[FloatArray, FloatArray]:
    """Gradient (B, n+e) and minus the Hessian (B, n+e, n+e) of the log posterior.

    ``table`` is directed. ``extra`` is (B, 2): position and tie, of which the e fitted ones
    follow the strengths, the tie by its log.
    """
    b, n = strength.shape
    x = strength[:, :, None] - strength[:, None, :] + extra[:, :1, None]
    mean, variance, tied = law(x, extra[:, 1:, None])
    moved, spread, drawn = table.count * mean, table.count * variance, table.count * tied
    tilt = drawn * mean
    gradient, hessian = np.zeros((b, n + 2)), np.zeros((b, n + 2, n + 2))
    gradient[:, :n] = table.lift - moved.sum(2) + moved.sum(1)
    gradient[:, n] = table.slot_lift - moved.sum((1, 2))
    gradient[:, n + 1] = table.ties - drawn.sum((1, 2))
    both = spread + spread.transpose(0, 2, 1)
    hessian[:, :n, :n] = -both
    diagonal(hessian)[:, :n] = both.sum(2)
    hessian[:, :n, n] = hessian[:, n, :n] = spread.sum(2) - spread.sum(1)
    hessian[:, :n, n + 1] = hessian[:, n + 1, :n] = tilt.sum(1) - tilt.sum(2)
    hessian[:, n, n] = spread.sum((1, 2))
    hessian[:, n, n + 1] = hessian[:, n + 1, n] = -tilt.sum((1, 2))
    hessian[:, n + 1, n + 1] = (drawn * (1.0 - tied)).sum((1, 2))
    _add_prior(gradient, hessian, table, prior, strength, extra)
    keep = np.flatnonzero([True] * n + list(fitted))
    return gradient[:, keep], hessian[:, keep[:, None], keep]


def _add_prior(
    gradient: FloatArray,
    hessian: FloatArray,
    table: Table,
    prior: Prior | None,
    strength: FloatArray,
    extra: FloatArray,
) -> None:
    """The normal priors; without them, a curvature along the shift that the data cannot see."""
    n = strength.shape[1]
    if prior is None:
        hessian[:, :n, :n] += gauge(table.seated)
        diagonal(hessian)[:, :n] += ~table.seated
        return
    precision = np.array([prior.strength] * n + [prior.position, prior.tie]) ** -2.0
    tie = np.log(np.maximum(extra[:, 1], 1e-300) / TIE_AT_REST)
    gradient -= precision * np.column_stack([strength, extra[:, 0], tie])
    diagonal(hessian)[:] += precision


def diagonal(square: FloatArray) -> FloatArray:
    """(B, n) writable view of the diagonals."""
    b, n, _ = square.shape
    view: FloatArray = square.reshape(b, n * n)[:, :: n + 1]
    return view


def solved(matrix: npt.NDArray[Any], right: npt.NDArray[Any]) -> FloatArray:
    """Solutions (..., n) of systems (..., n, n); NaN where rounding has made one singular."""
    try:
        return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0], dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full(right.shape, np.nan)


def inverted(matrix: FloatArray) -> FloatArray:
    """Inverse (n, n) of a matrix; NaN where rounding has made it singular."""
    try:
        return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full(matrix.shape, np.nan)


def gauge(seated: BoolArray) -> FloatArray:
    """(B, n, n) projection on the common shift of the seated."""
    size = np.maximum(seated.sum(1), 1)[:, None, None]
    shift: FloatArray = (seated[:, :, None] & seated[:, None, :]) / size
    return shift
