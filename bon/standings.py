"""Who did best in a set of matches: the order that schedules without a bracket go by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bon.tournament import Table
from bon.types import Match


def mean_scores(seats: Sequence[int], matches: Iterable[Match]) -> dict[int, float]:
    """The share of its verdicts that each seat won; one half without any.

    A tie is half a win for both, a VOID is no verdict.
    """
    won = dict.fromkeys(seats, 0.0)
    heard = dict.fromkeys(seats, 0)
    for match in matches:
        for comparison in match.comparisons:
            score = comparison.score_first
            if score is not None:
                won[comparison.first] += score
                won[comparison.second] += 1.0 - score
                heard[comparison.first] += 1
                heard[comparison.second] += 1
    return {seat: won[seat] / heard[seat] if heard[seat] else 0.5 for seat in seats}


def standings(table: Table, seats: Sequence[int], matches: Sequence[Match]) -> list[int]:
    """Seats from best to worst: by mean score, then by the mean of those they met, then by lot."""
    mean = mean_scores(seats, matches)
    met: dict[int, list[float]] = {seat: [] for seat in seats}
    for match in matches:
        met[match.a].append(mean[match.b])
        met[match.b].append(mean[match.a])
    field = {seat: sum(means) / len(means) if means else 0.5 for seat, means in met.items()}
    luck = table.rng("standings").sample(table.seats, table.n)
    return sorted(seats, key=lambda seat: (-mean[seat], -round(field[seat], 9), luck[seat]))
