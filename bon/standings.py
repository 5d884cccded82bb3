"""Who did best in a set of matches: the order that schedules of unequal opponents go by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bon.tournament import Table
from bon.types import Decision, Match


def win_rates(seats: Sequence[int], matches: Iterable[Match]) -> dict[int, float]:
    """The share of its matches that each seat won; a coin's match counts one half, no match as well."""
    won = dict.fromkeys(seats, 0.0)
    played = dict.fromkeys(seats, 0)
    for match in matches:
        for seat in (match.a, match.b):
            told = match.decision is Decision.VERDICTS
            won[seat] += float(match.winner == seat) if told else 0.5
            played[seat] += 1
    return {seat: won[seat] / played[seat] if played[seat] else 0.5 for seat in seats}


def standings(table: Table, seats: Sequence[int], matches: Sequence[Match]) -> list[int]:
    """Seats from best to worst: by win rate, then by the mean rate of those they met, then by lot."""
    rate = win_rates(seats, matches)
    met: dict[int, list[float]] = {seat: [] for seat in seats}
    for match in matches:
        met[match.a].append(rate[match.b])
        met[match.b].append(rate[match.a])
    field = {seat: sum(rates) / len(rates) if rates else 0.5 for seat, rates in met.items()}
    luck = table.rng("standings").sample(table.seats, table.n)
    return sorted(seats, key=lambda seat: (-rate[seat], -field[seat], luck[seat]))
