"""Who is the best of n, when nobody has said how the judge errs.

The posterior holds all worlds of `bon.posterior.worlds` at once, weighted by how well each foretold the
verdicts. Within a world the verdicts on a pair are two numbers, their likelihood with one or with the
other above; what follows from them is the work of `bon.posterior.levels` where candidates stand in an
order, and of `bon.posterior.tiers` where they are right or wrong.

Source: expected information as the price of a comparison (Lindley, 1956).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bon.posterior.beliefs import Beliefs
from bon.posterior.levels import LevelPosterior
from bon.posterior.tiers import TierPosterior
from bon.posterior.worlds import BIASES, FLIPS, WORLDS, World, log_likelihoods
from bon.profile import BARE, UNKNOWN, Profile
from bon.types import BonError

Floats = npt.NDArray[np.float64]

CERTAIN_TO = 0.15
"""How far a prompt's position bias may be from the judge's, however well that is known."""

NEGLIGIBLE = 1e-3
"""Worlds of tiers that weigh no more than this are not looked at."""


class BestPosterior:
    """Beliefs about n candidates after the verdicts told so far; a `tell` costs O(n) small vectors."""

    def __init__(
        self, n: int, *, profile: Profile = UNKNOWN, worlds: Sequence[World] = WORLDS
    ) -> None:
        self.n = n
        prior = np.array(profile.worlds or [world.prior for world in worlds])
        if len(prior) != len(worlds):
            raise BonError("the judge profile is of another version: make it anew with bon profile")
        ordered = [world for world in worlds if world.top is None]
        tiered = [world for world in worlds if world.top is not None]
        if [*ordered, *tiered] != [*worlds]:
            raise ValueError("worlds of tiers come last")
        self._ordered, self._tiered = slice(len(ordered)), slice(len(ordered), None)
        self._log_prior = np.log(prior)
        self._log_evidence = self._log_prior.copy()
        self._flip = np.array([world.flip for world in worlds])
        self._log_bias_prior = (
            -0.5 * ((BIASES - profile.bias) / max(profile.bias_sd, CERTAIN_TO)) ** 2
        )
        self._log_bias = self._log_bias_prior.copy()
        self._slot = int(np.abs(BIASES - profile.bias).argmin())
        self._law = np.array([world.law for world in ordered]).reshape(-1, len(FLIPS))
        # Log likelihood of the verdicts on pair (a, b) if a is above b, by flip rate
        self._by_flip = np.zeros((n, n, len(FLIPS)))
        self._beliefs = Beliefs.empty(n, len(worlds))
        self._levels = LevelPosterior(self._beliefs.part(self._ordered), ordered)
        self._tiers = TierPosterior(self._beliefs.part(self._tiered), tiered)
        self._conclude()

    @property
    def bias(self) -> float:
        """What the first slot is believed to be worth, in log-odds."""
        return float(BIASES[self._slot])

    @property
    def flip_rate(self) -> float:
        """How often a verdict is believed to name the wrong one."""
        return float(self._weight @ self._flip)

    @property
    def modesty(self) -> float:
        """At what share of a stated error to stop, so that the realised one is no larger.

        Fitted to simulations of orders at flips of .1, .2 and .3 among 8 and 16. A judge that flips more
        often is easier taken for one that flips less, or for one of equals, and messages passed around
        among many candidates make beliefs a little too sure; where it seldom flips, few verdicts are left
        between a doubt and its end, and stopping late errs less than it says.
        """
        crowd = (8.0 / self.n) ** 0.25
        share = min(1.25 * min(1.0, crowd), max(0.4, 0.022 / self.flip_rate**2))
        return float(share * crowd)

    @property
    def world_evidence(self) -> Floats:
        """How well each world foretold the verdicts (log)."""
        evidence: Floats = self._log_evidence - self._log_prior
        return evidence

    @property
    def bias_evidence(self) -> Floats:
        """How well each of `BIASES` foretold the verdicts (log)."""
        evidence: Floats = self._log_bias - self._log_bias_prior
        return evidence

    def tell(
        self, first: int, second: int, score: float | None, grade: tuple[float, float] = BARE
    ) -> None:
        """Take one verdict: 1 where the first won, 0 the second, .5 a tie, None a VOID.

        `grade`: how likely a clear verdict is to have the grade of this one, and a guess.
        """
        if score is None:
            return
        either, other = np.array([first, second]), np.array([second, first])
        seen = self._by_flip[either, other] + log_likelihoods(*grade)[self._slot, int(2.0 * score)]
        self._by_flip[either, other] = seen
        self._learn_bias(first, second, score)
        seen = np.exp(seen - seen.max())
        self._log_evidence[self._ordered] += np.log(self._levels.tell(first, second, seen))
        self._log_evidence[self._tiered] += np.log(self._tiers.tell(first, second, seen))
        self._conclude()
        if self._weight[self._tiered].sum() > NEGLIGIBLE:
            self._tiers.conclude()
            self._conclude()

    def best(self) -> Floats:
        """Chance of each candidate to be the one to name: equals are told apart by a coin, or in tiers by
        who is likelier to be right."""
        return self._best

    def among_best(self) -> Floats:
        """Chance of each candidate to be the best or equal to it."""
        return self._good

    def information(self) -> Floats:
        """What the next verdict on each pair is expected to tell, in nats: about who is to be named, and
        about whether the likeliest one is good enough.

        The first within each world, and then averaged: what only tells worlds apart is not worth a comparison,
        for a judge that is of no world in particular would be asked the same pair for ever. The second
        over all worlds: some may hold the likeliest one for right and done with, where others go on. Both
        to second order in the difference that it makes to the chances, which needs no logarithms.
        """
        named, _, given, wins = self._beliefs
        best = np.empty_like(wins)
        best[:] = named[:, None]
        self._levels.limit_named(best[..., self._ordered])
        neither = np.maximum(1.0 - best - best.swapaxes(0, 1), 1e-9)
        shift = given - wins
        best *= shift
        # the others make up for what these two do to the mean, as far as chances can
        gain = best - best.swapaxes(0, 1)
        gain *= gain
        gain /= neither
        np.minimum(gain, neither, out=gain)
        shift *= best
        gain += shift
        gain += shift.swapaxes(0, 1)
        gain /= 2.0 * wins * (1.0 - wins) + 1e-12
        information: Floats = gain @ self._weight
        information += self._about_leader()
        return information

    def _about_leader(self) -> Floats:
        """What the next verdict on each pair is expected to tell about the likeliest one being good enough."""
        _, good, given, wins = self._beliefs
        leader = int(self._good.argmax())
        weight = good[leader] * self._weight
        chance = float(weight.sum())
        win = wins @ self._weight
        both = wins @ weight
        both[leader] = given[leader] @ weight
        both[:, leader] = chance - both[leader]
        shift: Floats = both - chance * win
        shift *= shift
        shift /= 2.0 * max(chance * (1.0 - chance), 1e-9) * win * (1.0 - win) + 1e-12
        return shift

    def _learn_bias(self, i: int, j: int, score: float) -> None:
        if score == 0.5 or not len(self._law):
            return
        # tiers are left out: what they hold of a pair is nearly what the order at the same rate does
        weight = np.exp(self._log_evidence[self._ordered] - self._log_evidence[self._ordered].max())
        weight /= weight.sum()
        above = float(self._levels.above(i, j) @ weight)
        first_wins = (_FIRST_BELOW + above * _FIRST_GAIN) @ (weight @ self._law)
        self._log_bias += np.log(first_wins if score == 1.0 else 1.0 - first_wins)
        weight = np.exp(self._log_bias - self._log_bias.max())
        self._slot = round(float(weight @ _SLOTS) / float(weight.sum()))

    def _conclude(self) -> None:
        weight = np.exp(self._log_evidence - self._log_evidence.max())
        self._weight: Floats = weight / weight.sum()
        self._best: Floats = self._beliefs.named @ self._weight
        self._good: Floats = self._beliefs.good @ self._weight


_FIRST_BELOW = np.exp(log_likelihoods()[:, 2, 1])
_FIRST_GAIN = np.exp(log_likelihoods()[:, 2, 0]) - _FIRST_BELOW
_SLOTS = np.arange(len(BIASES))
