"""What Python users get: the best response, and how it was found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bon.graph import comparison_graph
from bon.schema import totals
from bon.types import BonError, Candidate, Comparison, Result, Standing

if TYPE_CHECKING:
    from bon.graph import Graph


@dataclass(frozen=True)
class Answer:
    """The best of the candidates. `str()` is its text, `result` the whole record."""

    result: Result

    @property
    def text(self) -> str:
        """The winning response. Raises `BonError` where there is none; `error` then says why."""
        if self.result.winner is None:
            raise BonError(self.result.error or "there is no winner")
        return self.result.candidates[self.result.winner].text

    @property
    def error(self) -> str | None:
        """Why there is no winner, where there is none."""
        return self.result.error

    @property
    def cut_short(self) -> str | None:
        """Why the tournament ended early, where it did; the best so far won."""
        return self.result.cut_short

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates, in the order in which they were made."""
        return self.result.candidates

    @property
    def ranking(self) -> tuple[Standing, ...]:
        """Those that played, best first, with their ratings; `candidate` is a place in `candidates`."""
        return self.result.ranking

    @property
    def order(self) -> tuple[int, ...]:
        """Places of all candidates, best first; one that another played for comes right after it."""
        groups = self.result.groups
        return tuple(
            candidate
            for player in (standing.candidate for standing in self.result.ranking)
            for candidate in sorted(range(len(groups)), key=player.__ne__)
            if groups[candidate] == player
        )

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every judge call, with the judge's reasoning."""
        return self.result.comparisons

    @cached_property
    def graph(self) -> Graph:
        """The comparisons as a networkx graph (`bon.graph`)."""
        return comparison_graph(self.result)

    @property
    def usage(self) -> dict[str, Any]:
        """What it cost: comparisons, stages, tokens of policy and judge (`totals` of the output format)."""
        return totals(self.result)

    def __str__(self) -> str:
        return self.text
