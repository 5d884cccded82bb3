"""What a result says about its judge and about itself.

A `Diagnosis` counts within one result; `bon.summary` adds up a run. A VOID is in no rate but its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from bon.accuracy import is_right
from bon.grouping import group
from bon.rating import bradley_terry, probability_best
from bon.rating.components import components_of, reachable
from bon.rating.counts import counted
from bon.schema import result_to_json, totals
from bon.shape import by_rank, cross_table
from bon.shares import Part, share
from bon.types import Comparison, Decision, Outcome, Result, VoidReason


@dataclass(frozen=True, slots=True)
class Truth:
    """How often each way of choosing is right where the true answer is known, 0 to 1."""

    right: tuple[bool, ...]
    """For each candidate."""
    winner: float
    random: float
    """The expected share of a candidate drawn at random."""
    majority: float
    """A candidate of the largest group of equal answers, drawn where several are largest."""
    oracle: float
    """1 where any candidate is right."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One result, counted."""

    first_slot: Part
    """Decided comparisons that named the first slot."""
    flips: Part
    """Pairs asked in both orders of which the two verdicts differ, a tie against a win included."""
    ties: Part
    voids: Part
    void_reasons: Mapping[VoidReason, int]
    coins: Part
    """Matches that a coin decided."""
    cyclic: Part
    """Triples of candidates, each pair decided, that go round in a circle (25% under a blind judge)."""
    contradictions: tuple[tuple[int, ...], ...]
    """Strongly connected components of more than one candidate: each is better than every other."""
    components: tuple[tuple[int, ...], ...]
    """The groups that verdicts connect, where there are several: strengths of different groups cannot
    be compared. Empty where everybody who played is in one."""
    longer: Part
    """Decided comparisons of responses of different lengths that named the longer one."""
    cut_off: Part
    """Candidates that hit the policy's token limit."""
    agreement: Mapping[str, bool]
    """By rating: whether the winner is its best too; empty where there is no verdict to rate by."""
    margin: float | None
    """The winner's strength less that of the best other candidate; below 0 where that one is stronger."""
    p_best: float | None
    """Posterior probability that the winner is the best of those that played."""
    cost: Mapping[str, int]
    truth: Truth | None
    failed: bool
    """Whether there is no winner."""


def diagnose(results: Iterable[Result]) -> Iterator[Diagnosis]:
    """A diagnosis for each result, in order."""
    return (diagnosis for _, diagnosis in diagnose_each(results))


def diagnosed(result: Result, diagnosis: Diagnosis) -> dict[str, Any]:
    """The row of a result: as the schema has it, with its diagnosis. A share has its 95% interval."""

    def plain(value: Any) -> Any:
        if isinstance(value, Part):
            part = share([value])
            return {"hits": part.hits, "of": part.of, "low": part.low, "high": part.high}
        if isinstance(value, Truth):
            return asdict(value)
        return value

    told = {name: plain(getattr(diagnosis, name)) for name in Diagnosis.__dataclass_fields__}
    del told["cost"], told["failed"]  # which are the row's `totals` and `error`
    told["void_reasons"] = {str(r): diagnosis.void_reasons.get(r, 0) for r in VoidReason}
    told["agreement"] = {name: diagnosis.agreement.get(name) for name in RATINGS}
    return result_to_json(result) | {"diagnostics": told}


def diagnose_each(
    results: Iterable[Result], batch: int = 128
) -> Iterator[tuple[Result, Diagnosis]]:
    """Each result with its diagnosis; ratings are fitted for `batch` of them at once."""
    stream = iter(results)
    while chunk := list(islice(stream, batch)):
        for result, rated in zip(chunk, _rate(chunk), strict=True):
            yield result, _count(result, rated)


# --- one result -----------------------------------------------------------------------------------


def _count(result: Result, rated: _Rated) -> Diagnosis:
    outcomes = Counter(c.verdict.outcome for c in result.comparisons)
    decided = outcomes[Outcome.FIRST] + outcomes[Outcome.SECOND]
    verdicts = decided + outcomes[Outcome.TIE]
    reasons = Counter(c.verdict.void_reason for c in result.comparisons if c.verdict.void_reason)
    cyclic, contradictions = _contradictions(result)
    return Diagnosis(
        first_slot=Part(outcomes[Outcome.FIRST], decided),
        flips=_flips(result.comparisons),
        ties=Part(outcomes[Outcome.TIE], verdicts),
        voids=Part(outcomes[Outcome.VOID], len(result.comparisons)),
        void_reasons=dict(reasons),
        coins=Part(
            sum(m.decision is not Decision.VERDICTS for m in result.matches), len(result.matches)
        ),
        cyclic=cyclic,
        contradictions=contradictions,
        components=rated.components,
        longer=_longer(result),
        cut_off=Part(
            sum(c.finish_reason == "length" for c in result.candidates), len(result.candidates)
        ),
        agreement=rated.agreement,
        margin=rated.margin,
        p_best=rated.p_best,
        cost=totals(result),
        truth=_truth(result),
        failed=result.winner is None,
    )


