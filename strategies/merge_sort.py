"""Merge sort."""

from __future__ import annotations

from collections.abc import Sequence

from bon.match import single
from bon.tournament import Rule, Table


async def merge_sort(table: Table, *, rule: Rule = single) -> Sequence[int]:
    """Merge sort: a whole ranking from few matches; trusts every one of them.

    Matches: n ceil(log2 n) - 2^ceil(log2 n) + 1 at most. Stages: under 2 n, halves being sorted side by side.
    Source: pairwise ranking prompting (arXiv 2306.17563) sorts by heap; merging needs fewer calls.
    Choose it when a whole ranking is wanted, the judge errs rarely, and stages do not matter.
    """

    async def ranked(seats: Sequence[int]) -> list[int]:
        if len(seats) < 2:
            return list(seats)
        half = len(seats) // 2
        left, right = await table.together([ranked(seats[:half]), ranked(seats[half:])])
        merged = []
        while left and right:
            side = left if await table.duel(left[0], right[0], rule) == left[0] else right
            merged.append(side.pop(0))
        return merged + left + right

    return await ranked(table.seats)
