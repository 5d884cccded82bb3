"""A judge made of probabilities: for tests of logic and for the simulated world of the benchmark.

The verdict of (first, second, repeat, attempt) is a function of those and a seed, so neither the order
of the calls nor a call more or less changes any other. How often the judge prefers which candidate is
a `Preference`; everything else that is wrong with real judges is a setting of `simulated`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from math import exp, log
from statistics import NormalDist

from bon.types import BonError, Outcome, Verdict, VoidReason

SeatJudge = Callable[[int, int, int, int], Verdict]
"""The verdict of (first, second, repeat, attempt), with candidates named by seat."""

Preference = Callable[[int, int], float]
"""How often a judge without position bias prefers the first candidate to the second."""


def bradley_terry(strengths: Sequence[float]) -> Preference:
    """The stronger wins more often the further apart the two are: log-odds are the difference."""
    return lambda first, second: _sigmoid(strengths[first] - strengths[second])


def flips(worth: Sequence[float], flip: float) -> Preference:
    """The better is missed equally often whatever the distance; equals are an even chance.

    `worth` holds strengths, or right and wrong as True and False.
    """

    def prefers(first: int, second: int) -> float:
        if worth[first] == worth[second]:
            return 0.5
        return 1.0 - flip if worth[first] > worth[second] else flip

    return prefers


def simulated(
    prefers: Preference,
    *,
    seed: int = 0,
    persistence: float = 0.0,
    bias: float = 0.0,
    ties: float = 0.0,
    voids: Mapping[VoidReason, float] | None = None,
    graded: float = 0.0,
) -> SeatJudge:
    """A judge with this preference and these faults.

    persistence: the share of each pair's error that is drawn once for the pair, in both orders alike;
        the rest is drawn anew in each call. The error of a lone call stays what `prefers` says.
    bias: log-odds added in favour of the first slot.
    ties: how often a call ends in a TIE; voids: how often it is VOID, by reason.
    graded: 0 for bare verdicts. Otherwise each has a p_first: calibrated at 1, overconfident above.

    Graded verdicts are a normal log-likelihood ratio, N(m, 2m) towards the preferred candidate, whose
    sign is the verdict: the one normal law that is calibrated, its m fixed by the error rate.
    """
    voids = voids or {}
    limits = list(accumulate([*voids.values(), ties]))
    for share in (persistence, ties, *voids.values(), limits[-1]):
        if not 0.0 <= share <= 1.0:
            raise BonError(
                "a simulated judge's persistence, ties and voids, and ties and voids together,"
                f" are shares from 0 to 1, not {share}"
            )
    spoilt = [*(_void(reason) for reason in voids), _TIE]
    spoilt_rate = limits[-1]
    calls, pairs = (_mix(seed * 2 + stream & _MASK) for stream in (1, 2))
    known: dict[tuple[int, int], float] = {}

    def first_wins(first: int, second: int) -> float:
        """The chance of FIRST in each call, once this pair's persistent error is drawn."""
        even = prefers(first, second)
        error = min(even, 1.0 - even)
        lasting = persistence * error
        passing = (error - lasting) / (1.0 - 2.0 * lasting) if lasting < 0.5 else 0.0
        low, high = min(first, second), max(first, second)
        misled = _uniform(pairs + low * _STEPS[0] + high * _STEPS[1]) < lasting
        favours_first = even > 0.5 or (even == 0.5 and first == low)
        chance = 1.0 - passing if favours_first is not misled else passing
        return _shifted(chance, bias)

    def judge(first: int, second: int, repeat: int, attempt: int) -> Verdict:
        draw = _uniform(
            calls
            + first * _STEPS[0]
            + second * _STEPS[1]
            + repeat * _STEPS[2]
            + attempt * _STEPS[3]
        )
        if draw < spoilt_rate:
            return next(v for limit, v in zip(limits, spoilt, strict=True) if draw < limit)
        if spoilt_rate:
            draw = (draw - spoilt_rate) / (1.0 - spoilt_rate)
        chance = known.get((first, second))
        if chance is None:
            chance = known[first, second] = first_wins(first, second)
        verdict = _FIRST if draw < chance else _SECOND
        return _grade(verdict, draw, chance, graded) if graded else verdict

    return judge


_FIRST, _SECOND, _TIE = Verdict(Outcome.FIRST), Verdict(Outcome.SECOND), Verdict(Outcome.TIE)


def _void(reason: VoidReason) -> Verdict:
    return Verdict(Outcome.VOID, void_reason=reason, detail="simulated")


def _grade(verdict: Verdict, draw: float, chance: float, sharpness: float) -> Verdict:
    normal = NormalDist().inv_cdf
    if not 0.0 < chance < 1.0:
        return Verdict(verdict.outcome, p_first=chance)
    lean = normal(chance)
    ratio = 2.0 * abs(lean) * (lean - normal(min(max(draw, 2.0**-53), 1.0 - 2.0**-53)))
    return Verdict(verdict.outcome, p_first=_sigmoid(sharpness * ratio))


def _shifted(chance: float, log_odds: float) -> float:
    if not log_odds or not 0.0 < chance < 1.0:
        return chance
    return _sigmoid(log(chance / (1.0 - chance)) + log_odds)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x)) if x >= 0.0 else exp(x) / (1.0 + exp(x))


# A counter per argument with its own odd step, scrambled by the finalizer of splitmix64 (Steele, Lea
# and Flood, 2014): no generator to set up, and no shared state that the order of calls could touch.
_MASK = (1 << 64) - 1
_STEPS = (0x9E3779B97F4A7C15, 0xD1342543DE82EF95, 0xDA942042E4DD58B5, 0xA0761D6478BD642F)


def _mix(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 31)


def _uniform(x: int) -> float:
    return (_mix(x & _MASK) >> 11) * 2.0**-53