def _flips(comparisons: Sequence[Comparison]) -> Part:
    votes: dict[tuple[int, int, int], dict[bool, float]] = {}
    for c in comparisons:
        if c.score_first is not None:
            low, high = sorted((c.first, c.second))
            in_order = c.first == low
            score_low = c.score_first if in_order else 1 - c.score_first
            votes.setdefault((low, high, c.repeat), {})[in_order] = score_low
    both = [vote for vote in votes.values() if len(vote) == 2]
    return Part(sum(vote[True] != vote[False] for vote in both), len(both))


def _longer(result: Result) -> Part:
    lengths = [len(candidate.text) for candidate in result.candidates]
    won = [
        lengths[c.winner] > lengths[c.first + c.second - c.winner]
        for c in result.comparisons
        if c.winner is not None and lengths[c.first] != lengths[c.second]
    ]
    return Part(sum(won), len(won))


def _contradictions(result: Result) -> tuple[Part, tuple[tuple[int, ...], ...]]:
    players = sorted(by_rank(result))
    place = {player: i for i, player in enumerate(players)}
    beats = np.zeros((len(players), len(players)), dtype=bool)
    for (row, column), tally in cross_table(result).items():
        beats[place[row], place[column]] = tally.wins > tally.losses
    if len(players) < 3:
        return Part(0, 0), ()
    edges = beats.astype(np.float64)
    either = edges + edges.T
    cyclic = round(float(np.trace(edges @ edges @ edges)) / 3)
    triples = round(float(np.trace(either @ either @ either)) / 6)
    reach = reachable(beats)
    mutual = reach & reach.T
    groups = {tuple(np.flatnonzero(row).tolist()) for row in mutual if row.sum() > 1}
    return Part(cyclic, triples), tuple(
        tuple(players[i] for i in group) for group in sorted(groups)
    )


def _truth(result: Result) -> Truth | None:
    answer = result.prompt.answer
    known = [
        c.correct if answer is None or c.correct is not None else is_right(c.text, answer)
        for c in result.candidates
    ]
    right = tuple(r for r in known if r is not None)
    if not right or len(right) < len(known):
        return None
    # Whole texts seldom agree: a vote among them needs the answers that they end in.
    how = result.provenance.get("group_by")
    votes = Counter(group(result.candidates, how if how in ("boxed", "number") else "number"))
    most = max(votes.values())
    majority = [right[candidate] for candidate, count in votes.items() if count == most]
    return Truth(
        right,
        winner=float(result.winner is not None and right[result.winner]),
        random=sum(right) / len(right),
        majority=sum(majority) / len(majority),
        oracle=float(any(right)),
    )


# --- many results at once -------------------------------------------------------------------------


class _Rated(NamedTuple):
    """What ratings make of a result."""

    agreement: Mapping[str, bool]
    margin: float | None
    p_best: float | None
    components: tuple[tuple[int, ...], ...]


def _rate(results: Sequence[Result]) -> Iterator[_Rated]:
    """Ratings of each result, fitted side by side."""
    players = [by_rank(result) for result in results]
    seats = [{player: i for i, player in enumerate(ranked)} for ranked in players]
    games = [
        (t, seats[t][c.first], seats[t][c.second], c.score_first)
        for t, result in enumerate(results)
        for c in result.comparisons
        if c.score_first is not None
    ]
    tournament, first, second = np.array([g[:3] for g in games], dtype=np.intp).reshape(-1, 3).T
    score = np.array([g[3] for g in games], dtype=np.float64)
    sizes = np.array([len(ranked) for ranked in players])
    fit = bradley_terry(first, second, score, n=sizes, tournament=tournament)
    best = probability_best(fit)
    connected = components_of(fit.fit.games)
    ratings = {"Bradley-Terry": fit.strength} | counted(fit.fit.games)
    rows = {name: rating.tolist() for name, rating in ratings.items()}
    heard = set(tournament.tolist())
    for t, (result, ranked, seat) in enumerate(zip(results, players, seats, strict=True)):
        groups = [tuple(sorted(ranked[i] for i in group)) for group in connected[t]]
        components = tuple(sorted(groups)) if len(groups) > 1 else ()
        if result.winner is None:
            yield _Rated({}, None, None, components)
            continue
        winner = seat[result.winner]
        agreement = {name: _is_best(row[t], winner) for name, row in rows.items()}
        elo = {seat[s.candidate]: s.elo for s in result.ranking if s.elo is not None}
        if len(elo) == len(seat) > 1:
            agreement["Elo"] = _is_best([elo[i] for i in seat.values()], winner, ELO_NOISE)
        strength = rows["Bradley-Terry"][t][: len(seat)]
        others = strength[:winner] + strength[winner + 1 :]
        margin = strength[winner] - max(others) if others else None
        yield _Rated(agreement if t in heard else {}, margin, float(best[t, winner]), components)


RATINGS = ("Bradley-Terry", "win rate", "Copeland", "PageRank", "Elo")

ELO_NOISE = 0.5
"""Averaged over so many orders and no more, Elo tells candidates no closer than this apart."""


def _is_best(rating: Sequence[float], winner: int, slack: float = 1e-9) -> bool:
    """Whether nobody is rated above the winner; several may share the top. NaN: not rated."""
    told = [value for value in rating if value == value]
    return not told or rating[winner] >= max(told) - slack
