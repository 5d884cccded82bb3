"""What grades mean, found from verdicts alone: against the laws that made them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from bon.posterior.grades import laws

Floats = npt.NDArray[np.float64]


def judged_twice(
    rates: Floats, clear: Floats, guess: Floats, rng: np.random.Generator, bias: float = 0.0
) -> tuple[Floats, Floats]:
    """Counts of grades among two verdicts on each of some pairs, one in each order, that agree and not."""
    grades, wins = [], []
    for order in (0, 1):
        clearly = rng.random(len(rates)) < 1.0 - 2.0 * rates
        by_law = [rng.choice(len(law), len(rates), p=law) for law in (guess, clear)]
        grades.append(np.where(clearly, by_law[1], by_law[0]))
        first = rng.random(len(rates)) < 1.0 / (1.0 + np.exp(-bias))
        wins.append(np.where(clearly, 1, first if order == 0 else ~first))
    counts = np.zeros((2, len(clear), len(clear)))
    np.add.at(counts, ((wins[0] == wins[1]).astype(int), *grades), 1.0)
    return counts[1], counts[0]


CLEAR, GUESS = np.array([0.05, 0.15, 0.8]), np.array([0.6, 0.3, 0.1])


@pytest.mark.parametrize("bias", [0.0, 1.5])
@pytest.mark.parametrize("rates", [(0.05,), (0.2,), (0.3,), (0.02, 0.5), (0.02, 0.1, 0.4, 0.5)])
def test_laws_are_found_again_whatever_the_pairs_and_the_position_bias(
    rates: tuple[float, ...], bias: float
) -> None:
    rng = np.random.default_rng(0)
    counts = judged_twice(rng.choice(rates, 40_000), CLEAR, GUESS, rng, bias)
    assert np.abs(np.array(laws(*counts, bias)) - (CLEAR, GUESS)).max() < 0.05


def test_grades_that_mean_nothing_are_found_to_mean_nothing() -> None:
    rng = np.random.default_rng(1)
    clear, guess = laws(*judged_twice(rng.choice((0.05, 0.5), 40_000), CLEAR, CLEAR, rng))
    assert np.abs(clear - guess).max() < 0.05


def test_a_judge_that_is_always_of_one_grade_tells_nothing_by_it() -> None:
    agreed, differed = np.diag([0.0, 0.0, 800.0]), np.diag([0.0, 0.0, 200.0])
    clear, guess = laws(agreed, differed)
    assert clear[2] / guess[2] == pytest.approx(1.0, abs=0.01)


def test_which_of_two_verdicts_came_first_makes_no_difference() -> None:
    agreed, differed = judged_twice(np.full(500, 0.2), CLEAR, GUESS, np.random.default_rng(2))
    for one, other in zip(laws(agreed, differed), laws(agreed.T, differed.T), strict=True):
        assert one == pytest.approx(other)
