"""The two shapes a tournament can be looked at in: its bracket, where it has one, and its cross table.

Both are read off the record, not off the strategy's name: whatever eliminates a candidate with its
first lost match is a bracket, also a user's own strategy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bon.types import Comparison, Decision, Match, Outcome, Result


@dataclass(frozen=True)
class Node:
    """One match of a bracket, with the two entrants: earlier matches, or candidates that enter here."""

    match: Match
    a: Node | int
    b: Node | int

    @cached_property
    def round(self) -> int:
        """0 for a match of two fresh candidates, otherwise one more than the later of its feeders."""
        feeders = (node.round for node in (self.a, self.b) if isinstance(node, Node))
        return 1 + max(feeders, default=-1)

    def __iter__(self) -> Iterator[Node]:
        """Every match of the subtree from top to bottom, feeders before what they feed."""
        for entrant in (self.a, self.b):
            if isinstance(entrant, Node):
                yield from entrant
        yield self


def bracket(result: Result) -> Node | None:
    """The final of the tournament, if its matches are a single elimination; otherwise None."""
    if len(result.matches) > len(result.candidates):
        return None
    unfinished: dict[int, Node] = {}
    out: set[int] = set()
    final = None
    for match in sorted(result.matches, key=lambda m: m.stage):
        if out & {match.a, match.b}:
            return None
        final = Node(match, unfinished.pop(match.a, match.a), unfinished.pop(match.b, match.b))
        unfinished[match.winner] = final
        out.add(match.b if match.winner == match.a else match.a)
    whole = len(unfinished) == 1 and final is not None and final.match.winner == result.winner
    # A strategy may also weigh comparisons outside any match: those a bracket could not show.
    in_matches = {id(c) for m in result.matches for c in m.comparisons}
    outside = any(c.score_first is not None and id(c) not in in_matches for c in result.comparisons)
    return final if whole and not outside else None


UNDECIDED = -1
"""The winner of a match without one, in a bracket that is still being played."""


def forest(comparisons: Sequence[Comparison]) -> tuple[Node, ...] | None:
    """The matches of a single elimination that is not over, as trees; None where it is none.

    Read off the comparisons in the order in which they came: who has gone on has won, and who leads the
    verdicts of a match that nobody has left is its winner by now.
    """
    met: dict[tuple[int, int], float] = {}
    for c in comparisons:
        pair = min(c.first, c.second), max(c.first, c.second)
        lead = 0.0 if c.score_first is None else c.score_first - 0.5
        met[pair] = met.get(pair, 0.0) + (lead if c.first == pair[0] else -lead)
    gone_on: dict[tuple[int, int], int] = {}
    last: dict[int, tuple[int, int]] = {}
    for pair in met:
        for entrant in pair:
            earlier = last.get(entrant)
            if earlier is not None and gone_on.setdefault(earlier, entrant) != entrant:
                return None
            last[entrant] = pair
    nodes: dict[tuple[int, int], Node] = {}
    last.clear()
    for (a, b), lead in met.items():
        leader = UNDECIDED if lead == 0 else a if lead > 0 else b
        winner = gone_on.get((a, b), leader)
        if leader not in (winner, UNDECIDED):
            return None
        feeders = [nodes.pop(last[c]) if c in last else c for c in (a, b)]
        nodes[a, b] = Node(Match(a, b, winner, Decision.VERDICTS, 0), *feeders)
        last[a] = last[b] = (a, b)
    return tuple(nodes.values())


@dataclass(slots=True)
class Tally:
    """What the judge said of one pair, both orders together."""

    wins: int = 0
    losses: int = 0
    ties: int = 0
    voids: int = 0

    @property
    def verdicts(self) -> int:
        return self.wins + self.losses + self.ties

    @property
    def score(self) -> float | None:
        """Share of the verdicts won, a tie counting one half; None where there is no verdict."""
        return (self.wins + self.ties / 2) / self.verdicts if self.verdicts else None


def cross_table(result: Result) -> Mapping[tuple[int, int], Tally]:
    """Tallies by (row, column) from the row's side; a pair that was never asked is absent."""
    table: dict[tuple[int, int], Tally] = {}
    for c in result.comparisons:
        forth = table.setdefault((c.first, c.second), Tally())
        back = table.setdefault((c.second, c.first), Tally())
        match c.verdict.outcome:
            case Outcome.FIRST:
                forth.wins += 1
                back.losses += 1
            case Outcome.SECOND:
                forth.losses += 1
                back.wins += 1
            case Outcome.TIE:
                forth.ties += 1
                back.ties += 1
            case Outcome.VOID:
                forth.voids += 1
                back.voids += 1
    return table


def by_rank(result: Result) -> list[int]:
    """Candidates that played from best to worst: as ranked, the winner first, the rest as numbered."""
    ranked = [s.candidate for s in sorted(result.ranking, key=lambda s: s.rank)]
    played = {c for m in result.matches for c in (m.a, m.b)}
    played |= {c for x in result.comparisons for c in (x.first, x.second)}
    if result.winner is not None:
        played.add(result.winner)
    rest = sorted(played - set(ranked), key=lambda c: (c != result.winner, c))
    return ranked + rest
