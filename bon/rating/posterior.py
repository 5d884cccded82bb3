"""Newton's method on the Bradley-Terry-Davidson posterior, many tournaments at once.

The parameters of a tournament are its strengths, the first slot's advantage and the log of
Davidson's tie parameter. One comparison has the log likelihood, with x = strength[first] -
strength[second] + position and outcome o = +1/2, 0 or -1/2,

    o x + [tie] log(tie) - log(2 cosh(x/2) + tie)

which is concave (minus a log-sum-exp of linear functions), so the data enter as counts per pair
and a few sums, and the curvature below is all that is needed for steps and for errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bon.rating.games import BoolArray, FloatArray, Games, IntArray

TOLERANCE = 2e-5
"""Newton stops after a step this short (log odds): the error left is of the order of its square."""

FULL_STEP = 0.8
"""Steps up to this length are taken whole, longer ones damped to log(1 + r), r the length.

No outcome's third derivative exceeds r times its second (outcomes span one unit), which makes the
damped step an ascent and the whole step a contraction: Sun and Tran-Dinh, Generalized
self-concordant functions, Mathematical Programming 178 (2019)."""


@dataclass(frozen=True)
class Prior:
    """Standard deviations of the normal priors, in natural-log odds."""

    strength: float = 1.5
    """of a candidate's strength, around 0"""
    position: float = 1.0
    """of a fitted first-slot advantage, around 0"""
    tie: float = 1.5
    """of the log of a fitted tie parameter, around log .5 (equals tie one time in five)"""


TIE_AT_REST = math.log(0.5)


@dataclass(frozen=True)
class Table:
    """The sufficient sums of B tournaments of up to n candidates."""

    count: FloatArray
    """(B, n, n) weight of the comparisons of i (first) with j; both orders added up, so
    symmetric, where the model has no position and no fitted term"""
    lift: FloatArray
    """(B, n) weight of outcomes, +1/2 a win and -1/2 a loss"""
    slot_lift: FloatArray
    """(B,) the same for the first slot"""
    ties: FloatArray
    """(B,) weight of scores of exactly one half"""
    seated: BoolArray
    """(B, n) False on padding"""
    directed: bool

    def take(self, where: IntArray) -> Table:
        """The tournaments at these places."""
        return replace(
            self,
            count=self.count[where],
            lift=self.lift[where],
            slot_lift=self.slot_lift[where],
            ties=self.ties[where],
            seated=self.seated[where],
        )


def tabulate(games: Games, directed: bool) -> Table:
    """Comparisons added up per pair, candidate and tournament."""
    b, n = len(games.sizes), games.n
    t = games.tournament
    row = games.first if t is None else t * n + games.first
    other = games.second if t is None else t * n + games.second
    w = games.weight
    lift = games.score - 0.5
    if w is not None:
        lift *= w
    count = np.bincount(row * n + games.second, w, b * n * n).astype(float, copy=False)
    count = count.reshape(b, n, n)
    lifts = np.bincount(row, lift, b * n) - np.bincount(other, lift, b * n)
    if directed:
        tied = (games.score == 0.5) * games.weights
        slot, ties = (_per_tournament(v, t, b) for v in (lift, tied))
    else:
        count = count + count.transpose(0, 2, 1)
        slot = ties = np.zeros(b)
    seated = np.arange(n) < games.sizes[:, None]
    return Table(count, lifts.reshape(b, n), slot, ties, seated, directed)


def _per_tournament(values: FloatArray, tournament: IntArray | None, b: int) -> FloatArray:
    if tournament is None:
        return values.sum(keepdims=True)
    return np.bincount(tournament, values, b)


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

    ``extra`` is (B, 2): position and tie. The e fitted ones of them follow the strengths.
    """
    if not table.directed:
        return _plain_slopes(table, prior, strength)
    b, n = strength.shape
    x = strength[:, :, None] - strength[:, None, :] + extra[:, :1, None]
    mean, variance, tied = law(x, extra[:, 1:, None])
    moved, spread, drawn = table.count * mean, table.count * variance, table.count * tied
    tilt = drawn * mean
    free = [k for k in (0, 1) if fitted[k]]
    gradient, hessian = np.zeros((b, n + 2)), np.zeros((b, n + 2, n + 2))
    gradient[:, :n] = table.lift - moved.sum(2) + moved.sum(1)
    gradient[:, n] = table.slot_lift - moved.sum((1, 2))
    gradient[:, n + 1] = table.ties - drawn.sum((1, 2))
    hessian[:, :n, :n] = _laplacian(spread + spread.transpose(0, 2, 1))
    hessian[:, :n, n] = hessian[:, n, :n] = spread.sum(2) - spread.sum(1)
    hessian[:, :n, n + 1] = hessian[:, n + 1, :n] = tilt.sum(1) - tilt.sum(2)
    hessian[:, n, n] = spread.sum((1, 2))
    hessian[:, n, n + 1] = hessian[:, n + 1, n] = -tilt.sum((1, 2))
    hessian[:, n + 1, n + 1] = (drawn * (1.0 - tied)).sum((1, 2))
    _add_prior(gradient, hessian, table, prior, strength)
    if prior is not None:
        for k, sd, rest in ((0, prior.position, 0.0), (1, prior.tie, TIE_AT_REST)):
            value = extra[:, k] if k == 0 else np.log(np.maximum(extra[:, k], 1e-300))
            gradient[:, n + k] -= (value - rest) / sd**2
            hessian[:, n + k, n + k] += 1.0 / sd**2
    keep = [*range(n), *(n + k for k in free)]
    if len(keep) == n + 2:
        return gradient, hessian
    return gradient[:, keep], hessian[:, keep][:, :, keep]


def _plain_slopes(
    table: Table, prior: Prior | None, strength: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The same without extra terms: half the passes over the tables."""
    mean = np.tanh(0.5 * (strength[:, :, None] - strength[:, None, :]))
    mean *= 0.5
    moved = table.count * mean
    gradient = table.lift - moved.sum(2)
    hessian = _laplacian(0.25 * table.count - moved * mean)
    _add_prior(gradient, hessian, table, prior, strength)
    return gradient, hessian


