"""What grades of a judge mean, found without knowing who was right.

The model. A verdict on a pair that flips at rate f is *clear* with chance 1 - 2 f, and then names the one
that the judge means to prefer; otherwise it is a *guess*, a coin that falls for the first slot as often as
the judge's position bias says. Clear verdicts and guesses have grades by laws of their own. Two verdicts
on one pair, one in each order, that name two winners hold a guess, and what grade each had is all there
is to see: the two laws, and how many pairs flip at which rate, are those under which the grades of pairs
judged twice are likeliest (expectation and maximization; Dempster, Laird and Rubin, 1977). As with raters
whose skill is learned from one another (Dawid and Skene, 1979), no label enters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bon.posterior.worlds import FLIPS

Floats = npt.NDArray[np.float64]

ROUNDS = 1000
"""Of expectation and maximization, at most."""
SETTLED = 1e-7
"""The largest change of a chance at which it ends."""
SMOOTHING = 1.0
"""How many verdicts of each grade count as seen, by either law, before any was."""


def laws(agreed: Floats, differed: Floats, bias: float = 0.0) -> tuple[Floats, Floats]:
    """How often clear verdicts have each grade, and guesses [grades], [grades].

    `agreed`, `differed` [grades, grades]: how many pairs of verdicts, one in each order, had these two
    grades. `bias`: what the first slot is worth to a guess, in log-odds.
    """
    agreed, differed = (agreed + agreed.T) / 2.0, (differed + differed.T) / 2.0
    seen = (agreed + differed).sum(1)
    first = 1.0 / (1.0 + np.exp(-bias))
    alike = 2.0 * first * (1.0 - first)  # two guesses that name the same one, in either slot once
    rate = FLIPS[:, None]
    shares: Floats = np.ones(len(FLIPS)) / len(FLIPS)
    # pairs of guesses apart, agreement beyond what differs is that of clear verdicts
    clear = _law(np.maximum((agreed - differed).sum(1), 0.0))
    guess = _law(np.maximum(seen - (agreed - differed).sum(1), 0.0))
    for _ in range(ROUNDS):
        before = clear, guess
        clearly, guessed = (1.0 - 2.0 * rate) * clear, 2.0 * rate * guess
        # [rates, grade, grade of the other]
        both, neither = _pairs(clearly, clearly), _pairs(guessed, guessed)
        one = 0.5 * _pairs(clearly, guessed)
        mixed = one + one.swapaxes(1, 2)
        same = both + mixed + alike * neither
        other = mixed + (1.0 - alike) * neither
        in_same = agreed / np.einsum("f,fgh->gh", shares, same)
        in_other = differed / np.einsum("f,fgh->gh", shares, other)
        were_clear = np.einsum("f,fgh->g", shares, (both + one) * in_same + one * in_other)
        shares = shares * (same * in_same + other * in_other).sum((1, 2))
        shares /= shares.sum()
        clear, guess = _law(were_clear), _law(np.maximum(seen - were_clear, 0.0))
        if max(np.abs(clear - before[0]).max(), np.abs(guess - before[1]).max()) < SETTLED:
            break
    return clear, guess


def _law(verdicts: Floats) -> Floats:
    law: Floats = verdicts + SMOOTHING
    law /= law.sum()
    return law


def _pairs(one: Floats, other: Floats) -> Floats:
    product: Floats = one[:, :, None] * other[:, None, :]
    return product
