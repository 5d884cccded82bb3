"""No tournament at all: the first sample."""

from __future__ import annotations

from bon.tournament import Table


async def first(table: Table) -> int:
    """First: the candidate that stands first in the input, what a single sample would have given.

    Matches: 0. Stages: 0.
    Source: pass@1 on one sample.
    Choose it to see what sampling more than once is worth.
    """
    return min(table.seats, key=lambda seat: table.places[seat])
