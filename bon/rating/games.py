"""Comparisons as flat arrays, checked once, for one tournament or many.

Every method of this package takes the same arrays, a row per comparison:

- ``first``, ``second``: who was shown in which slot, integers 0..n-1 within their tournament;
- ``score``: 1 the first won, 0 the second won, .5 a tie, anything between a graded verdict
  (the probability that the first is better);
- ``weight`` (1 where absent): 0 is as if the comparison were not there, 2 is as if it were
  there twice;
- ``n``: how many candidates there are. For many tournaments at once, ``tournament`` says which
  one a comparison belongs to (0..B-1, in any order) and ``n`` is either one size for all or a
  size for each.

One tournament gives results of shape (n,); many give (B, largest n), NaN beyond a tournament's
own size. Void verdicts have no score and are not passed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CELLS_AT_ONCE = 1 << 17
"""Cells of the (tournaments, n, n) tables worked on together: a megabyte an array, so that the
handful of arrays a method touches stays near, and enough to hide the cost of NumPy's calls."""


class NotConverged(RuntimeError):
    """An iteration stopped before it reached its tolerance; the message says where."""


@dataclass(frozen=True, eq=False)
class Games:
    """Checked comparisons; ``tournament`` is None for one alone, ``weight`` where all are 1."""

    first: IntArray
    second: IntArray
    score: FloatArray
    weight: FloatArray | None
    tournament: IntArray | None
    sizes: IntArray
    """(B,) candidates of each tournament."""

    @cached_property
    def n(self) -> int:
        """The largest tournament's size."""
        if self.tournament is None:
            return int(self.sizes[0])
        return int(self.sizes.max(initial=0))

    @property
    def weights(self) -> FloatArray:
        """(m,) weights, ones written out."""
        return np.ones(len(self.first)) if self.weight is None else self.weight

    def shaped(self, per_candidate: FloatArray) -> FloatArray:
        """(B, n) values as the caller sees them: (n,) for one tournament, NaN where nobody sits."""
        if self.tournament is None:
            alone: FloatArray = per_candidate[0]
            return alone
        if self.sizes.min(initial=self.n) == self.n:
            return per_candidate
        return np.where(np.arange(self.n) < self.sizes[:, None], per_candidate, np.nan)


def check(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    score: npt.ArrayLike,
    n: int | npt.ArrayLike,
    tournament: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> Games:
    """The arrays of a call as ``Games``; ValueError in one line where they make no sense."""
    a, b = _indices("first", first), _indices("second", second)
    s = np.asarray(score, dtype=np.float64)
    if not a.shape == b.shape == s.shape or a.ndim != 1:
        shapes = f"{a.shape}, {b.shape}, {s.shape}"
        raise ValueError(f"first, second and score must be vectors of one length, got {shapes}")
    t = None if tournament is None else _indices("tournament", tournament)
    if t is not None and t.shape != a.shape:
        raise ValueError(f"tournament must have one entry a comparison ({len(a)}), got {t.shape}")
    sizes = _sizes(n, t)
    if len(a):
        one_size = t is None or sizes.min() == sizes.max()
        _check_rows(a, b, s, int(sizes[0]) if one_size else sizes[t])
    games = Games(a, b, s, None, t, sizes)
    return games if weight is None else _weighted(games, weight)


def _indices(name: str, values: npt.ArrayLike) -> IntArray:
    array = np.asarray(values)
    if array.dtype == np.intp:
        return array
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"{name} must hold integers, got {array.dtype}: see index_names for names")
    return array.astype(np.intp, copy=False)


def _sizes(n: int | npt.ArrayLike, tournament: IntArray | None) -> IntArray:
    if tournament is None and type(n) is int and n >= 0:
        return np.array((n,), np.intp)
    sizes = np.asarray(n)
    if sizes.dtype.kind not in "iu" and sizes.size:
        raise ValueError(f"n must be a whole number of candidates, got {n!r}")
    if tournament is None:
        if sizes.ndim:
            raise ValueError("n has a size for each tournament, so tournament must be given too")
        sizes = sizes.reshape(1)
    else:
        least, last = int(tournament.min(initial=0)), int(tournament.max(initial=-1))
        if sizes.ndim == 0:
            sizes = np.full(last + 1, sizes)
        if least < 0 or last >= len(sizes):
            met = least if least < 0 else last
            raise ValueError(f"tournament must lie in 0..{len(sizes) - 1}, met {met}")
    if sizes.min(initial=0) < 0:
        raise ValueError(f"n must not be negative, got {int(sizes.min())}")
    return sizes.astype(np.intp, copy=False)


