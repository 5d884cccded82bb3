"""What a result says about its judge and about itself, and what a person should know of it in words.

    diagnoses = list(diagnose(results))
    summary = summarise(diagnoses)
    print(*findings(summary), sep="\\n")

A `Diagnosis` counts within one result; a `Summary` adds up a run, with 95% intervals that know that
the comparisons of one prompt are not independent of each other. A VOID is in no rate but its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bon.accuracy import Interval, interval, is_right
from bon.grouping import group
from bon.rating import bradley_terry, copeland, probability_best, win_rate
from bon.rating.components import reachable
from bon.schema import totals
from bon.shape import by_rank, cross_table
from bon.types import Comparison, Decision, Outcome, Result, VoidReason


class Part(NamedTuple):
    """So many of so many."""

    hits: int
    of: int


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


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `of` over a run, with a 95% interval."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Means over the prompts whose truth is known."""

    prompts: int
    winner: Interval
    random: float
    majority: float
    oracle: float
    gain: Interval
    """The winner's accuracy less that of a random candidate."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run, added up. See `Diagnosis` for what each share is of."""

    prompts: int
    failed: int
    first_slot: Share
    flips: Share
    ties: Share
    voids: Share
    void_reasons: Mapping[VoidReason, int]
    coins: Share
    cyclic: Share
    longer: Share
    cut_off: Share
    agreement: Mapping[str, Share]
    p_best: float | None
    """Mean over the prompts."""
    uncertain: Share
    """Prompts whose winner is more likely not the best than the best."""
    cost: Mapping[str, int]
    accuracy: Accuracy | None


def diagnose(results: Iterable[Result]) -> Iterator[Diagnosis]:
    """A diagnosis for each result, in order."""
    return (diagnosis for _, diagnosis in diagnose_each(results))


def diagnose_each(
    results: Iterable[Result], batch: int = 128
) -> Iterator[tuple[Result, Diagnosis]]:
    """Each result with its diagnosis; ratings are fitted for `batch` of them at once."""
    stream = iter(results)
    while chunk := list(islice(stream, batch)):
        for result, rated in zip(chunk, _rate(chunk), strict=True):
            yield result, _count(result, *rated)


def summarise(diagnoses: Iterable[Diagnosis]) -> Summary:
    """Add up a run."""
    run = list(diagnoses)
    reasons: Counter[VoidReason] = Counter()
    cost: Counter[str] = Counter()
    for diagnosis in run:
        reasons.update(diagnosis.void_reasons)
        cost.update({k: v for k, v in diagnosis.cost.items() if k != "stages"})
    sure = [d.p_best for d in run if d.p_best is not None]
    ratings = sorted({name for d in run for name in d.agreement})
    return Summary(
        prompts=len(run),
        failed=sum(d.failed for d in run),
        first_slot=share(d.first_slot for d in run),
        flips=share(d.flips for d in run),
        ties=share(d.ties for d in run),
        voids=share(d.voids for d in run),
        void_reasons=dict(reasons.most_common()),
        coins=share(d.coins for d in run),
        cyclic=share(d.cyclic for d in run),
        longer=share(d.longer for d in run),
        cut_off=share(d.cut_off for d in run),
        agreement={
            name: share(Part(d.agreement[name], 1) for d in run if name in d.agreement)
            for name in ratings
        },
        p_best=sum(sure) / len(sure) if sure else None,
        uncertain=share(Part(p < 0.5, 1) for p in sure),
        cost=dict(cost) | {"stages": max((d.cost["stages"] for d in run), default=0)},
        accuracy=_accuracy([d.truth for d in run if d.truth is not None]),
    )


