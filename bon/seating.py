"""From candidates to the seats of a tournament, and from its end back to a result about candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from typing import Any

from bon.accuracy import is_right
from bon.grouping import group
from bon.ranker import rank
from bon.tournament import Strategy, Tournament
from bon.types import Candidate, Comparison, Match, Prompt, Result


@dataclass(frozen=True)
class Seating:
    """A tournament with who sits where: `seats[seat]` is a candidate, `groups` says who plays for whom."""

    prompt: Prompt
    candidates: tuple[Candidate, ...]
    groups: tuple[int, ...]
    seats: tuple[int, ...]
    tournament: Tournament

    @property
    def texts(self) -> list[str]:
        """The response in each seat."""
        return [self.candidates[candidate].text for candidate in self.seats]


def seat(
    prompt: Prompt,
    candidates: Sequence[Candidate],
    strategy: Strategy,
    *,
    group_by: str,
    seed: int,
) -> Seating:
    """Deal the candidates that play to seats at random, by the seed and the prompt alone."""
    key = repr((seed, prompt.id, prompt.messages)).encode(errors="surrogatepass")
    tournament_seed = blake2b(key, digest_size=16).hexdigest()
    groups = group(candidates, group_by)
    sizes = Counter(groups)
    players = sorted(sizes)
    seats = tuple(Random(tournament_seed).sample(players, len(players)))
    seated = [candidates[player] for player in seats]
    tournament = Tournament(
        strategy,
        len(seats),
        seed=tournament_seed,
        sizes=[sizes[player] for player in seats],
        places=seats,
        teams=group(seated, "number" if group_by in ("exact", "none") else group_by),
        scores=_known([candidate.score for candidate in seated]),
        truth=_known([_right(candidate, prompt) for candidate in seated]),
    )
    return Seating(prompt, tuple(candidates), groups, seats, tournament)


def _right(candidate: Candidate, prompt: Prompt) -> bool | None:
    if candidate.correct is not None or prompt.answer is None:
        return candidate.correct
    return is_right(candidate.text, prompt.answer)


def _known(values: Sequence[float | None]) -> list[float]:
    """The values, or nothing where one is missing."""
    known = [float(value) for value in values if value is not None]
    return known if len(known) == len(values) else []


def result_of(
    seating: Seating, provenance: Mapping[str, Any], cut_short: str | None = None
) -> Result:
    """The result of a tournament that is over, seats turned back into candidates.

    One that was `cut_short` has no order of its own: its winner is the best so far by the ranker.
    """
    tournament, seats = seating.tournament, seating.seats
    played, matches = tournament.comparisons, tournament.matches
    ranking = rank(len(seats), tournament.order, played, matches)
    comparisons = {id(c): _renamed(c, seats) for c in played}
    return Result(
        prompt=seating.prompt,
        candidates=seating.candidates,
        groups=seating.groups,
        winner=seats[ranking[0].candidate],
        ranking=tuple(replace(place, candidate=seats[place.candidate]) for place in ranking),
        matches=tuple(
            Match(
                seats[m.a],
                seats[m.b],
                seats[m.winner],
                m.decision,
                m.stage,
                tuple(comparisons[id(c)] for c in m.comparisons),
            )
            for m in matches
        ),
        comparisons=tuple(comparisons.values()),
        provenance=provenance,
        cut_short=cut_short,
    )


def _renamed(comparison: Comparison, seats: Sequence[int]) -> Comparison:
    c = comparison
    return Comparison(seats[c.first], seats[c.second], c.repeat, c.attempt, c.stage, c.verdict)
