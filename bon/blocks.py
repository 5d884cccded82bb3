"""What a strategy may learn across prompts, without anything depending on timing.

The input is cut into blocks, in its order. A strategy that takes a `profile` plays block b with what the
verdicts of blocks up to b-2 taught about the judge (`bon.posterior.learning`): two blocks are under way
at any time, so nobody waits but at the end of the slowest. One that takes `total_comparisons` is told in
the same way what is left of it: a price, the same for all prompts, so that the next comparison goes where
it tells most, and a cap for each prompt, so that the total is never exceeded.

The price. How many comparisons a price leads to is measured beforehand on a simulated judge, scaled by
what the blocks that are over have really spent, and solved for what is left a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import ceil
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from bon.catalog import Entrant
from bon.judge.simulated import flips, simulated
from bon.posterior.learning import WIDTH, evidence, learn
from bon.profile import UNKNOWN
from bon.simulate import play
from bon.tournament import Tournament
from bon.types import BonError, Comparison

Floats = npt.NDArray[np.float64]

BLOCK = 512
"""Prompts in a block."""
TURNS = 16
"""A budget is handed out in at least so many blocks: of a short input they are smaller than `BLOCK`."""
RECENT = 16
"""How many blocks back a profile looks, but for what grades mean."""
HEARD = 128
"""In how many tournaments of a block it looks."""
SPREAD = 4.0
"""How many times its even share a prompt may spend, while enough blocks are left to make up for it."""
PRICES = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
REHEARSALS, REHEARSED_SEATS = 24, 8
"""Tournaments, and their candidates, on which the price is tried out beforehand."""


class Blocks:
    """One strategy on one input: what to play on each prompt, given what came of earlier ones.

    Prompts are counted from 0 in input order. `sizes`: how many candidates each has, where that is known;
    a budget needs it. A strategy that learns nothing is played as it is, and nothing waits for anything.
    """

    def __init__(self, entrant: Entrant, sizes: Sequence[int] = ()) -> None:
        self._entrant = entrant
        self._profile = "profile" in entrant.known and "profile" not in entrant.arguments
        self._total: int | None = entrant.arguments.get("total_comparisons")
        self.learns = self._profile or self._total is not None
        self.size = BLOCK
        if self._total is not None:
            if self._total < 1:
                raise BonError(
                    f"{entrant.name}:total_comparisons is {self._total}: give 1 or more, or leave it out"
                )
            if not sizes:
                raise BonError(
                    f"{entrant.name}:total_comparisons is shared among all prompts, and how many there"
                    " are is not known beforehand here: give a file, or max_comparisons for each prompt"
                )
            self.size = max(1, min(BLOCK, ceil(len(sizes) / TURNS)))
        self._sizes = sizes
        self._over: dict[int, int] = {}
        self._settings: dict[int, Mapping[str, Any]] = {}
        self._evidence: dict[int, Floats] = {}
        self._graded = np.zeros(WIDTH)
        self._budget = (
            None if self._total is None else _Budget(entrant, self._total, sizes, self.size)
        )

    def ready(self, index: int) -> bool:
        """Whether everything that the play on this prompt depends on is over."""
        before = index // self.size - 1
        return not self.learns or all(
            self._over.get(block, 0) == self.size
            for block in range(max(0, before - RECENT - 1), before)
        )

    def heard(self, index: int) -> bool:
        """Whether the verdicts on this prompt are among those that profiles are made of."""
        used = not self._sizes or index // self.size + 2 <= (len(self._sizes) - 1) // self.size
        return self._profile and used and index % max(1, self.size // HEARD) == 0

    def strategy(self, index: int) -> Entrant:
        """What to play on a prompt that is `ready`."""
        settings = self.settings(index)
        entrant = self._entrant
        if not settings:
            return entrant
        return replace(entrant, arguments={**entrant.arguments, **settings})

    def settings(self, index: int) -> Mapping[str, Any]:
        """What the strategy is told beside its own parameters."""
        block = index // self.size
        if not self.learns:
            return {}
        if block not in self._settings:
            settings: dict[str, Any] = {}
            if self._profile and block >= 2:
                settings["profile"] = learn(self._rows(block - 1), self._graded)
            if self._budget is not None:
                self._budget.open(block)
            self._settings[block] = settings
        if self._budget is None:
            return self._settings[block]
        return {**self._settings[block], **self._budget.terms(index)}

    def over(self, index: int, comparisons: int, row: Floats | None = None) -> None:
        """Take note of a prompt that is over: what it cost, and its `evidence` where it is `heard`."""
        if not self.learns:
            return
        block = index // self.size
        self._over[block] = self._over.get(block, 0) + 1
        if row is not None:
            self._evidence[index] = row
        if self._budget is not None:
            self._budget.spent[index] = comparisons

    def played(self, index: int, n: int, comparisons: Sequence[Comparison]) -> None:
        """As `over`, from the comparisons of a tournament among n."""
        row = None
        if self.heard(index):
            row = evidence(n, comparisons, self.settings(index).get("profile", UNKNOWN))
        self.over(index, len(comparisons), row)

    def _rows(self, stop: int) -> list[Floats]:
        """The evidence of the blocks before `stop`, in input order; of what is too old, the grades stay.

        Once it is known what grades mean, play is steered by them and teaches no more about them.
        """
        first, last = (stop - RECENT) * self.size, stop * self.size
        for index in sorted(index for index in self._evidence if index < first):
            self._graded += self._evidence.pop(index)
        return [self._evidence[index] for index in sorted(self._evidence) if index < last]


class _Budget:
    """A number of comparisons, shared out among prompts block by block."""

    def __init__(self, entrant: Entrant, total: int, sizes: Sequence[int], block: int) -> None:
        if "price" not in entrant.known:
            raise BonError(f"{entrant.name} takes total_comparisons without a price: it needs both")
        self._total = total
        self._block = block
        self._weight = np.maximum(np.array(sizes, dtype=np.float64) - 1.0, 0.0)
        self._width = int(entrant.arguments.get("width", 1))
        self.spent = np.zeros(len(sizes), dtype=np.int64)
        self._caps = np.zeros(len(sizes), dtype=np.int64)
        self._price = np.zeros(len(sizes))
        self._opened = 0
        self._entrant = entrant

    @cached_property
    def _curve(self) -> list[float]:
        return _rehearsed(self._entrant)

    def open(self, block: int) -> None:
        """Set price and caps of the blocks up to this one that have none yet, each after the one before."""
        while self._opened <= block:
            self._set(self._opened)
            self._opened += 1

    def _set(self, block: int) -> None:
        """Price and caps of a block, by what the blocks up to two before it have spent."""
        over, start = max(0, block - 1) * self._block, block * self._block
        here, between, rest = (
            slice(start, start + self._block),
            slice(over, start),
            slice(start, None),
        )
        spent = float(self.spent[:over].sum())
        expected = self._weight * self._calls(self._price)
        few = 8.0 * self._curve[0] * self._weight.mean()
        scale = (spent + few) / (float(expected[:over].sum()) + few) if few else 1.0
        # what the block before this one may spend at most, and what it is expected to
        reserved = float(self._caps[between].sum())
        likely = min(reserved, scale * float(expected[between].sum()))
        weight = max(float(self._weight[rest].sum()), 1.0)
        wanted = (self._total - spent - likely) / weight / scale
        self._price[here] = np.interp(-wanted, -np.array(self._curve), PRICES)
        left = max(0.0, self._total - spent - reserved)
        # One comparison for each candidate but one, or as much of it as there is, belongs to every prompt:
        # a winner that met nobody is a guess, and no doubt about another is worth that.
        due = min(1.0, left / weight)
        turns = ceil(len(self._weight[rest]) / self._block)
        share = due + min(SPREAD, max(1.0, turns / 2.0)) * (left / weight - due)
        self._caps[here] = np.floor(share * self._weight[here])

    def terms(self, index: int) -> dict[str, Any]:
        """Price and cap of a prompt; a VOID may be asked again beyond it, which the cap allows for."""
        cap = max(0, int(self._caps[index]) - self._width)
        return {"price": float(self._price[index]), "total_comparisons": cap}

    def _calls(self, price: Floats) -> Floats:
        """Comparisons that a price leads to, for each candidate but one."""
        calls: Floats = np.interp(price, PRICES, self._curve)
        return calls


def _rehearsed(entrant: Entrant) -> list[float]:
    """Mean comparisons by `PRICES`, for each candidate but one, of judges that err more or less often."""
    seats, curve = REHEARSED_SEATS, list[float]()
    alone = {k: v for k, v in entrant.arguments.items() if k != "total_comparisons"}
    for price in PRICES:
        priced = replace(entrant, arguments={**alone, "price": price})
        calls = 0
        for turn in range(REHEARSALS):
            worth = Random(turn).sample(range(seats), seats)
            judge = simulated(flips(worth, 0.05 + 0.3 * turn / REHEARSALS), seed=turn)
            calls += len(
                play(Tournament(priced, seats, seed=f"rehearsal {turn}"), judge).comparisons
            )
        mean = calls / REHEARSALS / (seats - 1)
        curve.append(min(mean, curve[-1] - 1e-6) if curve else mean)
    return curve