def share(parts: Iterable[Part]) -> Share:
    """The share over all parts, one part a prompt.

    Wilson's interval, on as many independent observations as the spread between prompts shows the
    comparisons to be worth (the linearised variance of a ratio; Cochran, Sampling Techniques, 6.4).
    """
    pairs = [part for part in parts if part.of]
    hits, of = sum(p.hits for p in pairs), sum(p.of for p in pairs)
    if not of:
        return Share(0, 0, 0.0, 1.0)
    p = hits / of
    worth = float(of)
    if len(pairs) > 1 and 0 < p < 1:
        spread = sum((part.hits - p * part.of) ** 2 for part in pairs)
        variance = spread / of**2 * len(pairs) / (len(pairs) - 1)
        worth = min(worth, p * (1 - p) / variance) if variance else worth
    z2 = 1.96**2
    middle = (p + z2 / (2 * worth)) / (1 + z2 / worth)
    reach = math.sqrt(z2 * (p * (1 - p) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    return Share(hits, of, max(0.0, middle - reach), min(1.0, middle + reach))


def as_json(told: Diagnosis | Summary) -> dict[str, Any]:
    """The numbers as JSON-ready data: a share is an object of `hits` and `of`."""

    def plain(value: Any) -> Any:
        if isinstance(value, Part):
            return value._asdict()
        if is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    data: dict[str, Any] = plain(told)
    return data


# --- one result -----------------------------------------------------------------------------------


def _count(
    result: Result, agreement: Mapping[str, bool], margin: float | None, p_best: float | None
) -> Diagnosis:
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
        longer=_longer(result),
        cut_off=Part(
            sum(c.finish_reason == "length" for c in result.candidates), len(result.candidates)
        ),
        agreement=agreement,
        margin=margin,
        p_best=p_best,
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


def _rate(
    results: Sequence[Result],
) -> Iterator[tuple[dict[str, bool], float | None, float | None]]:
    """For each result: which ratings agree with the winner, its margin, and its chance to be best."""
    seats = [{player: i for i, player in enumerate(by_rank(result))} for result in results]
    games = [
        (t, seats[t][c.first], seats[t][c.second], c.score_first)
        for t, result in enumerate(results)
        for c in result.comparisons
        if c.score_first is not None
    ]
    tournament, first, second = np.array([g[:3] for g in games], dtype=np.intp).reshape(-1, 3).T
    score = np.array([g[3] for g in games], dtype=np.float64)
    sizes = np.array([max(1, len(seat)) for seat in seats])
    fit = bradley_terry(first, second, score, n=sizes, tournament=tournament)
    best = probability_best(fit)
    ratings: dict[str, npt.NDArray[np.float64]] = {}
    if games:
        ratings = {
            "Bradley-Terry": fit.strength,
            "win rate": win_rate(first, second, score, n=sizes, tournament=tournament),
            "Copeland": copeland(first, second, score, n=sizes, tournament=tournament),
        }
    heard = set(tournament.tolist())
    for t, (result, seat) in enumerate(zip(results, seats, strict=True)):
        if result.winner is None:
            yield {}, None, None
            continue
        winner = seat[result.winner]
        agreement = {name: _is_best(r[t], winner) for name, r in ratings.items()}
        elo = {seat[s.candidate]: s.elo for s in result.ranking if s.elo is not None}
        if len(elo) == len(seat) > 1:
            rating = np.array([elo[i] for i in range(len(seat))])
            agreement["Elo"] = _is_best(rating, winner, ELO_NOISE)
        others = np.delete(fit.strength[t, : len(seat)], winner)
        margin = float(fit.strength[t, winner] - others.max()) if len(others) else None
        yield agreement if t in heard else {}, margin, float(best[t, winner])


ELO_NOISE = 0.5
"""Averaged over so many orders and no more, Elo tells candidates no closer than this apart."""


def _is_best(rating: npt.NDArray[np.float64], winner: int, slack: float = 1e-9) -> bool:
    """Whether nobody is rated above the winner; several may share the top."""
    told = rating[~np.isnan(rating)]
    return not len(told) or bool(rating[winner] >= told.max() - slack)


def _accuracy(truths: Sequence[Truth]) -> Accuracy | None:
    if not truths:
        return None
    winner, random, majority, oracle = np.array(
        [(t.winner, t.random, t.majority, t.oracle) for t in truths]
    ).T
    return Accuracy(
        prompts=len(truths),
        winner=_over_prompts(winner),
        random=float(random.mean()),
        majority=float(majority.mean()),
        oracle=float(oracle.mean()),
        gain=_over_prompts(winner - random),
    )


def _over_prompts(values: npt.NDArray[np.float64]) -> Interval:
    """A lone prompt has no spread to draw from."""
    return interval(values) if len(values) > 1 else Interval(*[float(values[0])] * 3)
