"""Who is the best of n, when nobody has said how the judge errs.

The model. Every candidate has a level, uniform on [0, 1] and independent, and the judge means to
prefer the higher. Each pair has a flip rate, at which single verdicts on it come out wrong, and a
*world* is a law of flip rates over pairs:

    constant     one rate for all pairs: noise that knows no distance
    graded       close pairs flip more: the rates of Bradley-Terry pairs at some spread
    alike        some pairs are equal, an even chance, and either of them will do; the rest constant
    persistent   some pairs are judged the wrong way round for good, so that a repeat tells less

The posterior holds all worlds of `WORLDS` at once, weighted by how well each foretold the verdicts.
Within a world the verdicts on a pair are two numbers, their likelihood with one or with the other on
top, and only the order of levels matters. Levels are integrated out by belief propagation on a grid
(one cumulative distribution per directed pair, spread one step from the two that met).

The chance of being best needs no further approximation. Given that t is best at level x, the others
are independent and uniform below x, so their own verdicts are as likely as without t, whatever x:

    P(t is best | verdicts) = prod_s [P(verdicts t, s | t above s) / P(... | a fresh pair)] / (n Z(t))

with Z(t) the evidence of t's verdicts given all others, which the messages to t give. On 8 candidates
at its stop it differs from the sum over all 8! orders by .003 in total variation.

Sources: loopy belief propagation (Pearl); noisy sorting and Noisy MAX (arXiv 2309.03986); expected
information as the price of a comparison (Lindley, 1956).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from bon.profile import UNKNOWN, Profile
from bon.types import BonError

Floats = npt.NDArray[np.float64]

FLIPS = np.array([0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5])
"""The flip rates that a pair can have; the last is that of equals."""
CLOSE = 0.4
"""Where pairs differ, one that flips as often as this, two times in five, is not worth telling apart."""
LEVELS = 16
"""Cells of the grid of levels, narrower towards the top, where the winner is decided."""
BIASES = 0.25 * np.arange(-12, 13)
"""What the first slot can be worth, in log-odds."""
CERTAIN_TO = 0.15
"""How far a prompt's position bias may be from the judge's, however well that is known."""


@dataclass(frozen=True, slots=True)
class World:
    """A law of flip rates over pairs."""

    kind: str
    prior: float
    law: tuple[float, ...]
    """How many pairs have each rate of `FLIPS`."""
    misled: float = 0.0
    """How many pairs are judged the wrong way round for good."""
    close: bool = False
    """Whether pairs of `CLOSE` rates are equals for all that matters: either of the two will do."""


def _at(rate: float) -> Floats:
    """All pairs at one rate, split between its two neighbours on the grid."""
    above = int(np.clip(np.searchsorted(FLIPS, rate), 1, len(FLIPS) - 1))
    share = (rate - FLIPS[above - 1]) / (FLIPS[above] - FLIPS[above - 1])
    law = np.zeros(len(FLIPS))
    law[above - 1 : above + 1] = 1.0 - share, share
    return law


def _bradley_terry(spread: float) -> Floats:
    """Flip rates between candidates whose log-strengths have this standard deviation."""
    gap = np.linspace(0.0, 4.0, 2001)[1:]
    weight = np.exp(-0.5 * gap**2)
    rate = 1.0 / (1.0 + np.exp(gap * spread * 2.0**0.5))
    edges = [0.0, *(FLIPS[1:] + FLIPS[:-1]) / 2.0, 1.0]
    return np.histogram(rate, edges, weights=weight / weight.sum())[0]


def _worlds() -> tuple[World, ...]:
    # Weights: judges that flip one verdict in eight to one in three are the ones that are met (13.6% in
    # arXiv 2606.13685); hardly any at .4. Told apart by their verdicts within some twenty comparisons.
    constant = {0.02: 3, 0.06: 4, 0.12: 6, 0.18: 6, 0.25: 7, 0.32: 7, 0.4: 2}
    share = 0.8 / sum(constant.values())
    found = [World("constant", share * weight, tuple(_at(r))) for r, weight in constant.items()]
    found += [
        World("graded", 0.025, tuple(_bradley_terry(spread)), close=True) for spread in (1.5, 4.0)
    ]
    found += [
        World("alike", 0.05, tuple(0.3 * _at(r) + 0.7 * _at(0.5)), close=True) for r in (0.06, 0.2)
    ]
    for rate in (0.15, 0.3):  # half of the error once for the pair, half in each call
        misled = rate / 2.0
        passing = (rate - misled) / (1.0 - 2.0 * misled)
        found.append(World("persistent", 0.025, tuple(_at(passing)), misled))
    return tuple(found)


WORLDS = _worlds()


class OrderPosterior:
    """Beliefs about n candidates after the verdicts told so far; a `tell` costs O(n) small vectors."""

    def __init__(
        self, n: int, *, profile: Profile = UNKNOWN, worlds: Sequence[World] = WORLDS
    ) -> None:
        self.n = n
        self.told = np.zeros((n, n), dtype=np.int64)
        """Verdicts by who was first and who second."""
        self._law = np.array([world.law for world in worlds])
        self._misled = np.array([world.misled for world in worlds])
        close = [(CLOSE if world.close else 0.5) <= FLIPS for world in worlds]
        self._close = self._law * np.array(close)
        prior = np.array(profile.worlds or [world.prior for world in worlds])
        if len(prior) != len(worlds):
            raise BonError("the judge profile is of another version: make it anew with bon profile")
        self._log_prior = np.log(prior)
        self._log_evidence = self._log_prior.copy()
        self._faithful = 1.0 - self._misled
        self._flip = self._misled + (1.0 - 2.0 * self._misled) * (self._law @ FLIPS)
        self._log_bias_prior = (
            -0.5 * ((BIASES - profile.bias) / max(profile.bias_sd, CERTAIN_TO)) ** 2
        )
        self._log_bias = self._log_bias_prior.copy()
        self._slot = int(np.abs(BIASES - profile.bias).argmin())
        k, levels = len(worlds), _levels(n)
        self._mass, self._sums = levels
        # What the verdicts on pair (a, b) say if a is above b: by flip rate (log), and by world as a
        # likelihood (up to a factor), as a share of both orders, as the chance of the next verdict, and of equality.
        self._by_flip = np.zeros((n, n, len(FLIPS)))
        self._total = np.ones((n, n, k))
        self._share = np.full((n, n, k), 0.5)
        right = self._law @ (1.0 - FLIPS)
        right += self._misled * (1.0 - 2.0 * right)
        self._next = np.tile(right, (n, n, 1))
        self._equal = np.tile(self._close.sum(1), (n, n, 1))
        self._equal[np.diag_indices(n)] = 0.0
        # What is believed of s, and what without its verdicts with t, for the t it has met: mass, and
        # mass below and above each level.
        self._belief = np.tile(self._mass, (n, k, 1))
        self._cavity = np.zeros((n * n, k, LEVELS))
        self._around = np.zeros((n * n, k, 2 * LEVELS))
        self._edges: list[list[int]] = [[] for _ in range(n)]
        # The chance that a is above b [a, b], without their own verdicts and with them, and that it
        # wins their next verdict.
        self._above = np.full((n, n, k), 0.5)
        self._higher = np.full((n, n, k), 0.5)
        self._expected = np.full((n, n, k), 0.5)
        self._messages = np.full((n, k, LEVELS), 0.5 ** (n - 1))
        self._top = np.full((n, k), 0.5 ** (n - 1))
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

        Verdicts that flip more often are more of them a pair, and messages passed around among more of
        them make the beliefs a little too sure: fitted to simulations at flips of .1, .2 and .3.
        """
        return min(1.0, max(0.6, 1.15 - 1.35 * self.flip_rate))

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

    def tell(self, first: int, second: int, score: float | None, worth: float = 1.0) -> None:
        """Take one verdict: 1 where the first won, 0 the second, .5 a tie, None a VOID.

        `worth`: how many bare verdicts it tells as much as, where its grade says so.
        """
        if score is None:
            return
        self.told[first, second] += 1
        self._meet(first, second)
        either, other = np.array([first, second]), np.array([second, first])
        seen = self._by_flip[either, other] + _likelihoods(worth)[self._slot, int(2.0 * score)]
        self._by_flip[either, other] = seen
        self._learn_bias(first, second, score)
        seen = np.exp(seen - seen.max())
        rightly, wins, misled = (seen * _SEEN) @ self._law.T
        total = self._faithful * rightly + self._misled * rightly[::-1] + 1e-290
        self._next[either, other] = (self._faithful * wins + self._misled * misled[::-1]) / total
        self._equal[either, other] = seen @ self._close.T / total
        share = total / (total[0] + total[1])
        np.maximum(share, 1e-15, out=share)
        old, around = self._share[either, other], self._around[other * self.n + either]
        self._weigh(self._above[first, second], total, self._total[either, other])
        self._total[either, other] = total
        self._messages[either] *= _message(share, around) / _message(old, around)
        self._top[either] *= share / old
        self._share[either, other] = share
        self._spread(first, second)
        self._conclude()

    def best(self) -> Floats:
        """Chance of each candidate to be the best; equals are told apart by a coin."""
        return self._best

    def among_best(self) -> Floats:
        """Chance of each candidate to be the best or equal to it."""
        weighted = self._best_by_world * self._weight
        chances: Floats = self._best + np.einsum("tk,tik->i", weighted, self._equal)
        return chances

    def information(self) -> Floats:
        """What the next verdict on each pair is expected to tell about who is best, in nats.

        Within each world, and then averaged: what only tells worlds apart is not worth a comparison, for
        a judge that is of no world in particular would be asked the same pair for ever. To second order
        in the difference that the best makes to the chances, which needs no logarithms.
        """
        wins = self._expected
        # nobody is best and below another, whatever a world says that the verdicts contradict
        best = np.minimum(self._best_by_world[:, None], self._higher)
        neither = np.maximum(1.0 - best - best.swapaxes(0, 1), 1e-9)
        shift = self._next - wins
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
        return information

    def _learn_bias(self, i: int, j: int, score: float) -> None:
        if score == 0.5:
            return
        above = float(_odds(self._share[i, j], self._above[i, j]) @ self._weight)
        first_wins = (_FIRST_BELOW + above * _FIRST_GAIN) @ (self._weight @ self._law)
        self._log_bias += np.log(first_wins if score == 1.0 else 1.0 - first_wins)
        weight = np.exp(self._log_bias - self._log_bias.max())
        self._slot = round(float(weight @ _SLOTS) / float(weight.sum()))

    def _weigh(self, above: Floats, total: Floats, old: Floats) -> None:
        """Weigh the worlds by how well they foretold this pair, given everything else."""
        foretold = above * total[0] + (1.0 - above) * total[1]
        self._log_evidence += np.log(foretold / (above * old[0] + (1.0 - above) * old[1]))

    def _meet(self, i: int, j: int) -> None:
        """Give the pair its cavities, if it is new, and its chances but for its own verdicts."""
        for s, t in ((i, j), (j, i)):
            edge = s * self.n + t
            if edge not in self._edges[s]:
                self._edges[s].append(edge)
                self._cavity[edge], self._around[edge] = self._normalize(
                    self._mass * self._messages[s]
                )
        above = np.einsum(
            "kx,kx->k", self._cavity[i * self.n + j], self._around[j * self.n + i, :, :LEVELS]
        )
        self._above[i, j], self._above[j, i] = above, 1.0 - above

    def _spread(self, i: int, j: int) -> None:
        """Tell those who have met `i` or `j` what is believed of these two now."""
        n, both = self.n, np.array([i, j])
        edges = np.array(self._edges[i] + self._edges[j])
        s, t = np.divmod(edges, n)
        share, back = self._share.reshape(n * n, -1), t * n + s
        np.maximum(self._messages, 1e-280, out=self._messages)
        belief = self._mass * self._messages[both]
        cavity = belief[(s == j).view(np.int8)]
        cavity /= _message(share[edges], self._around[back])
        cavity, around = self._normalize(cavity)
        share = share[back]
        change = _message(share, around)
        change /= _message(share, self._around[edges])
        met = len(self._edges[i])
        self._messages[t[:met]] *= change[:met]
        self._messages[t[met:]] *= change[met:]
        self._cavity[edges], self._around[edges] = cavity, around
        self._belief[both], around_both = self._normalize(belief)
        above = np.einsum("tkx,skx->tsk", self._belief, around_both[..., :LEVELS])
        above[t, (s == j).view(np.int8)] = np.einsum(
            "ekx,ekx->ek", self._cavity[back], around[..., :LEVELS]
        )
        self._above[:, both] = above
        self._above[both] = 1.0 - above.swapaxes(0, 1)
        above = _odds(self._share[:, both], above)
        self._higher[:, both] = above
        self._higher[both] = 1.0 - above.swapaxes(0, 1)
        expected = 1.0 - self._next[both].swapaxes(0, 1)
        expected += above * (self._next[:, both] - expected)
        self._expected[:, both] = expected
        self._expected[both] = 1.0 - expected.swapaxes(0, 1)

    def _normalize(self, mass: Floats) -> tuple[Floats, Floats]:
        """Masses over the levels that sum to 1, and their sums below and above each level."""
        sums = mass @ self._sums
        total = sums[..., :1] + sums[..., LEVELS : LEVELS + 1]
        mass /= total
        sums /= total
        np.maximum(sums, 1e-18, out=sums)
        return mass, sums

    def _conclude(self) -> None:
        weight = np.exp(self._log_evidence - self._log_evidence.max())
        self._weight: Floats = weight / weight.sum()
        best = self._top / (self._messages @ self._mass)
        self._best_by_world: Floats = best / best.sum(0)
        self._best: Floats = self._best_by_world @ self._weight


