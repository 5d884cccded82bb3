"""One first-slot advantage, or one tie parameter, for all tournaments of a batch.

Every tournament's strengths are fitted at the terms' current values; what is left to climb is the
profile of the posterior, a function of one or two numbers, concave too. Its slope and curvature
add up over tournaments, each tournament's strengths eliminated from its Hessian (a Schur
complement), so that Newton's method needs a handful of passes over the batch.
"""

from __future__ import annotations

import numpy as np

from bon.rating.climb import climb
from bon.rating.games import FloatArray, Games, NotConverged, chunks
from bon.rating.posterior import FULL_STEP, TIE_AT_REST, TOLERANCE, Prior, slopes, tabulate

Flags = tuple[bool, bool]
"""position, tie"""


def shared_terms(
    games: Games, prior: Prior | None, extra: FloatArray, fitted: Flags, shared: Flags, limit: int
) -> tuple[FloatArray, FloatArray]:
    """(B, 2) position and tie with the shared ones at their top, and the (2,) standard errors of
    these (of the log of the tie), 0 where not shared."""
    free = np.flatnonzero(shared)
    extra = extra.copy()
    error = np.zeros(2)
    for _ in range(limit):
        slope, curvature = _profile(games, prior, extra, fitted, shared, limit)
        move = np.linalg.solve(curvature, slope)
        length = float(np.abs(move).sum())
        if length > FULL_STEP:
            move *= np.log1p(length) / length
        for k, step in zip(free.tolist(), move.tolist(), strict=True):
            extra[:, k] = extra[:, k] + step if k == 0 else extra[:, k] * np.exp(step)
        if length <= TOLERANCE:
            error[free] = np.sqrt(np.diagonal(np.linalg.inv(curvature)))
            return extra, error
    raise NotConverged(f"Bradley-Terry: the shared terms still moved after {limit} steps")


def _profile(
    games: Games, prior: Prior | None, extra: FloatArray, fitted: Flags, shared: Flags, limit: int
) -> tuple[FloatArray, FloatArray]:
    """Slope (s,) and minus the curvature (s, s) of the profile in the s shared terms."""
    flags = (fitted[0] or shared[0], fitted[1] or shared[1])
    outer = np.array([shared[k] for k in (0, 1) if flags[k]])
    slope, curvature = np.zeros(outer.sum()), np.zeros((outer.sum(), outer.sum()))
    for where, part in chunks(games):
        table = tabulate(part, directed=True)
        strength, ended, steps = climb(table, prior, extra[where], fitted, limit)
        if (steps > limit).any():
            raise NotConverged(f"Bradley-Terry: strengths still moved after {limit} steps")
        gradient, hessian = slopes(table, prior, strength, ended, flags)
        is_outer = np.append(np.zeros(part.n, dtype=bool), outer)
        inner, out = np.flatnonzero(~is_outer), np.flatnonzero(is_outer)
        cross = hessian[:, inner[:, None], out]
        lean = np.linalg.solve(hessian[:, inner[:, None], inner], cross)
        slope += (gradient[:, out] - np.einsum("bis,bi->bs", lean, gradient[:, inner])).sum(0)
        own = hessian[:, out[:, None], out]
        curvature += (own - np.einsum("bis,bit->bst", lean, cross)).sum(0)
    return _prior_once(slope, curvature, len(games.sizes), prior, extra, shared)


def _prior_once(
    slope: FloatArray,
    curvature: FloatArray,
    tournaments: int,
    prior: Prior | None,
    extra: FloatArray,
    shared: Flags,
) -> tuple[FloatArray, FloatArray]:
    """Takes back the prior of a shared term that every tournament but one has added."""
    if prior is None:
        return slope, curvature
    precision = np.array([prior.position, prior.tie]) ** -2.0
    value = np.array([extra[0, 0], np.log(max(extra[0, 1], 1e-300) / TIE_AT_REST)])
    free = np.flatnonzero(shared)
    again = (tournaments - 1) * precision[free]
    return slope + again * value[free], curvature - np.diag(again)
