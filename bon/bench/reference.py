"""Yardsticks that are told what no strategy is told."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from bon.tournament import Strategy, Table
from bon.types import BonError

Floats = npt.NDArray[np.float64]
MOST_SEATS = 16


def exact_posterior(flip: float, error: float) -> Strategy:
    """Compare the likeliest best with its likeliest rival until one is sure enough, told the flip rate.

    The posterior is exact: every total order is as likely as any other before the first verdict. Summed
    over orders by subsets, 2^n steps a verdict, hence n up to 16.
    """
    if not 0.0 < error < 0.5:
        raise BonError(f"exact-posterior:error is {error:g}: give a chance between 0 and 0.5")

    async def strategy(table: Table) -> int:
        if table.n > MOST_SEATS:
            raise BonError(f"exact-posterior needs n of {MOST_SEATS} at most, not {table.n}")
        if table.n == 1:
            return 0
        posterior = Subsets(table.n, flip)
        luck = np.array(table.rng("exact").sample(range(table.n), table.n)) * 1e-12
        for call in range(200 * table.n):
            chance = posterior.best()
            rival, leader = (int(seat) for seat in np.argsort(chance + luck)[-2:])
            if chance[leader] >= 1.0 - error:
                return leader
            order = (leader, rival) if call % 2 else (rival, leader)
            winner = (await table.compare(*order)).winner
            if winner is not None:
                posterior.saw(winner, leader + rival - winner)
        return leader

    return strategy


class Subsets:
    """The posterior over total orders, each verdict wrong with chance `flip`: who is the best?"""

    def __init__(self, n: int, flip: float) -> None:
        self._n = n
        self._odds = flip / (1.0 - flip)
        self._above = np.ones((n, 1 << n))
        """[i, S]: likelihood, but for a factor, of what was seen between i and S where i is above all of S"""

    def saw(self, winner: int, loser: int) -> None:
        """Take a verdict: it was wrong wherever the loser is above."""
        self._above[loser, _with(self._n, winner)] *= self._odds

    def best(self) -> Floats:
        """For each candidate, the chance that it is the best."""
        below = np.ones(1 << self._n)
        """[S]: the sum over orders of S alone"""
        above = self._above.ravel()
        for sets, rest, one_above in _levels(self._n)[:-1]:
            below[sets] = (below[rest] * above[one_above]).sum(axis=1)
        _, rest, one_above = _levels(self._n)[-1]
        chance = (below[rest] * above[one_above])[0]
        share: Floats = chance / chance.sum()
        return share


@cache
def _with(n: int, member: int) -> npt.NDArray[np.intp]:
    sets = np.arange(1 << n)
    return np.flatnonzero(sets >> member & 1)


@cache
def _levels(
    n: int,
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """By size: the sets, each without one member, and the place of (that member, the rest) in `above`."""
    sets = np.arange(1 << n)
    inside = (sets[:, None] >> np.arange(n) & 1).astype(bool)
    levels = []
    for size in range(1, n + 1):
        some = np.flatnonzero(inside.sum(axis=1) == size)
        members = np.nonzero(inside[some])[1].reshape(len(some), size)
        rest = some[:, None] - (1 << members)
        levels.append((some, rest, members * (1 << n) + rest))
    return levels
