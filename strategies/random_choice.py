"""No tournament at all: chance."""

from __future__ import annotations

from bon.tournament import Table


async def random_choice(table: Table) -> int:
    """Random: any candidate, each with the same chance.

    Matches: 0. Stages: 0.
    Source: the first baseline of any best-of-N.
    Choose it as the floor that any other has to beat.
    """
    return table.rng("random").choices(table.seats, weights=table.sizes)[0]
