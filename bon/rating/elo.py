"""Elo ratings: quick and familiar, and dependent on the order in which the games are read.

One pass over a fixed set of results can name either of two winners by the order alone, because
late games count for more. ``elo`` reads the games as given; ``elo_average`` plays many shuffles,
averages, and says how far the orders disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bon.rating.games import FloatArray, Games, IntArray, check, rows
from bon.rating.seeds import generators

LANES = 1 << 14
"""Passes that advance together, a game each at a time: enough to hide the cost of a NumPy call."""


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
    games = check(first, second, score, n, tournament, weight)
    games, gain = _played(games, scale)
    if games.tournament is None:
        return _one_pass(games, gain, scale)
    rating = np.zeros((len(games.sizes), games.n))
    for where, lanes in _lanes(games, gain):
        rating[where] = _many_passes(*lanes, games.n)
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
    mean, spread, top = np.zeros((b, games.n)), np.zeros((b, games.n)), np.zeros((b, games.n))
    sources = generators(rng, b)
    seated = np.arange(games.n) < games.sizes[:, None]
    for where, lanes in _lanes(games, gain, orders):
        shuffled = _shuffled(lanes, orders, [sources[i] for i in where.tolist()])
        rating = _many_passes(*shuffled, games.n).reshape(len(where), orders, games.n)
        mean[where], spread[where] = rating.mean(1), rating.std(1)
        best = np.where(seated[where, None], rating, -np.inf)
        leads = best == best.max(2, keepdims=True, initial=-np.inf)
        top[where] = (leads / np.maximum(leads.sum(2, keepdims=True), 1)).mean(1)
    mean, spread = mean / scale.rate + scale.initial, spread / scale.rate
    return EloAverage(games.shaped(mean), games.shaped(spread), games.shaped(top), orders)


def _played(games: Games, scale: EloScale) -> tuple[Games, FloatArray]:
    """Games written out as often as their weight says, and the gain (log odds) of each.

    A weight of 2.5 is two whole games and one of half the gain.
    """
    whole_gain = scale.k * scale.rate
    if games.weight is None:
        return games, np.full(len(games.first), whole_gain)
    times = np.ceil(games.weight).astype(np.intp)
    if times.sum() > 100 * (len(times) + 10_000):
        raise ValueError("Elo plays a game as often as its weight says: scale the weights down")
    last = np.cumsum(times) - 1
    gain = np.full(int(times.sum()), whole_gain)
    gain[last] *= games.weight - (times - 1)
    return rows(games, np.repeat(np.arange(len(times)), times)), gain


def _one_pass(games: Games, gain: FloatArray, scale: EloScale) -> FloatArray:
    """Plain floats: a game costs less than one NumPy call."""
    rating = [0.0] * games.n
    exp = math.exp
    played = zip(
        games.first.tolist(),
        games.second.tolist(),
        games.score.tolist(),
        gain.tolist(),
        strict=True,
    )
    for a, b, scored, step in played:
        change = step * (scored - 1.0 / (1.0 + exp(rating[b] - rating[a])))
        rating[a] += change
        rating[b] -= change
    return np.array(rating) / scale.rate + scale.initial


Lanes = tuple[IntArray, IntArray, FloatArray, FloatArray]
"""first, second, score and gain, each (games, lanes); games that are padding have gain 0."""


def _lanes(games: Games, gain: FloatArray, orders: int = 1) -> Iterator[tuple[IntArray, Lanes]]:
    """Tournaments of like length side by side, a lane each, at most LANES / orders at once."""
    b = len(games.sizes)
    t = np.zeros_like(games.first) if games.tournament is None else games.tournament
    length = np.bincount(t, minlength=b)
    by_tournament = np.argsort(t, kind="stable")
    begin = np.cumsum(length) - length
    by_length = np.argsort(length, kind="stable")
    width = max(1, LANES // orders)
    for low in range(0, b, width):
        where = by_length[low : low + width]
        turn = np.arange(int(length[where].max(initial=0)))[:, None]
        real = turn < length[where]
        row = by_tournament[np.where(real, begin[where] + turn, 0)] if len(t) else turn + where
        second = np.where(real, games.second[row], games.n - 1)
        first = np.where(real, games.first[row], 0)
        yield where, (first, second, games.score[row], np.where(real, gain[row], 0.0))


def _many_passes(
    first: IntArray, second: IntArray, score: FloatArray, gain: FloatArray, n: int
) -> FloatArray:
    """(lanes, n) ratings in log odds, all lanes one game on at a time."""
    lanes = first.shape[1]
    rating = np.zeros(lanes * n)
    base = np.arange(lanes) * n
    for a, b, scored, step in zip(first + base, second + base, score, gain, strict=True):
        change = step * (scored - 1.0 / (1.0 + np.exp(rating[b] - rating[a])))
        rating[a] += change
        rating[b] -= change
    return rating.reshape(lanes, n)


def _shuffled(lanes: Lanes, orders: int, sources: list[np.random.Generator]) -> Lanes:
    """Every lane in ``orders`` random orders, side by side. Padding is shuffled in: it is idle."""
    length, width = lanes[0].shape
    order = np.empty((width, orders, length), dtype=np.intp)
    for lane, source in enumerate(sources):
        real = int(np.count_nonzero(lanes[3][:, lane]))
        order[lane] = np.arange(length)
        order[lane, :, :real] = source.permuted(order[lane, :, :real], axis=1)
    lane_of = np.repeat(np.arange(width), orders)
    turn = order.reshape(width * orders, length).T
    first, second, score, gain = lanes
    return first[turn, lane_of], second[turn, lane_of], score[turn, lane_of], gain[turn, lane_of]


def _sorted(games: Games) -> Games:
    """Rows in an order of their own, so that shuffles do not depend on the caller's."""
    return (
        rows(games, np.lexsort((games.weights, games.score, games.second, games.first)))
        if len(games.first)
        else replace(games)
    )
