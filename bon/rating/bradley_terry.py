"""Bradley-Terry strengths by maximum a posteriori, for one tournament or a hundred thousand.

    P(first beats second) = 1 / (1 + exp(-(strength[first] - strength[second] + position)))

Strengths are natural-log odds. A normal prior around 0 keeps every candidate finite: bracket
winners, the undefeated, the winless, those never compared. The log posterior is concave, so
Newton's method from any start reaches its one top; all tournaments climb together on tables of
shape (tournaments, n, n).

A tie is half a win each way, or, with ``tie`` above 0, an outcome of its own (Davidson 1970):
with d the exponent above, first : tie : second are as exp(d/2) : tie : exp(-d/2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from bon.rating.components import Components, components_of, reachable
from bon.rating.games import BoolArray, FloatArray, Games, IntArray, NotConverged, check, chunks

Term = float | Literal["fit", "shared"]
"""A number that is known, or to be fitted for each tournament, or one for all of them."""

TOLERANCE = 2e-5
"""Newton stops on a step this short (in log odds): the error left is about its square."""


@dataclass(frozen=True)
class Prior:
    """Standard deviations of the normal priors, in natural-log odds."""

    strength: float = 1.5
    """of a candidate's strength, around 0"""
    position: float = 1.0
    """of a fitted first-slot advantage, around 0"""
    tie: float = 1.5
    """of the log of a fitted tie parameter, around log .5 (equals tie one time in five)"""


@dataclass(frozen=True, eq=False)
class Strengths:
    """A fitted model. Arrays are (n,) for one tournament, (B, n) with NaN padding for many."""

    strength: FloatArray
    """natural-log odds; the strengths of a tournament sum to 0"""
    position: FloatArray
    """advantage of the first slot in log odds, a number per tournament"""
    tie: FloatArray
    """Davidson's tie parameter, a number per tournament; 0: a tie is half a win each"""
    iterations: IntArray
    """Newton steps that each tournament took"""
    fit: _Fit

    @cached_property
    def components(self) -> list[Components] | Components:
        """Groups of candidates that comparisons connect: between two groups only the prior speaks."""
        found = components_of(self.fit.games)
        return found[0] if self.fit.games.tournament is None else found

    @property
    def connected(self) -> bool | BoolArray:
        """Whether all candidates of a tournament are in one component."""
        if isinstance(self.components, list):
            return np.array([len(c) <= 1 for c in self.components])
        return len(self.components) <= 1

    @cached_property
    def covariance(self) -> FloatArray:
        """(n, n), or (B, n, n) zero-padded: Laplace posterior covariance of the strengths."""
        games = self.fit.games
        full = np.zeros((len(games.sizes), games.n, games.n))
        for where, block in self.fit.covariances():
            full[where, : block.shape[1], : block.shape[2]] = block
        return full[0] if games.tournament is None else full

    @cached_property
    def se(self) -> FloatArray:
        """Posterior standard deviation of each strength (Laplace approximation)."""
        games = self.fit.games
        full = np.zeros((len(games.sizes), games.n))
        for where, block in self.fit.covariances():
            full[where, : block.shape[1]] = np.sqrt(np.einsum("bii->bi", block))
        return games.shaped(full)


@dataclass(frozen=True, eq=False)
class _Fit:
    """What a fit was made from and where it ended: enough to rebuild its curvature."""

    games: Games
    prior: Prior | None
    fitted: tuple[bool, bool]
    strength: FloatArray
    extra: FloatArray

    def covariances(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Tournament numbers and the (tournaments, n, n) covariances of their strengths."""
        for where, games in chunks(self.games):
            table = _table(games, directed=bool(self.extra.any()) or any(self.fitted))
            n = games.n
            _, curvature = _slopes(
                table, self.prior, self.strength[where, :n], self.extra[where], self.fitted
            )
            inverse = np.linalg.inv(curvature)[:, :n, :n]
            inverse = inverse * table.seated[:, :, None] * table.seated[:, None, :]
            yield where, inverse - _gauge(self.prior, table)


def bradley_terry(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    prior: Prior | None = Prior(),  # noqa: B008 - frozen
    position: Term = 0.0,
    tie: Term = 0.0,
    max_iterations: int = 100,
) -> Strengths:
    """Bradley-Terry strengths that maximise the posterior (Bradley and Terry 1952).

    Arguments as in ``bon.rating.games``; a graded score counts as that fraction of a win for the
    first and the rest for the second. ``prior=None`` asks for maximum likelihood.
    ``position`` and ``tie`` are the extra terms of the module's docstring: a number, "fit" for
    one of each tournament's own, "shared" for one over the whole batch. With a tie parameter, a
    score of exactly .5 is a tie; other fractions are still split between the two wins.

    Failure: ValueError on arrays that make no sense, and for maximum likelihood where there is
    none (some group never lost to the rest; Ford 1957); NotConverged after ``max_iterations``.
    """
    games = check(first, second, score, n, tournament, weight)
    if prior is None:
        _check_likelihood_has_a_top(games)
    fitted = (isinstance(position, str), isinstance(tie, str))
    extra = np.zeros((len(games.sizes), 2))
    extra[:, 0] = 0.0 if isinstance(position, str) else position
    extra[:, 1] = 0.5 if isinstance(tie, str) else tie
    strength = np.zeros((len(games.sizes), games.n))
    iterations = np.zeros(len(games.sizes), dtype=np.intp)
    directed = bool(extra.any()) or any(fitted)
    for where, part in chunks(games):
        table = _table(part, directed)
        climbed = _climb(table, prior, extra[where], fitted, max_iterations)
        strength[where, : part.n], extra[where], iterations[where] = climbed
    stuck = np.flatnonzero(iterations > max_iterations)
    if len(stuck):
        raise NotConverged(
            f"Bradley-Terry: {len(stuck)} of {len(games.sizes)} tournaments did not converge in "
            f"{max_iterations} steps, first of them {int(stuck[0])}"
        )
    fit = _Fit(games, prior, fitted, strength, extra)
    single = games.tournament is None
    return Strengths(
        games.shaped(strength),
        extra[0, 0] if single else extra[:, 0],
        extra[0, 1] if single else extra[:, 1],
        iterations[0] if single else iterations,
        fit,
    )
