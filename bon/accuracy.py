"""How often a choice is right where the truth is known, always beside random, majority and oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bon.grouping import boxed, final_answer, last_number, lone_number
from bon.types import Candidate, Result

Scores = npt.NDArray[np.float64]
DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95% interval, from a bootstrap over prompts."""

    mean: float
    low: float
    high: float


def is_right(text: str, answer: str) -> bool:
    """Whether the final answer of `text` is `answer`: the same box, the same number or the same text.

    Numbers count where the answer is nothing but one: 1/2 and 3/2 end in the same number.
    """
    given = boxed(text)
    if (given if given is not None else text).strip() == answer.strip():
        return True
    number = lone_number(answer)
    return number is not None and last_number(text if given is None else given) == number


def baselines(candidates: Sequence[Candidate], answer: str, group_by: str) -> Mapping[str, float]:
    """Chance of being right for a random candidate, the majority's answer, and an oracle.

    Majority takes one of the most frequent final answers; where several are, each counts its share.
    """
    right = [is_right(candidate.text, answer) for candidate in candidates]
    votes: dict[str, list[bool]] = {}
    for i, candidate in enumerate(candidates):
        key = final_answer(candidate.text, group_by)
        votes.setdefault(f"={key}" if key is not None else str(i), []).append(right[i])
    most = max(map(len, votes.values()))
    winners = [sum(group) / len(group) for group in votes.values() if len(group) == most]
    return {
        "random": sum(right) / len(right),
        "majority": sum(winners) / len(winners),
        "oracle": float(any(right)),
    }


def chosen_right(result: Result) -> float:
    """1 where the winner is right, 0 where it is not or there is none; needs the prompt's answer."""
    if result.winner is None or result.prompt.answer is None:
        return 0.0
    return float(is_right(result.candidates[result.winner].text, result.prompt.answer))


def interval(scores: Sequence[float] | Scores, seed: int = 0) -> Interval:
    """Mean and 95% percentile bootstrap over prompts; `scores` has one number a prompt.

    Give differences for a paired comparison. Source: Efron and Tibshirani (1993), chapter 13.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    # how often each value is drawn is all that matters of a resample, and values are few
    distinct, counts = np.unique(values, return_counts=True)
    drawn = rng.multinomial(len(values), counts / len(values), size=DRAWS)
    low, high = np.quantile(drawn @ distinct / len(values), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))
