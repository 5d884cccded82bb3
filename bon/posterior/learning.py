"""From verdicts to a judge profile: what holds for a judge on any prompt.

Each tournament gives a row of evidence, made anew from its verdicts alone, and `learn` reads many rows.
Likelihoods, not counts: which pairs are asked again depends on what was heard, and a share of
disagreements among those would be of the pairs that looked doubtful. Counts of grades are of pairs that
were asked again for their verdicts, never for their grades, whose laws are the same on pairs of any kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bon.posterior.best import BestPosterior
from bon.posterior.grades import laws
from bon.posterior.worlds import BIASES, FLIPS, WORLDS
from bon.profile import GRADES, UNKNOWN, Profile, grade_of
from bon.types import Comparison, Outcome, Result

Floats = npt.NDArray[np.float64]

_K, _B, _G = len(WORLDS), len(BIASES), len(GRADES) + 1
_WORLDS, _BIASES = slice(0, _K), slice(_K, _K + _B)
_TIES, _VERDICTS = _K + _B, _K + _B + 1
_AGREED = slice(_VERDICTS + 1, _VERDICTS + 1 + _G**2)
_DIFFERED = slice(_AGREED.stop, _AGREED.stop + _G**2)
WIDTH = _DIFFERED.stop
"""How many numbers a row of evidence has."""
GRADED = slice(_AGREED.start, _DIFFERED.stop)
"""Those of them that are counts of grades."""
STEP = float(BIASES[1] - BIASES[0])
"""Between two of `BIASES`; within one, nothing tells where the bias is."""

CAUTION = 10.0
"""How many tournaments the prior weights of the worlds count as."""
ENOUGH = 200.0
"""Graded verdicts whose pair was judged again, below which grades say nothing."""


def evidence(
    n: int, comparisons: Iterable[Comparison], profile: Profile = UNKNOWN, *, steered: bool = False
) -> Floats:
    """What the verdicts of one tournament say about the judge [`WIDTH`]; `n` candidates took part.

    `profile` is the one that it was played by. Where that knows what grades mean, they help to tell what
    kind of judge this is, and teach no more about grades, for which pairs were judged again depended on
    them; nor do they where it was `steered` by them in another way.
    """
    posterior = BestPosterior(n)
    row = np.zeros(WIDTH)
    last: dict[tuple[int, int], Comparison] = {}
    for heard in comparisons:
        score = heard.score_first
        if score is None:
            continue
        posterior.tell(heard.first, heard.second, score, profile.grade(heard.verdict.p_first))
        row[_VERDICTS] += 1.0
        row[_TIES] += heard.verdict.outcome is Outcome.TIE
        other_order = last.pop((heard.second, heard.first), None)
        if other_order is None:
            last[heard.first, heard.second] = heard
        elif not (steered or profile.clear):
            _pair(row, other_order, heard)
    row[_WORLDS], row[_BIASES] = posterior.world_evidence, posterior.bias_evidence
    return row


def _pair(row: Floats, one: Comparison, other: Comparison) -> None:
    """Count the grades of two verdicts on a pair, where both have one and name a winner."""
    grades = grade_of(one.verdict.p_first), grade_of(other.verdict.p_first)
    if None in grades or None in (one.winner, other.winner):
        return
    counts = row[_AGREED if one.winner == other.winner else _DIFFERED].reshape(_G, _G)
    counts[grades] += 1.0


def study(results: Iterable[Result]) -> Profile | None:
    """The profile that these results show; None where they hold no comparison.

    What `adaptive` played by a profile teaches nothing about grades: it chose by them whom to ask again.
    """
    told: list[tuple[int, Sequence[Comparison], bool]] = []
    for result in results:
        if not result.comparisons:
            continue
        by = str(result.provenance.get("strategy", ""))
        steered = by.startswith("adaptive") and "profile=unknown" not in by
        # without their texts, which are most of them
        bare = [
            replace(it, verdict=replace(it.verdict, reasoning="", text=""))
            for it in result.comparisons
        ]
        told.append((len(result.candidates), bare, steered))
    if not told:
        return None
    profile = learn([evidence(n, bare, steered=steered) for n, bare, steered in told])
    if not profile.clear:
        return profile
    # what grades mean helps to tell what kind of judge this is
    graded = learn([evidence(n, bare, profile) for n, bare, _ in told])
    return replace(graded, clear=profile.clear, guess=profile.guess)


def learn(rows: Sequence[Floats], graded: Floats | None = None) -> Profile:
    """The profile that these tournaments show; the one of an unknown judge where there are none.

    `graded`: evidence of others, added up, that are too old for all else but what grades mean.
    """
    if not len(rows):
        return UNKNOWN
    table = np.array(rows)
    total = table.sum(0)
    if graded is not None:
        total[GRADED] += graded[GRADED]
    worlds = _shares(table[:, _WORLDS])
    log_bias = total[_BIASES] - 0.5 * (BIASES / UNKNOWN.bias_sd) ** 2
    weight = np.exp(log_bias - log_bias.max())
    weight /= weight.sum()
    bias = float(weight @ BIASES)
    law = np.array([world.law for world in WORLDS])
    rates = law @ FLIPS
    misled = np.array([world.misled for world in WORLDS])
    flip = float(worlds @ (misled + (1.0 - 2.0 * misled) * rates))
    agreed, differed = total[_AGREED].reshape(_G, _G), total[_DIFFERED].reshape(_G, _G)
    enough = 2.0 * (agreed + differed).sum() >= ENOUGH
    clear, guess = laws(agreed, differed, bias) if enough else ((), ())
    return Profile(
        bias=bias,
        bias_sd=float(weight @ (BIASES - bias) ** 2 + STEP**2 / 12.0) ** 0.5,
        tie_rate=float(total[_TIES] / max(total[_VERDICTS], 1.0)),
        flip_rate=flip,
        worlds=tuple(float(share) for share in worlds),
        clear=tuple(float(share) for share in clear),
        guess=tuple(float(share) for share in guess),
    )


def _shares(evidences: Floats) -> Floats:
    """How often each world is met: the most likely shares, with the prior's as if `CAUTION` had been seen."""
    prior = np.array([world.prior for world in WORLDS])
    foretold = np.exp(evidences - evidences.max(1, keepdims=True))
    shares = prior
    for _ in range(50):  # expectation and maximization
        each = foretold * shares
        each /= each.sum(1, keepdims=True)
        shares = (each.sum(0) + CAUTION * prior) / (len(evidences) + CAUTION)
    return shares
