"""Elo ratings: quick and familiar, and dependent on the order in which the games are read.

One pass over a fixed set of results can name either of two winners by the order alone, because
late games count for more. ``elo`` reads the games as given; ``elo_average`` plays many shuffles,
averages, and says how far the orders disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt

from bon.rating.games import BoolArray, FloatArray, Games, IntArray, check, rows
from bon.rating.seeds import generators

LANES = 1 << 11
"""Passes that advance together, a game each at a time: enough to hide the cost of a NumPy
call, few enough for their ratings to stay in cache."""


@dataclass(frozen=True)
class EloScale:
    """The constants of Elo's formula; a difference of ``scale`` means odds of ten to one."""

    k: float = 4.0
    """points that a sure loser gains by a win"""
    initial: float = 1000.0
    scale: float = 400.0

    @property
    def rate(self) -> float:
        """Natural-log odds per point."""
        return math.log(10.0) / self.scale


DEFAULT_SCALE = EloScale()


@dataclass(frozen=True, eq=False)
class EloAverage:
    """Ratings over many game orders: (n,) for one tournament, (B, n) with NaN padding for many."""

    rating: FloatArray
    """mean, in Elo points"""
    spread: FloatArray
    """standard deviation over the orders, in Elo points: what a single pass adds by chance"""
    top: FloatArray
    """share of orders that put the candidate first (shared where they tie)"""
    orders: int


def elo(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    scale: EloScale = DEFAULT_SCALE,
) -> FloatArray:
    """Elo ratings in points after one pass in the order given, (n,) or (B, n).

    The order matters: see the module's docstring, and ``elo_average``. A game of weight 2 is
    played twice in a row, one of weight .5 moves the ratings half as far.

    Failure: ValueError on arrays that make no sense. Who never played stays at ``scale.initial``.
    Source: Elo, The Rating of Chessplayers, Past and Present (1978).
    """
    games, gain = _played(check(first, second, score, n, tournament, weight), scale)
    if games.tournament is None:
        return _one_pass(games, gain, scale)
    rating = np.zeros((len(games.sizes), games.n))
    for where, row, length in _lanes(games):
        rating[where] = _many_passes(games, gain, row, length)
    return games.shaped(rating / scale.rate + scale.initial)


def elo_average(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    scale: EloScale = DEFAULT_SCALE,
    orders: int = 100,
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
) -> EloAverage:
    """Elo averaged over ``orders`` random game orders, with the spread between them.

    The order of the rows does not matter: they are sorted before they are shuffled. ``rng`` is
    one generator, spawned into one for each tournament, or a sequence of them; seed 0 if absent.

    Failure: ValueError on arrays that make no sense, or no orders.
    """
    if orders < 1:
        raise ValueError(f"orders must be at least 1, got {orders}")
    games = check(first, second, score, n, tournament, weight)
    games, gain = _played(_sorted(games), scale)
    b = len(games.sizes)
    mean, spread, top = (np.zeros((b, games.n)) for _ in range(3))
    sources = generators(rng, b)
    seated = np.arange(games.n) < games.sizes[:, None]
    for where, row, length in _lanes(games, orders):
        shuffled = _shuffled(row, length, orders, [sources[i] for i in where.tolist()])
        rating = _many_passes(games, gain, shuffled, np.repeat(length, orders))
        rating = rating.reshape(len(where), orders, games.n)
        mean[where], spread[where] = rating.mean(1), rating.std(1)
        best = np.where(seated[where, None], rating, -np.inf)
        leads = best == best.max(2, keepdims=True, initial=-np.inf)
        top[where] = (leads / np.maximum(leads.sum(2, keepdims=True), 1)).mean(1)
    mean, spread = mean / scale.rate + scale.initial, spread / scale.rate
    return EloAverage(games.shaped(mean), games.shaped(spread), games.shaped(top), orders)


def _played(games: Games, scale: EloScale) -> tuple[Games, FloatArray | float]:
    """Games written out as often as their weight says, and the gain of each (log odds).

    A weight of 2.5 is two whole games and one of half the gain.
    """
    whole = scale.k * scale.rate
    if games.weight is None:
        return games, whole
    times = np.ceil(games.weight).astype(np.intp)
    if times.sum() > 100 * (len(times) + 10_000):
        raise ValueError("Elo plays a game as often as its weight says: scale the weights down")
    gain = np.full(int(times.sum()), whole)
    gain[np.cumsum(times) - 1] *= games.weight - (times - 1)
    return rows(games, np.repeat(np.arange(len(times)), times)), gain