def _check_rows(first: IntArray, second: IntArray, score: FloatArray, size: int | IntArray) -> None:
    if _beyond(first, size) or _beyond(second, size):
        raise ValueError("first and second must lie in 0..n-1 of their tournament")
    if np.count_nonzero(first == second):
        row = int(np.argmax(first == second))
        raise ValueError(f"row {row} compares candidate {int(first[row])} with itself")
    # at the places of the least and the largest, or of a NaN: found in half of the time that NumPy
    # takes for the least and the largest of a few numbers
    if not (score[score.argmin()] >= 0.0 and score[score.argmax()] <= 1.0):
        raise ValueError("score must lie in 0..1 (1: first won); leave void verdicts out")


def _beyond(index: IntArray, size: int | IntArray) -> bool:
    # as unsigned numbers the negative are the largest
    unsigned = index.view(np.uintp)
    if isinstance(size, int):
        return int(unsigned[unsigned.argmax()]) >= size
    return bool((unsigned >= size.view(np.uintp)).any())


def _weighted(games: Games, weight: npt.ArrayLike) -> Games:
    """Rows of weight 0 are dropped here, so that no method can let them count."""
    w = np.asarray(weight, dtype=np.float64)
    if w.shape != games.first.shape:
        raise ValueError(f"weight must have one entry a comparison, got {w.shape}")
    if not np.isfinite(w).all() or w.min(initial=0.0) < 0.0:
        raise ValueError("weight must be finite and not negative")
    games = replace(games, weight=w)
    return games if w.all() else rows(games, np.flatnonzero(w))


def tally(cell: IntArray, value: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    """Sums of the values (ones if absent) that fall into each cell of an array of this shape."""
    given = np.ones(len(cell)) if value is None else value  # counting would need a conversion
    sums = np.bincount(cell, given, math.prod(shape)).reshape(shape)
    return np.asarray(sums, dtype=np.float64)


def rows(games: Games, keep: IntArray | slice) -> Games:
    """The comparisons ``keep`` picks, of the same tournaments; a slice copies nothing."""
    return replace(
        games,
        first=games.first[keep],
        second=games.second[keep],
        score=games.score[keep],
        weight=None if games.weight is None else games.weight[keep],
        tournament=None if games.tournament is None else games.tournament[keep],
    )


def chunks(games: Games) -> Iterator[tuple[IntArray, Games]]:
    """Groups of tournaments of like size: their numbers, and their games renumbered from 0.

    Sorting by size first keeps the padding of ragged batches small; a group's tables hold at most
    CELLS_AT_ONCE cells (or one tournament).
    """
    cells = CELLS_AT_ONCE
    if games.tournament is None or len(games.sizes) * games.n**2 <= cells:
        yield np.arange(len(games.sizes)), games
        return
    if games.sizes.min() == games.n:
        by_size = np.arange(len(games.sizes))
        place = games.tournament
    else:
        by_size = np.argsort(games.sizes, kind="stable")
        rank = np.empty_like(by_size)
        rank[by_size] = np.arange(len(by_size))
        place = rank[games.tournament]
    if (place[1:] < place[:-1]).any():
        order = np.argsort(place, kind="stable")
        games, place = rows(games, order), place[order]
    sizes = games.sizes[by_size]
    games = replace(games, tournament=place, sizes=sizes)
    begin = 0
    while begin < len(sizes):
        end = _chunk_end(sizes, begin, cells)
        low, high = np.searchsorted(place, (begin, end))
        part = rows(games, slice(int(low), int(high)))
        assert part.tournament is not None
        yield (
            by_size[begin:end],
            replace(part, tournament=part.tournament - begin, sizes=sizes[begin:end]),
        )
        begin = end


def _chunk_end(sizes: IntArray, begin: int, cells: int) -> int:
    """Past the last tournament such that (count * largest**2) stays within ``cells``."""
    ahead = sizes[begin : begin + max(1, cells // max(1, int(sizes[begin]) ** 2))]
    fits = np.arange(1, len(ahead) + 1) * ahead**2 <= cells
    return begin + max(1, int(np.count_nonzero(fits)))
