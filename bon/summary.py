"""A run, added up: what many diagnoses say together.

    total = Total()
    for diagnosis in diagnose(results):
        total.add(diagnosis)
    print(*findings(total.summary()))

A `Total` keeps sums alone, however long the run; the 95% intervals of its shares know that the
comparisons of one prompt are not independent of each other.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bon.accuracy import Interval, interval
from bon.diagnostics import RATINGS, Diagnosis, diagnose, diagnosed
from bon.shares import Adding, Part, Share
from bon.types import Result, VoidReason


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Means over the prompts whose truth is known."""

    prompts: int
    winner: Interval
    random: float
    majority: float
    oracle: float
    gain: Interval
    """The winner's accuracy less that of a random candidate."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run, added up. See `Diagnosis` for what each share is of."""

    prompts: int
    failed: int
    first_slot: Share
    flips: Share
    ties: Share
    voids: Share
    void_reasons: Mapping[VoidReason, int]
    """Most frequent first."""
    coins: Share
    cyclic: Share
    longer: Share
    cut_off: Share
    agreement: Mapping[str, Share]
    p_best: float | None
    """Mean over the prompts."""
    uncertain: Share
    """Prompts whose winner is more likely not the best than the best."""
    disconnected: Share
    """Prompts with verdicts that leave several groups unconnected."""
    cost: Mapping[str, int]
    accuracy: Accuracy | None


class Total:
    """Adds up a run while it goes."""

    def __init__(self) -> None:
        self._prompts = 0
        self._failed = 0
        self._rates: defaultdict[str, Adding] = defaultdict(Adding)
        self._agreement: defaultdict[str, Adding] = defaultdict(Adding)
        self._reasons: Counter[VoidReason] = Counter()
        self._cost: Counter[str] = Counter()
        self._stages = 0
        self._sure = 0.0
        self._truths: list[array[float]] = [array("d") for _ in TRUTHS]

    def add(self, diagnosis: Diagnosis) -> None:
        """Count one more result."""
        self._prompts += 1
        self._failed += diagnosis.failed
        for rate in RATES:
            self._rates[rate].add(getattr(diagnosis, rate))
        if diagnosis.p_best is not None:
            self._sure += diagnosis.p_best
            self._rates["uncertain"].add(Part(diagnosis.p_best < 0.5, 1))
        if diagnosis.agreement:
            self._rates["disconnected"].add(Part(bool(diagnosis.components), 1))
        for name, agrees in diagnosis.agreement.items():
            self._agreement[name].add(Part(agrees, 1))
        self._reasons.update(diagnosis.void_reasons)
        self._cost.update({k: v for k, v in diagnosis.cost.items() if k != "stages"})
        self._stages = max(self._stages, diagnosis.cost["stages"])
        if diagnosis.truth is not None:
            for values, name in zip(self._truths, TRUTHS, strict=True):
                values.append(getattr(diagnosis.truth, name))

    def row(self, result: Result) -> dict[str, Any]:
        """Count the result, and give its row with its diagnosis."""
        [diagnosis] = diagnose([result])
        self.add(diagnosis)
        return diagnosed(result, diagnosis)

    def summary(self) -> Summary:
        """What has been counted so far."""
        rates = {name: self._rates[name].share() for name in (*RATES, "uncertain", "disconnected")}
        told = rates["uncertain"].of
        return Summary(
            prompts=self._prompts,
            failed=self._failed,
            void_reasons=dict(self._reasons.most_common()),
            agreement={
                name: self._agreement[name].share() for name in RATINGS if name in self._agreement
            },
            p_best=self._sure / told if told else None,
            cost=dict(self._cost) | {"stages": self._stages},
            accuracy=_accuracy(*(np.array(values) for values in self._truths)),
            **rates,
        )


RATES = ("first_slot", "flips", "ties", "voids", "coins", "cyclic", "longer", "cut_off")
TRUTHS = ("winner", "random", "majority", "oracle")


def summarise(diagnoses: Iterable[Diagnosis]) -> Summary:
    """Add up a run."""
    total = Total()
    for diagnosis in diagnoses:
        total.add(diagnosis)
    return total.summary()


Scores = npt.NDArray[np.float64]


def _accuracy(winner: Scores, random: Scores, majority: Scores, oracle: Scores) -> Accuracy | None:
    if not len(winner):
        return None
    return Accuracy(
        prompts=len(winner),
        winner=_over_prompts(winner),
        random=float(random.mean()),
        majority=float(majority.mean()),
        oracle=float(oracle.mean()),
        gain=_over_prompts(winner - random),
    )


def _over_prompts(values: Scores) -> Interval:
    """A lone prompt has no spread to draw from."""
    return interval(values) if len(values) > 1 else Interval(*[float(values[0])] * 3)
