"""Self-consistency: the final answer that most candidates give."""

from __future__ import annotations

from collections import Counter

from bon.tournament import Table


async def majority(table: Table) -> int:
    """Majority vote over final answers, equals by lot; no judge is asked.

    Matches: 0. Stages: 0.
    Source: self-consistency (arXiv 2203.11171).
    Choose it where final answers can be compared and most samples are right; it is what a judge has to beat.
    """
    votes: Counter[int] = Counter()
    for seat in table.seats:
        votes[table.teams[seat]] += table.sizes[seat]
    luck = table.rng("majority").sample(table.seats, table.n)
    return max(table.seats, key=lambda seat: (votes[table.teams[seat]], luck[seat]))
