"""Bradley-Terry strengths by maximum a posteriori, for one tournament or a hundred thousand.

    P(first beats second) = 1 / (1 + exp(-(strength[first] - strength[second] + position)))

Strengths are natural-log odds. A normal prior around 0 keeps every candidate finite: bracket
winners, the undefeated, the winless, those never compared. The log posterior is concave, so
Newton's method from any start reaches its one top (``bon.rating.posterior``).

A tie is half a win each way, or, with ``tie`` above 0, an outcome of its own (Davidson 1970):
with d the exponent above, first : tie : second are as exp(d/2) : tie : exp(-d/2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from bon.rating.climb import climb
from bon.rating.components import Components, components_of, strongly_connected
from bon.rating.games import BoolArray, FloatArray, Games, IntArray, NotConverged, check, chunks
from bon.rating.plain import climb_alone, curvature
from bon.rating.posterior import TIE_AT_REST, Prior, Table, gauge, slopes, tabulate
from bon.rating.shared import shared_terms

Term = float | Literal["fit", "shared"]
"""A model term: its known value, "fit" for one of each tournament's own, or "shared" for one that
all tournaments of the batch have in common."""

DEFAULT_PRIOR = Prior()

NO_TERMS, NO_ERRORS = np.zeros((1, 2)), np.zeros(2)
for _constant in (NO_TERMS, NO_ERRORS):
    _constant.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit was made from and where it ended: enough to rebuild its curvature."""

    games: Games
    prior: Prior | None
    fitted: tuple[bool, bool]
    strength: FloatArray
    """(B, n)"""
    extra: FloatArray
    """(B, 2) position and tie"""
    shared_se: FloatArray
    """(2,) standard errors of shared terms, 0 for the others"""

    @property
    def directed(self) -> bool:
        """Whether slots or ties matter to the model."""
        return bool(self.extra.any()) or any(self.fitted)

    def inverse_curvatures(self) -> Iterator[tuple[IntArray, Table, FloatArray]]:
        """Tournament numbers, their table and (tournaments, n+e, n+e) inverse curvature.

        Padding and, without a prior, the common shift are in it with variance 1.
        """
        for where, games in chunks(self.games):
            ended = self.strength[where, : games.n]
            if self.prior is None or self.directed:
                table = tabulate(games, directed=True)
                _, bend = slopes(table, self.prior, ended, self.extra[where], self.fitted)
            else:
                table = tabulate(games, directed=False)
                bend = curvature(table, self.prior.strength**-2.0, ended)
            yield where, table, np.asarray(np.linalg.inv(bend), dtype=np.float64)

    def strength_covariances(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Tournament numbers and (tournaments, n, n) covariances of strengths, 0 on padding.

        Strengths are reported with sum 0, so the common shift's variance, which is the prior's
        alone, is taken out.
        """
        shift = 1.0 if self.prior is None else self.prior.strength**2
        for where, table, inverse in self.inverse_curvatures():
            n = table.seated.shape[1]
            block = inverse[:, :n, :n] - shift * gauge(table.seated)
            yield where, block * (table.seated[:, :, None] & table.seated[:, None, :])


@dataclass(frozen=True, eq=False)
class Strengths:
    """A fitted model. Arrays are (n,) for one tournament, (B, n) with NaN padding for many.

    Errors and components are worked out when they are asked for, from the arrays of the call:
    leave those as they were.
    """

    strength: FloatArray
    """natural-log odds; those of a tournament sum to 0"""
    position: FloatArray
    """advantage of the first slot in log odds, one number a tournament"""
    tie: FloatArray
    """Davidson's tie parameter, one number a tournament; 0: a tie is half a win each"""
    iterations: IntArray
    """Newton steps taken, one number a tournament"""
    fit: Fit = field(repr=False)

    @cached_property
    def components(self) -> list[Components] | Components:
        """Groups that comparisons connect; between two groups only the prior speaks."""
        found = components_of(self.fit.games)
        return found[0] if self.fit.games.tournament is None else found

    @cached_property
    def connected(self) -> BoolArray:
        """Whether comparisons connect all candidates, one answer a tournament."""
        whole = np.array([len(c) <= 1 for c in components_of(self.fit.games)])
        return whole[0] if self.fit.games.tournament is None else whole

    @cached_property
    def covariance(self) -> FloatArray:
        """(n, n), or (B, n, n) zero-padded: Laplace posterior covariance of the strengths."""
        games = self.fit.games
        full = np.zeros((len(games.sizes), games.n, games.n))
        for where, block in self.fit.strength_covariances():
            n = block.shape[1]
            full[where, :n, :n] = block
        return full[0] if games.tournament is None else full

    @cached_property
    def se(self) -> FloatArray:
        """Posterior standard deviation of each strength, as far from the mean of all (Laplace)."""
        games = self.fit.games
        full = np.zeros((len(games.sizes), games.n))
        for where, block in self.fit.strength_covariances():
            own = np.einsum("bii->bi", block)
            full[where, : block.shape[1]] = np.sqrt(np.maximum(own, 0.0))  # alone: 0, but for noise
        return games.shaped(full)

    @cached_property
    def position_se(self) -> FloatArray:
        """Posterior standard deviation of the position term; 0 where it was given."""
        return self._term_se(0)

    @cached_property
    def log_tie_se(self) -> FloatArray:
        """Posterior standard deviation of the tie parameter's log; 0 where it was given."""
        return self._term_se(1)

    def _term_se(self, k: int) -> FloatArray:
        fit = self.fit
        error = np.full(len(fit.games.sizes), fit.shared_se[k])
        if fit.fitted[k]:
            for where, table, inverse in fit.inverse_curvatures():
                place = table.seated.shape[1] + sum(fit.fitted[:k])
                error[where] = np.sqrt(inverse[:, place, place])
        return error[0] if fit.games.tournament is None else error

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Low and high ends of each strength's central posterior interval."""
        reach = NormalDist().inv_cdf(0.5 + level / 2) * self.se
        return self.strength - reach, self.strength + reach


def bradley_terry(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    prior: Prior | None = DEFAULT_PRIOR,
    position: Term = 0.0,
    tie: Term = 0.0,
    max_iterations: int = 1000,
) -> Strengths:
    """Strengths that maximise the posterior, or with ``prior=None`` the likelihood.

    Arguments as in ``bon.rating.games``; a graded score counts as that fraction of a win for the
    first and the rest for the second. ``position`` and ``tie`` are the extra terms of this
    module's docstring; errors of strengths take a shared term as known. With a tie parameter, a
    score of exactly .5 is a tie; other fractions are still split between the two wins.

    Failure: ValueError on arrays that make no sense, and for maximum likelihood where there is
    none (some group never lost to the others, Ford 1957); NotConverged after ``max_iterations``.
    Source: Bradley and Terry, Biometrika 39 (1952); Davidson, JASA 65 (1970).
    """
    games = check(first, second, score, n, tournament, weight)
    if len(games.sizes) == 1 and prior is not None and position == 0.0 and tie == 0.0:
        return _fit_alone(games, prior, max_iterations)
    if prior is None:
        _require_likelihood_with_a_top(games)
    fitted = (position == "fit", tie == "fit")
    extra, shared_se = np.tile(_first_values(position, tie), (len(games.sizes), 1)), np.zeros(2)
    if "shared" in (position, tie) and len(games.sizes):
        shared = (position == "shared", tie == "shared")
        extra, shared_se = shared_terms(games, prior, extra, fitted, shared, max_iterations)
    strength = np.zeros((len(games.sizes), games.n))
    steps = np.zeros(len(games.sizes), dtype=np.intp)
    fit = Fit(games, prior, fitted, strength, extra, shared_se)
    for where, part in chunks(games):
        table = tabulate(part, directed=fit.directed or prior is None)
        climbed = climb(table, prior, extra[where], fitted, max_iterations)
        strength[where, : part.n], extra[where], steps[where] = climbed
    _require_converged(steps, max_iterations)
    tag = _tag(games)
    return Strengths(games.shaped(strength), extra[tag, 0], extra[tag, 1], steps[tag], fit)


def _fit_alone(games: Games, prior: Prior, limit: int) -> Strengths:
    strength, steps = climb_alone(games, prior.strength**-2.0, limit)
    if steps > limit:
        _require_converged(np.array([steps]), limit)
    fit = Fit(games, prior, (False, False), strength[None], NO_TERMS, NO_ERRORS)
    tag = _tag(games)
    taken = np.array([steps])[tag]
    return Strengths(fit.strength[tag], NO_TERMS[tag, 0], NO_TERMS[tag, 1], taken, fit)


def _tag(games: Games) -> int | slice:
    """A tournament alone gives plain numbers where a batch gives arrays."""
    return 0 if games.tournament is None else slice(None)


def _first_values(position: Term, tie: Term) -> FloatArray:
    """(2,) the terms that are known, and where the others' fits start."""
    values = np.array(
        [
            0.0 if isinstance(position, str) else position,
            TIE_AT_REST if isinstance(tie, str) else tie,
        ]
    )
    named = {t for t in (position, tie) if isinstance(t, str)} - {"fit", "shared"}
    if named or not np.isfinite(values).all() or values[1] < 0.0:
        raise ValueError(
            'position and tie must be numbers (tie not negative), "fit" or "shared", '
            f"got {position!r} and {tie!r}"
        )
    return values


def _require_converged(steps: IntArray, limit: int) -> None:
    stuck = np.flatnonzero(steps > limit)
    if len(stuck):
        raise NotConverged(
            f"Bradley-Terry: {len(stuck)} of {len(steps)} tournaments still moved after "
            f"{limit} steps, the first of them number {int(stuck[0])}: raise max_iterations"
        )


def _require_likelihood_with_a_top(games: Games) -> None:
    loose = np.flatnonzero(~strongly_connected(games))
    if len(loose):
        raise ValueError(
            f"maximum likelihood does not exist in {len(loose)} of {len(games.sizes)} "
            f"tournaments, the first of them number {int(loose[0])}: some candidates never lost "
            "to the others, or never met them; give a prior"
        )


def win_probability(difference: float, position: float = 0.0) -> float:
    """P(first beats second) for a difference in strength, the scalar form of the model."""
    return 0.5 * (1.0 + math.tanh(0.5 * (difference + position)))
