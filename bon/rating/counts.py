"""Ratings that count: points, win rates, Copeland, PageRank."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from bon.rating.games import FloatArray, Games, IntArray, check, chunks, tally
from bon.rating.posterior import row_sums


def points(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> FloatArray:
    """Weight of games won, ties and graded verdicts in proportion: (n,) or (B, n)."""
    games = check(first, second, score, n, tournament, weight)
    return games.shaped(_per_candidate(games)[0])


def win_rate(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    per: Literal["game", "opponent"] = "game",
) -> FloatArray:
    """Points per game played, 0..1, (n,) or (B, n); NaN for a candidate without games.

    ``per="opponent"`` averages the rates against each opponent met, so that one met often
    counts no more than the others.
    """
    games = check(first, second, score, n, tournament, weight)
    if per == "game":
        won, lost = _per_candidate(games)
        return games.shaped(_ratio(won, won + lost))
    if per != "opponent":
        raise ValueError(f'per must be "game" or "opponent", got {per!r}')
    rate = np.zeros((len(games.sizes), games.n))
    for where, part in chunks(games):
        won = pair_points(part)
        met = won + won.transpose(0, 2, 1)
        share = np.where(met > 0.0, _ratio(won, met), 0.0)
        rate[where, : part.n] = _ratio(share.sum(2), np.count_nonzero(met, axis=2).astype(float))
    return games.shaped(rate)


def copeland(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> FloatArray:
    """Opponents beaten minus opponents lost to, by points over their common games: (n,) or (B, n).

    n - 1 is a Condorcet winner. Pairs that are level or never met count nothing.
    Source: Copeland, A reasonable social welfare function (1951).
    """
    games = check(first, second, score, n, tournament, weight)
    net = np.zeros((len(games.sizes), games.n))
    for where, part in chunks(games):
        net[where, : part.n] = _net(pair_points(part))
    return games.shaped(net)


def pagerank(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    damping: float = 0.85,
) -> FloatArray:
    """Share of time of a walker who moves from loser to winner, sums to 1: (n,) or (B, n).

    The stationary vector is solved for, so there is no iteration to fail. Whoever never lost sends
    the walker anywhere, as networkx has it.
    Source: Page, Brin, Motwani and Winograd (1999).
    """
    games = check(first, second, score, n, tournament, weight)
    share = np.zeros((len(games.sizes), games.n))
    for where, part in chunks(games):
        share[where, : part.n] = _walked(pair_points(part), part.sizes, damping)
    return games.shaped(share)


def counted(games: Games) -> dict[str, FloatArray]:
    """Win rate, Copeland and PageRank (damping .85) of comparisons checked and added up once."""
    rate, net, share = (np.zeros((len(games.sizes), games.n)) for _ in range(3))
    for where, part in chunks(games):
        won, seats = pair_points(part), slice(part.n)
        gained = row_sums(won)
        rate[where, seats] = _ratio(gained, gained + won.sum(1))
        net[where, seats] = _net(won)
        share[where, seats] = _walked(won, part.sizes, 0.85)
    found = {"win rate": rate, "Copeland": net, "PageRank": share}
    return {name: games.shaped(rating) for name, rating in found.items()}


def _net(won: FloatArray) -> FloatArray:
    """(B, n) Copeland's count."""
    return row_sums(np.sign(won - won.transpose(0, 2, 1)))


def _walked(won: FloatArray, sizes: IntArray, damping: float) -> FloatArray:
    """(B, n) PageRank, 0 on padding."""
    n = won.shape[1]
    seated = np.arange(n) < sizes[:, None]
    size = np.maximum(sizes, 1)[:, None]
    lost = won.transpose(0, 2, 1)  # row: the loser, column: to whom
    total = won.sum(1)
    never = total == 0.0
    step = lost / (total + never)[:, :, None]
    step += (seated[:, None, :] / size[:, :, None]) * never[:, :, None]
    restart = (1.0 - damping) * seated / size
    balance = np.eye(n) - damping * step.transpose(0, 2, 1)
    settled: FloatArray = np.linalg.solve(balance, restart[:, :, None])[:, :, 0]
    return settled * seated


def pair_points(games: Games) -> FloatArray:
    """(B, n, n) points of i against j."""
    b, n, t = len(games.sizes), games.n, games.tournament
    base = 0 if t is None else t * n
    won = games.score * games.weights
    table = tally((base + games.first) * n + games.second, won, (b, n, n))
    lost = games.weights - won
    table += tally((base + games.second) * n + games.first, lost, (b, n, n))
    return table


def _per_candidate(games: Games) -> tuple[FloatArray, FloatArray]:
    """(B, n) points won and points lost."""
    b, n, t = len(games.sizes), games.n, games.tournament
    base = 0 if t is None else t * n
    first, second = base + games.first, base + games.second
    won = games.score * games.weights
    lost = games.weights - won
    gained = tally(first, won, (b, n)) + tally(second, lost, (b, n))
    given = tally(first, lost, (b, n)) + tally(second, won, (b, n))
    return gained, given


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0.0)
