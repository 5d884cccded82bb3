"""What a posterior says of n candidates, by world."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Beliefs(NamedTuple):
    """Arrays that a posterior keeps up to date in place; several share one, each in worlds of its own."""

    named: Floats
    """[n, worlds] The chance of each candidate to be the one to name; they sum to 1."""
    good: Floats
    """[n, worlds] The chance of each to be the best or equal to it."""
    given: Floats
    """[n, n, worlds] The chance of a to win the next verdict against b, were a the one to name."""
    wins: Floats
    """[n, n, worlds] The chance of a to win the next verdict against b, whatever the case."""

    @classmethod
    def empty(cls, n: int, worlds: int) -> Beliefs:
        """Arrays to be filled."""
        return cls(
            np.zeros((n, worlds)),
            np.zeros((n, worlds)),
            np.full((n, n, worlds), 0.5),
            np.full((n, n, worlds), 0.5),
        )

    def part(self, worlds: slice) -> Beliefs:
        """Those of some of the worlds; what is written there is written here."""
        return Beliefs(*(array[..., worlds] for array in self))
