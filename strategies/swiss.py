"""Swiss system, without rematches."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

from bon.match import single
from bon.standings import standings
from bon.tournament import Rule, Table
from bon.types import BonError, Match

Pair = tuple[int, int]


async def swiss(table: Table, *, rounds: int = 0, rule: Rule = single) -> Sequence[int]:
    """Swiss: in each round those of equal standing meet, nobody twice; ranked by mean score.

    `rounds` of 0 are ceil(log2 n). As many as ceil(n / 2) can always be paired without a rematch; beyond
    that, those whom nobody is left to meet sit a round out.
    Matches: rounds floor(n / 2) at most. Stages: rounds under a one-stage rule.
    Source: V1-Infer (arXiv 2603.04304) refines by Swiss rounds; 3 n matches are rounds=6.
    Choose it when a ranking is wanted at a fixed price and there is time for several stages.
    """
    if rounds < 0:
        raise BonError(f"swiss:rounds is {rounds}: give at least 1, or 0 for ceil(log2 n)")
    matches: list[Match] = []
    for _ in range(rounds or ceil(log2(table.n))):
        order = standings(table, table.seats, matches)
        met = {frozenset((m.a, m.b)) for m in matches}
        pairs = pairing(order, met, rested(table.n, matches))
        matches += await table.together([table.match(a, b, rule) for a, b in pairs])
    return standings(table, table.seats, matches)


def rested(n: int, matches: Sequence[Match]) -> set[int]:
    """Those who sat out more often than others."""
    played = [sum(seat in (m.a, m.b) for m in matches) for seat in range(n)]
    return {seat for seat in range(n) if played[seat] < max(played)}


def pairing(order: Sequence[int], met: set[frozenset[int]], rested: set[int]) -> list[Pair]:
    """Pair from the top with the nearest not met; a pair left over at the end is mended upwards.

    Mending splits the lowest pair that can take the two in. As long as everybody has met fewer than
    half of the others, there always is one (the counting in Dirac's theorem).
    """
    nobody = -1
    taken = {frozenset((nobody, seat)) for seat in rested} | met
    waiting = [*order, nobody] if len(order) % 2 else list(order)

    def fresh(a: int, b: int) -> bool:
        return frozenset((a, b)) not in taken

    pairs: list[Pair] = []
    left: list[int] = []
    while waiting:
        a = waiting.pop(0)
        b = next((b for b in waiting if fresh(a, b)), None)
        if b is None:
            left.append(a)
        else:
            waiting.remove(b)
            pairs.append((a, b))
    while len(left) > 1:
        y, x = left.pop(), left.pop()
        for place in reversed(range(len(pairs))):
            a, b = pairs[place]
            if fresh(a, x) and fresh(b, y):
                pairs[place : place + 1] = [(a, x), (b, y)]
                break
            if fresh(a, y) and fresh(b, x):
                pairs[place : place + 1] = [(a, y), (b, x)]
                break
    return [pair for pair in pairs if nobody not in pair]
