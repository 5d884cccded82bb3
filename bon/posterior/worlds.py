"""What is held possible of a judge: laws by which the verdicts on a pair come out wrong.

Each pair has a flip rate, at which single verdicts on it name the other than the one that the judge means
to prefer, and a *world* is a law of flip rates over pairs:

    constant     one rate for all pairs: noise that knows no distance
    graded       close pairs flip more: the rates of Bradley-Terry pairs at some spread
    persistent   some pairs are judged the wrong way round for good, so that a repeat tells less
    tiers        candidates are right or wrong and nothing in between: one rate between the two kinds, an
                 even chance within each, and any of the right ones will do

In the first three, candidates stand in an order (`bon.posterior.levels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FLIPS = np.array([0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5])
"""The flip rates that a pair can have; the last is that of equals."""
CLOSE = 0.4
"""In graded worlds, a pair that flips as often as this, two times in five, is not worth telling apart."""
BIASES = 0.25 * np.arange(-12, 13)
"""What the first slot can be worth, in log-odds."""


@dataclass(frozen=True, slots=True)
class World:
    """A law of flip rates over pairs."""

    kind: str
    prior: float
    law: tuple[float, ...]
    """How many pairs have each rate of `FLIPS`."""
    misled: float = 0.0
    """How many pairs are judged the wrong way round for good."""
    top: float | None = None
    """In a world of tiers, how many candidates are right."""

    @property
    def flip(self) -> float:
        """How often a verdict names the wrong one."""
        return self.misled + (1.0 - 2.0 * self.misled) * float(np.dot(self.law, FLIPS))

    @property
    def close(self) -> float:
        """The flip rate from which on two are as good as equal."""
        return CLOSE if self.kind == "graded" else 0.5


def at(rate: float) -> Floats:
    """The law of pairs that are all at one rate, split between its two neighbours in `FLIPS`."""
    above = int(np.clip(np.searchsorted(FLIPS, rate), 1, len(FLIPS) - 1))
    share = (rate - FLIPS[above - 1]) / (FLIPS[above] - FLIPS[above - 1])
    law = np.zeros(len(FLIPS))
    law[above - 1 : above + 1] = 1.0 - share, share
    return law


def bradley_terry(spread: float) -> Floats:
    """The law of pairs of candidates whose log-strengths have this standard deviation."""
    gap = np.linspace(0.0, 4.0, 2001)[1:]
    weight = np.exp(-0.5 * gap**2)
    rate = 1.0 / (1.0 + np.exp(gap * spread * 2.0**0.5))
    edges = [0.0, *(FLIPS[1:] + FLIPS[:-1]) / 2.0, 1.0]
    return np.histogram(rate, edges, weights=weight / weight.sum())[0]


def _worlds() -> tuple[World, ...]:
    # Weights: judges that flip one verdict in eight to one in three are the ones that are met (13.6% in
    # arXiv 2606.13685); hardly any at .4. Told apart by their verdicts within some twenty comparisons.
    constant = {0.02: 3, 0.06: 4, 0.12: 6, 0.18: 6, 0.25: 7, 0.32: 7, 0.4: 2}
    share = ORDERED / sum(constant.values())
    found = [World("constant", share * weight, tuple(at(r))) for r, weight in constant.items()]
    found += [World("graded", 0.025, tuple(bradley_terry(spread))) for spread in (1.5, 4.0)]
    for rate in (0.15, 0.3):  # half of the error once for the pair, half in each call
        misled = rate / 2.0
        passing = (rate - misled) / (1.0 - 2.0 * misled)
        found.append(World("persistent", 0.025, tuple(at(passing)), misled))
    tiers = [(rate, top) for rate in (0.04, 0.18) for top in (0.2, 0.6)]
    each = (1.0 - ORDERED - 0.1) / len(tiers)
    found += [World("tiers", each, tuple(at(rate)), top=top) for rate, top in tiers]
    return tuple(found)


ORDERED = 0.7
"""Prior weight of the constant worlds; .1 is for those in which pairs differ, the rest for tiers."""
WORLDS = _worlds()


def _log_sigmoid(x: Floats) -> Floats:
    below: Floats = -np.logaddexp(0.0, -x)
    return below


@cache
def log_likelihoods(clear: float = 1.0, guess: float = 1.0) -> Floats:
    """Of a verdict [biases, verdict, who is above, flip rates]: second, tie, first; first above, second above.

    A tie counts as half a verdict for each, as in Davidson's model: it tells of equality alone. `clear`
    and `guess`: how likely its grade is for a clear verdict and for a guess (`bon.posterior.grades`).
    """
    wrong = FLIPS * guess
    right = (1.0 - 2.0 * FLIPS) * clear + wrong
    lean, slot, mass = np.log(right / wrong), BIASES[:, None], np.log(right + wrong)
    first = np.stack([_log_sigmoid(lean + slot), _log_sigmoid(-lean + slot)], 1)
    second = np.stack([_log_sigmoid(-lean - slot), _log_sigmoid(lean - slot)], 1)
    likelihoods: Floats = np.stack([second, 0.5 * (first + second), first], 1) + mass
    return likelihoods