@cache
def _levels(n: int) -> tuple[Floats, Floats]:
    """Mass of each cell of the grid, and the matrix of sums below and above each cell."""
    left = (0.25 / n) ** (np.arange(LEVELS) / (LEVELS - 1))
    mass = left - np.append(left[1:], 0.0)
    below = np.triu(np.ones((LEVELS, LEVELS)), 1) + 0.5 * np.eye(LEVELS)
    return mass, np.column_stack([below, below.T])


def _message(share: Floats, sums: Floats) -> Floats:
    """Likelihood of a pair's verdicts by the level of the one, given what the other is believed."""
    share = share[..., None]
    message: Floats = share * sums[..., :LEVELS]
    message += (1.0 - share) * sums[..., LEVELS:]
    return message


def _odds(share: Floats, above: Floats) -> Floats:
    """The chance of being above, from the pair's own verdicts and from everything else."""
    yes = share * above
    chance: Floats = yes / (yes + (1.0 - share) * (1.0 - above))
    return chance


def _log_sigmoid(x: Floats) -> Floats:
    below: Floats = -np.logaddexp(0.0, -x)
    return below


@cache
def _likelihoods(worth: float = 1.0) -> Floats:
    """Log likelihood by bias, verdict (second, tie, first), whether the first is above, and flip rate.

    A tie counts as half a verdict for each, as in Davidson's model: it tells of equality alone.
    """
    lean, slot = worth * np.log(1.0 / FLIPS - 1.0), BIASES[:, None]
    first = np.stack([_log_sigmoid(lean + slot), _log_sigmoid(-lean + slot)], 1)
    second = np.stack([_log_sigmoid(-lean - slot), _log_sigmoid(lean - slot)], 1)
    return np.stack([second, 0.5 * (first + second), first], 1)


_FIRST_BELOW = np.exp(_likelihoods()[:, 2, 1])
_FIRST_GAIN = np.exp(_likelihoods()[:, 2, 0]) - _FIRST_BELOW
_SLOTS = np.arange(len(BIASES))
# What a pair's verdicts were, and in which the next is won by the one above, or by the other.
_SEEN = np.stack([np.ones(len(FLIPS)), 1.0 - FLIPS, FLIPS])[:, None]
