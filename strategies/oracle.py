"""The best there is, where the truth is known."""

from __future__ import annotations

from bon.tournament import Table
from bon.types import BonError


async def oracle(table: Table) -> int:
    """Oracle: a right candidate wherever there is one, equals by lot.

    Matches: 0. Stages: 0.
    Source: pass@N, the ceiling of any selection.
    Choose it to see how much there is to win.
    """
    if not table.truth:
        raise BonError(
            "oracle needs the truth: give `answer` with the prompts, or `correct` with the candidates"
        )
    luck = table.rng("oracle").sample(table.seats, table.n)
    return max(table.seats, key=lambda seat: (table.truth[seat], luck[seat]))
