"""What grades of a judge mean, found without knowing who was right.

The model. A verdict on a pair that flips at rate f is *clear* with chance 1 - 2 f, and then names the one
that the judge means to prefer; otherwise it is a *guess*, a fair coin. Clear verdicts and guesses have
grades by laws of their own. Two verdicts on one pair that differ hold a guess, and what grade each had
is all there is to see: the two laws, and how many pairs flip at which rate, are those under which the
grades of pairs judged twice are likeliest (expectation and maximization; Dempster, Laird and Rubin,
1977). As with raters whose skill is learned from one another (Dawid and Skene, 1979), no label enters.

Pairs of two kinds, hard to tell apart and easy, show the laws. Where all pairs flip at the same rate, two
verdicts leave open how many of them are guesses; what is found then says less than is so, never more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bon.posterior.worlds import FLIPS

Floats = npt.NDArray[np.float64]

ROUNDS = 500
"""Of expectation and maximization; far more than it takes to settle."""
SMOOTHING = 0.5
"""How often each grade counts as seen, by either law, before any was."""


def laws(agreed: Floats, differed: Floats) -> tuple[Floats, Floats]:
    """How often clear verdicts have each grade, and guesses.

    `agreed`, `differed` [grades, grades]: how many pairs of verdicts had these two grades.
    """
    agreed, differed = (agreed + agreed.T) / 2.0, (differed + differed.T) / 2.0
    seen = (agreed + differed).sum(1)
    count = len(seen)
    rate = FLIPS[:, None]
    shares = np.full(len(FLIPS), 1.0 / len(FLIPS))
    guess: Floats = np.ones(count) / count
    clear: Floats = np.linspace(1.0, 2.0, count)
    clear /= clear.sum()
    for _ in range(ROUNDS):
        clearly = (1.0 - 2.0 * rate) * clear
        wrong = rate * guess
        right = clearly + wrong
        # [rates, grade, grade of the other]
        same = _products(right, right) + _products(wrong, wrong)
        other = 2.0 * _products(right, wrong)
        weight_same = agreed / (shares @ same.reshape(len(FLIPS), -1)).reshape(agreed.shape)
        weight_other = differed / (shares @ other.reshape(len(FLIPS), -1)).reshape(agreed.shape)
        found = _products(clearly, right) * weight_same + _products(clearly, wrong) * weight_other
        were_clear = np.einsum("f,fgh->g", shares, found)
        shares = shares * (same * weight_same + other * weight_other).sum((1, 2))
        shares /= shares.sum()
        clear = were_clear + SMOOTHING
        clear /= clear.sum()
        guess = np.maximum(seen - were_clear, 0.0) + SMOOTHING
        guess /= guess.sum()
    return clear, guess


def _products(one: Floats, other: Floats) -> Floats:
    product: Floats = one[:, :, None] * other[:, None, :]
    return product