def _laplacian(link: FloatArray) -> FloatArray:
    """Diagonal of row sums minus the (symmetric, zero-diagonal) links."""
    total = link.sum(2)
    np.negative(link, out=link)
    _diagonal(link)[:] = total
    return link


def _diagonal(square: FloatArray) -> FloatArray:
    """(B, n) writable view of the diagonals."""
    b, n, _ = square.shape
    return square.reshape(b, n * n)[:, :: n + 1]


def _add_prior(
    gradient: FloatArray,
    hessian: FloatArray,
    table: Table,
    prior: Prior | None,
    strength: FloatArray,
) -> None:
    """The normal prior; without one, a curvature along the shift that the data cannot see."""
    n = strength.shape[1]
    diagonal = _diagonal(hessian)[:, :n]
    if prior is not None:
        precision = 1.0 / prior.strength**2
        gradient[:, :n] -= precision * strength
        diagonal += precision
    else:
        hessian[:, :n, :n] += gauge(table)
        diagonal += ~table.seated


def gauge(table: Table) -> FloatArray:
    """(B, n, n) projection on the constant vector of the seated."""
    seated = table.seated.astype(float)
    size = np.maximum(seated.sum(1), 1.0)
    return seated[:, :, None] * (seated / size[:, None])[:, None, :]


def start(table: Table) -> FloatArray:
    """(B, n) log odds of each candidate's shrunken win rate, centred: near enough for Newton."""
    games = table.count.sum(2)
    if table.directed:
        games = games + table.count.sum(1)
    half = 0.5 * games + 0.5
    odds = np.log((half + table.lift) / (half - table.lift))
    size = np.maximum(table.seated.sum(1, keepdims=True), 1)
    return np.where(table.seated, odds - odds.sum(1, keepdims=True) / size, 0.0)


def climb(
    table: Table,
    prior: Prior | None,
    strength: FloatArray,
    extra: FloatArray,
    fitted: tuple[bool, bool],
    limit: int,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Strengths, extra terms and Newton steps; more than ``limit`` steps says not converged.

    Tournaments that have converged leave the table, so that a few slow ones cost little.
    """
    b, n = strength.shape
    steps = np.full(b, limit + 1)
    strength, extra = strength.copy(), extra.copy()
    active = np.arange(b)
    for taken in range(1, limit + 1):
        gradient, hessian = slopes(table, prior, strength[active], extra[active], fitted)
        move = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        length = move[:, :n].max(1, initial=0.0) - move[:, :n].min(1, initial=0.0)
        if any(fitted):
            length = length + np.abs(move[:, n:]).sum(1)
        if length.max(initial=0.0) > FULL_STEP:
            scale = np.where(length > FULL_STEP, np.log1p(length) / np.maximum(length, 1e-300), 1.0)
            move *= scale[:, None]
        strength[active] += move[:, :n]
        _move_extra(extra, active, move[:, n:], fitted)
        done = length <= TOLERANCE
        steps[active[done]] = taken
        if done.all():
            break
        if np.count_nonzero(done) > len(done) // 4:
            active, table = active[~done], table.take(np.flatnonzero(~done))
    return strength, extra, steps


def _move_extra(
    extra: FloatArray, active: IntArray, move: FloatArray, fitted: tuple[bool, bool]
) -> None:
    if fitted[0]:
        extra[active, 0] += move[:, 0]
    if fitted[1]:
        extra[active, 1] *= np.exp(move[:, -1])
