"""Small judges of seats for tests of logic, and ways to read what a tournament did."""

from __future__ import annotations

from collections.abc import Sequence

from bon.judge.simulated import SeatJudge, flips, simulated
from bon.tournament import Ask, Tournament
from bon.types import Comparison, Match, Outcome, Verdict, VoidReason

FIRST, SECOND, TIE = (Verdict(o) for o in (Outcome.FIRST, Outcome.SECOND, Outcome.TIE))
VOID = Verdict(Outcome.VOID, void_reason=VoidReason.UNPARSABLE)


def always(verdict: Verdict) -> SeatJudge:
    return lambda first, second, repeat, attempt: verdict


def perfect(worth: Sequence[float]) -> SeatJudge:
    return simulated(flips(worth, 0.0))


def faulty(seed: int) -> SeatJudge:
    """A judge with every fault at once, for 65 seats at most: the higher seat is the better."""
    return simulated(
        flips(range(65), 0.3),
        seed=seed,
        bias=0.5,
        ties=0.1,
        voids={VoidReason.FAILED: 0.1, VoidReason.TRUNCATED: 0.1},
    )


Record = tuple[tuple[int, ...], tuple[Comparison, ...], tuple[Match, ...], int]


def record(tournament: Tournament) -> Record:
    """All that a tournament reports."""
    return tournament.order, tournament.comparisons, tournament.matches, tournament.stages


def calls(tournament: Tournament) -> list[Ask]:
    """The calls that counted."""
    return [Ask(c.first, c.second, c.repeat, c.attempt) for c in tournament.comparisons]