def _one_pass(games: Games, gain: FloatArray | float, scale: EloScale) -> FloatArray:
    """Plain floats: a game costs less than one NumPy call."""
    rating = [0.0] * games.n
    won = games.score == 1.0
    plain = np.count_nonzero(won) + np.count_nonzero(games.score == 0.0) == len(won)
    if plain and isinstance(gain, float):
        _play_decided(rating, games, won, gain)
    else:
        _play(rating, games, gain)
    return np.array(rating) / scale.rate + scale.initial


def _play(rating: list[float], games: Games, gain: FloatArray | float) -> None:
    """Moves the ratings (log odds) game by game."""
    exp = math.exp
    steps = repeat(gain) if isinstance(gain, float) else gain.tolist()
    gained = (games.score * gain).tolist()
    for a, b, points, step in zip(
        games.first.tolist(), games.second.tolist(), gained, steps, strict=False
    ):
        one, two = rating[a], rating[b]
        change = points - step / (1.0 + exp(two - one))
        rating[a] = one + change
        rating[b] = two - change


def _play_decided(rating: list[float], games: Games, won: BoolArray, gain: float) -> None:
    """As ``_play``, without ties and weights: between winner and loser, which is less to reckon."""
    exp = math.exp
    first, second = games.first, games.second
    small = len(rating) <= 256
    if small:
        first, second = first.astype(np.uint8), second.astype(np.uint8)
    winner, loser = np.where(won, first, second), np.where(won, second, first)
    # a string's bytes are read sooner than the numbers of a list, and need no making
    winners, losers = (w.tobytes() if small else w.tolist() for w in (winner, loser))
    for a, b in zip(winners, losers, strict=True):
        one, two = rating[a], rating[b]
        change = gain / (1.0 + exp(one - two))
        rating[a] = one + change
        rating[b] = two - change


def _lanes(games: Games, orders: int = 1) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Tournaments side by side, the longest first, at most LANES / orders at once.

    Their numbers, the rows of their games (turn, tournament) and how many of these are theirs.
    """
    b = len(games.sizes)
    t = np.zeros_like(games.first) if games.tournament is None else games.tournament
    length = np.bincount(t, minlength=b)
    begin = np.cumsum(length) - length
    row_of = None if (t[1:] >= t[:-1]).all() else np.argsort(t, kind="stable")
    longest_first = np.argsort(-length, kind="stable")
    width = max(1, LANES // orders)
    for low in range(0, b, width):
        where = longest_first[low : low + width]
        turn = np.arange(int(length[where[0]]))[:, None]
        place = np.minimum(begin[where] + turn, len(t) - 1)
        yield where, place if row_of is None else row_of[place], length[where]


def _many_passes(
    games: Games, gain: FloatArray | float, row: IntArray, length: IntArray
) -> FloatArray:
    """(lanes, n) ratings in log odds, all lanes one game on at a time; longest lanes first."""
    lanes = row.shape[1]
    rating = np.zeros(lanes * games.n)
    base = np.arange(lanes) * games.n
    first, second, score = games.first[row] + base, games.second[row] + base, games.score[row]
    steps = repeat(gain) if isinstance(gain, float) else gain[row]
    playing = np.count_nonzero(length > np.arange(len(row))[:, None], axis=1).tolist()
    for a, b, scored, step, k in zip(first, second, score, steps, playing, strict=False):
        one, two = rating[a[:k]], rating[b[:k]]
        change = step[:k] if isinstance(step, np.ndarray) else step
        change = change * (scored[:k] - 1.0 / (1.0 + np.exp(two - one)))
        rating[a[:k]] = one + change
        rating[b[:k]] = two - change
    return rating.reshape(lanes, games.n)


def _shuffled(
    row: IntArray, length: IntArray, orders: int, sources: list[np.random.Generator]
) -> IntArray:
    """Every lane's games in ``orders`` random orders, side by side."""
    turns, lanes = row.shape
    shuffled = np.repeat(row.T, orders, axis=0).reshape(lanes, orders, turns)
    for lane, source in enumerate(sources):
        own = shuffled[lane, :, : length[lane]]
        source.permuted(own, axis=1, out=own)
    return shuffled.reshape(lanes * orders, turns).T


def _sorted(games: Games) -> Games:
    """Rows in an order of their own, so that shuffles do not depend on the caller's."""
    return rows(games, np.lexsort((games.weights, games.score, games.second, games.first)))
