"""The highest score of a scalar reward model."""

from __future__ import annotations

from bon.tournament import Table
from bon.types import BonError


async def pointwise(table: Table) -> int:
    """Pointwise: the highest score, equals by lot; each candidate was scored by itself.

    Matches: 0. Stages: 0.
    Source: best-of-N with a scalar reward model (arXiv 2009.01325).
    Choose it where a scalar reward model is at hand and comparisons are too dear.
    """
    if not table.scores:
        raise BonError(
            "pointwise needs a score a candidate: name a reward model (--scorer),"
            " or give `score` in the input's candidates"
        )
    luck = table.rng("pointwise").sample(table.seats, table.n)
    return max(table.seats, key=lambda seat: (table.scores[seat], luck[seat]))
