"""Who is right, where candidates are right or wrong and nothing in between.

The model. Every candidate is in the top tier or not, independently, with a chance given by the world.
Within a tier verdicts are an even chance; between tiers the judge means to prefer the top one. So any
candidate of the top tier will do, and two that beat each other by turns need no decision.

Each candidate is one bit, and bits are integrated out by belief propagation: a message is a ratio of
likelihoods, of top to bottom, and spreads one step from the two that met.

Sources: loopy belief propagation (Pearl). That equals need no call between them is the idea of PairJudge
RM's teams (arXiv 2501.13007), here for equals that only their verdicts show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bon.posterior.beliefs import Beliefs
from bon.posterior.worlds import FLIPS, World

Floats = npt.NDArray[np.float64]

SURE = 1e4
"""The largest ratio of likelihoods that one candidate's verdicts may give another."""


class TierPosterior:
    """Beliefs about who of n is in the top tier; a `tell` costs a few arrays [n, n, worlds]."""

    def __init__(self, beliefs: Beliefs, worlds: Sequence[World]) -> None:
        self._beliefs = beliefs
        n, count = beliefs.named.shape
        self._law = np.array([world.law for world in worlds]).reshape(count, len(FLIPS))
        share = np.array([world.top for world in worlds], dtype=np.float64)
        # The verdicts on (a, b), as likely with a alone in the top tier as `ratio` times with both or
        # neither; and how much more than an even chance a then has to win the next one.
        self._ratio = np.ones((n, n, count))
        self._lead = np.tile(self._law @ (1.0 - FLIPS) - 0.5, (n, n, 1))
        self._even = np.ones((n, n))
        # odds of being in the top tier, and the factor of them that verdicts with each other one are
        self._odds = np.tile(share / (1.0 - share), (n, 1))
        self._message = np.ones((n, n, count))  # [from, to]
        self._self = np.diag_indices(n)
        self.conclude()

    def tell(self, first: int, second: int, seen: Floats) -> Floats:
        """Take the verdicts on a pair, as likely as `seen` [2, flip rates] with the first or the second above.

        Gives how much likelier they are than before the last one [worlds].
        """
        either, other = np.array([first, second]), np.array([second, first])
        even = seen[0, -1]
        total = seen @ self._law.T + 1e-290
        ratio = total / even
        odds = self._odds[either] / self._message[other, either]  # but for their own verdicts
        old = self._ratio[either, other]
        weight = odds.prod(0) + 1.0
        gain: Floats = (weight + (odds * ratio).sum(0)) / (weight + (odds * old).sum(0))
        gain *= even / self._even[first, second]
        self._even[either, other] = even
        self._ratio[either, other] = ratio
        self._lead[either, other] = (seen * (0.5 - FLIPS)) @ self._law.T / total
        self._send(either, other, odds, ratio, ratio[::-1])
        # now to all that they met
        odds = self._odds[either, None] / self._message[:, either].swapaxes(0, 1)
        down = self._ratio[:, either].swapaxes(0, 1)
        message = _message(odds, self._ratio[either], down)
        self._odds *= (message / self._message[either]).prod(0)
        self._message[either] = message
        return gain

    def _send(
        self,
        source: npt.NDArray[np.int64],
        target: npt.NDArray[np.int64],
        odds: Floats,
        up: Floats,
        down: Floats,
    ) -> None:
        message = _message(odds, up, down)
        self._odds[target] *= message / self._message[source, target]
        self._message[source, target] = message

    def conclude(self) -> None:
        """Bring the beliefs up to date."""
        named, good, given, wins = self._beliefs
        np.clip(self._odds, SURE**-25, SURE**25, out=self._odds)
        # a's odds but for its verdicts with b, and the weights of: a alone on top; both or neither
        odds = self._odds[:, None] / self._message.swapaxes(0, 1)
        other = odds.swapaxes(0, 1).copy()
        alone = odds * self._ratio
        alone[self._self] = 0.0
        beaten = alone.swapaxes(0, 1).copy()
        rest = odds * other
        rest += alone
        rest += beaten
        rest += 1.0
        alone *= self._lead
        alone -= alone.swapaxes(0, 1).copy()
        alone /= rest
        np.add(alone, 0.5, out=wins)
        other += self._ratio
        lead = self._ratio * self._lead
        lead /= other
        np.add(lead, 0.5, out=given)
        beaten += 1.0
        chance = self._odds / (1.0 + self._odds)
        # at the bottom, it is as good as any where nobody is on top
        np.divide(1.0 - chance, beaten.prod(1), out=good)
        good += chance
        # to be named is the likeliest; where it is not in the top tier, whoever then is
        likeliest = self._odds.max(0)
        leads = self._odds > 0.999 * likeliest
        rest = np.where(leads, 0.0, self._odds)
        sure = likeliest / (1.0 + likeliest)
        named[:] = rest * ((1.0 - sure) / (rest.sum(0) + 1e-300))
        named += leads * (sure / leads.sum(0))
        named /= named.sum(0)


def _message(odds: Floats, up: Floats, down: Floats) -> Floats:
    """What verdicts with one whose odds these are tell of the other: likelihood of top over bottom.

    `up`: likelihood ratio of their verdicts with itself alone on top, `down`: with the other.
    """
    message: Floats = (odds + down) / (odds * up + 1.0)
    return np.clip(message, 1.0 / SURE, SURE, out=message)
