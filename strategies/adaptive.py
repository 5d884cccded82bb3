"""A posterior that asks what tells most, and stops when it knows enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import ceil, log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bon.posterior.best import BestPosterior
from bon.posterior.table import TablePosterior
from bon.profile import UNKNOWN, Profile
from bon.tournament import Table
from bon.types import BonError, Comparison

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Target(StrEnum):
    """What is to be found out."""

    BEST = "best"
    """The candidate that the judge, for all its noise, means to prefer."""
    ROUND_ROBIN = "round-robin"
    """The best mean score of a double round robin; no order of a pair is asked twice."""


async def adaptive(
    table: Table,
    *,
    error: float = 0.05,
    max_comparisons: int | None = None,
    max_judge_tokens: int | None = None,
    total_comparisons: int | None = None,
    width: int = 1,
    target: Target = Target.BEST,
    profile: Profile = UNKNOWN,
    price: float = 0.0,
) -> Sequence[int]:
    """Adaptive: asks what tells most about who is best, until another is less likely than `error`.

    `error` is the chance that this judge, asked without limit, would name another. It says nothing about
    the truth: a judge that is wrong for good is followed all the same.
    It is told neither how often nor in which way the judge errs; bon/posterior says what it holds
    possible. `target=round-robin` looks for the winner of the full table instead, where a pair can be
    asked once in each order. `width` asks that many at once: fewer stages for some more comparisons. From
    4 n at once on, a round is one of whole matches, in which no candidate meets two others, and a match
    that is clear drops its other votes, as in a knockout whose bracket follows what is known.
    The budgets count what is spent, retries too, and end it after the round that reaches them; a VOID
    tells nothing. `total_comparisons` is for the whole input: bon/blocks.py makes of it a budget for
    each prompt and a `price`, what a comparison must be expected to tell about the two it is asked of.
    `profile` is what is known of the judge beforehand: a file of `bon profile`, or `unknown`. Where
    it is left out it is the judge-profile.json in the folder of the judge's model or, without that, what
    a run has learned from its own earlier blocks of 512 prompts.
    Comparisons: as many as it needs, about 1.5 times the limit under independent noise; fewer where several
    candidates are right, and 20 n at most; n (n - 1) for a round robin. Stages: comparisons / width.
    Source: a posterior over orders, tiers or tables, asked by expected information (Lindley, 1956); its
    kin in the field are Duel-Evolve (arXiv 2602.21585) and 2607.02104.
    Choose it for the fewest comparisons at a stated error, and wherever nothing speaks against it.
    """
    budgets = {"max_comparisons": max_comparisons, "max_judge_tokens": max_judge_tokens}
    _check(error, budgets, width)
    whole_table = Target(target) is Target.ROUND_ROBIN
    # where candidates may be right or wrong and nothing in between, one win can seem enough: whoever
    # does not know the judge lets everybody lose once before believing it
    trusted = whole_table or bool(profile.worlds)
    votes = table.votes or (2 if whole_table else None)
    posterior = _posterior(table, profile, whole_table)
    luck = np.array([table.rng("luck", seat).random() for seat in table.seats])
    lucky_pair = 1e-9 * (luck[:, None] + luck)
    asked, void = np.zeros((2, table.n, table.n), dtype=np.int64)
    unbeaten = np.ones(table.n, dtype=bool)
    left = max_comparisons or PATIENCE * table.n
    left = left if total_comparisons is None else min(left, total_comparisons)
    tokens = max_judge_tokens or float("inf")
    while left > 0 and tokens > 0:
        chances = posterior.among_best()
        leader = chances.argmax()
        sure = 1.0 - chances[leader] <= error * posterior.modesty
        settled = trusted or unbeaten.sum() <= unbeaten[leader]
        if sure and settled:
            break
        gain = posterior.information()
        gain[void >= VOIDS] = 0.0
        gain.flat[:: table.n + 1] = 0.0
        best = posterior.best()
        worth = gain / (best[:, None] + best + 1e-12)
        if isinstance(posterior, BestPosterior) and votes is None and width >= MATCHES * table.n:
            bouts = _matches(gain, asked, lucky_pair, min(width, left), posterior.flip_rate)
        else:
            cells = _choose(gain, best, asked, lucky_pair, min(width, left), votes)
            bouts = [Bout((cell,)) for cell in cells]
        if not bouts or (settled and worth[bouts[0].cells[0]] < price):
            break
        for told in await _heard(table, bouts):
            first, second, score = told.first, told.second, told.score_first
            posterior.tell(first, second, score, profile.grade(told.verdict.p_first))
            asked[first, second] += 1
            void[first, second] += score is None
            unbeaten[first] &= score in (1.0, None)
            unbeaten[second] &= score in (0.0, None)
            left -= told.attempt + 1
            tokens -= told.verdict.prompt_tokens + told.verdict.output_tokens
    order = np.lexsort((luck, -posterior.best(), -posterior.among_best()))
    return [int(seat) for seat in order]


PATIENCE = 20
"""Comparisons a candidate after which it stops undecided where no budget is set."""
VOIDS = 2
"""Final VOIDs after which a pair is not asked in that order again."""
SILENCE = 2e-3
"""Expected information, in nats, below which a comparison is not worth asking."""
CROWD = 0.9, 0.6
"""What a comparison leaves of the information of others in the same round that share a candidate with
it: the likelier winner of the two, and the other."""
MATCHES = 4
"""Comparisons at once for each candidate from which on a round is one of whole matches."""
WORTHY = 0.05
"""What share of the information that the most telling match has makes another one worth its round."""
LEAD = 150.0
"""Odds at which a match within a round is decided, and its other votes are dropped."""
SPARE = 2.5
"""Votes asked for in a match, in multiples of those that a clear one is expected to take."""


class Bout(NamedTuple):
    """Comparisons of one pair in one round."""

    cells: tuple[tuple[int, int], ...]
    lead: int = 0
    """How many more wins of one than of the other make the rest needless."""

    def decided(self, heard: Sequence[Comparison]) -> bool:
        """Whether what was heard settles it."""
        seat = self.cells[0][0]
        wins = [told.winner == seat for told in heard if told.winner is not None]
        return abs(2 * sum(wins) - len(wins)) >= self.lead


async def _heard(table: Table, bouts: Sequence[Bout]) -> list[Comparison]:
    """Play a round, all of it at once."""
    asks = [[table.compare(*cell) for cell in bout.cells] for bout in bouts]
    heard = await table.together(
        [table.in_order(each, bout.decided) for each, bout in zip(asks, bouts, strict=True)]
    )
    return [told for each in heard for told in each]


def _matches(gain: Floats, asked: Counts, luck: Floats, width: int, flip_rate: float) -> list[Bout]:
    """A round in which no candidate plays two others, most telling matches first."""
    gain = np.where(gain > SILENCE, gain + luck, 0.0)
    enough = WORTHY * gain.max()
    pairs: list[tuple[int, int]] = []
    while len(pairs) < width and gain.max() > enough:
        pair = first, second = divmod(int(gain.argmax()), len(gain))
        lean = asked[first, second] - asked[second, first]
        later = lean > 0 or (lean == 0 and _firsts(asked, first) > _firsts(asked, second))
        pairs.append(pair[::-1] if later else pair)
        gain[[first, second]] = gain[:, [first, second]] = 0.0
    rate = min(max(flip_rate, 0.1), 0.35)
    lead = ceil(log(LEAD) / log((1.0 - rate) / rate))
    most = ceil(SPARE * lead / (1.0 - 2.0 * rate))
    bouts = []
    for place, pair in enumerate(pairs):
        votes = min(most, width // len(pairs) + (place < width % len(pairs)))
        bouts.append(Bout(tuple(pair if i % 2 == 0 else pair[::-1] for i in range(votes)), lead))
    return bouts


def _posterior(table: Table, profile: Profile, whole_table: bool) -> TablePosterior | BestPosterior:
    if not whole_table:
        return BestPosterior(table.n, profile=profile)
    rng = np.random.default_rng(table.rng("samples").getrandbits(64))
    return TablePosterior(table.n, rng, profile=profile)


def _choose(
    gain: Floats, best: Floats, asked: Counts, luck: Floats, width: int, votes: int | None
) -> list[tuple[int, int]]:
    """The cells to ask next, most telling first; between equals luck decides, then balanced slots."""
    gain[gain <= SILENCE] = 0.0
    if votes is not None:
        gain[(asked if votes == 2 else asked + asked.T) > 0] = 0.0
    asked = asked.copy()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < width:
        first, second = divmod(int((gain + luck).argmax()), len(gain))
        if gain[first, second] == 0.0:
            break
        if gain[second, first] > gain[first, second] - 1e-9:
            lean = asked[first, second] - asked[second, first]
            if lean > 0 or (lean == 0 and _firsts(asked, first) > _firsts(asked, second)):
                first, second = second, first
        chosen.append((first, second))
        if len(chosen) == width:
            break
        asked[first, second] += 1
        likelier, other = sorted(chosen[-1], key=lambda seat: -best[seat])
        for seat, crowd in ((likelier, CROWD[0]), (other, CROWD[1])):
            gain[seat] *= crowd
            gain[:, seat] *= crowd
        if votes is not None:
            gain[first, second] = 0.0
        if votes == 1:
            gain[second, first] = 0.0
    return chosen


def _firsts(asked: Counts, seat: int) -> int:
    """How much more often a seat was shown first than second."""
    return int(asked[seat].sum() - asked[:, seat].sum())


def _check(error: float, budgets: Mapping[str, int | None], width: int) -> None:
    if not 0.0 < error < 0.5:
        raise BonError(f"adaptive:error is {error}: give a chance above 0 and below .5")
    for name, budget in budgets.items():
        if budget is not None and budget < 1:
            raise BonError(f"adaptive:{name} is {budget}: give 1 or more, or leave it out")
    if width < 1:
        raise BonError(f"adaptive:width is {width}: give 1 or more")
