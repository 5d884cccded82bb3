"""Which candidates comparisons connect, read off reachability matrices."""

from __future__ import annotations

import numpy as np

from bon.rating.games import BoolArray, FloatArray, Games, chunks, tally

Components = list[list[int]]
"""Groups of candidates, each in ascending order, the groups by their first member."""


def reachable(edge: BoolArray) -> BoolArray:
    """(B, n, n) whether j can be reached from i, itself included, along edges (B, n, n)."""
    n = edge.shape[-1]
    reach: BoolArray = edge | np.eye(n, dtype=bool)
    for _ in range(max(1, n - 1).bit_length()):
        # float32 because boolean matrix products bypass BLAS; counts stay exact up to 2**24
        single = reach.astype(np.float32)
        further = single @ single > 0.0
        if (further == reach).all():
            break
        reach = further
    return reach


def components_of(games: Games) -> list[Components]:
    """The connected components of every tournament, comparisons taken as undirected edges."""
    found: list[Components] = [[] for _ in games.sizes]
    for where, part in chunks(games):
        reach = reachable(_edges(part, np.ones(len(part.first))))
        for number, size, block in zip(where.tolist(), part.sizes.tolist(), reach, strict=True):
            found[number] = _groups(block[:size, :size])
    return found


def strongly_connected(games: Games) -> BoolArray:
    """(B,) whether everyone beats everyone else along some chain of (fractions of) wins."""
    strong = np.ones(len(games.sizes), dtype=bool)
    for where, part in chunks(games):
        won = _edges(part, part.score, one_way=True) | _edges(
            part, 1.0 - part.score, one_way=True
        ).transpose(0, 2, 1)
        seated = np.arange(part.n) < part.sizes[:, None]
        both = seated[:, :, None] & seated[:, None, :]
        strong[where] = (reachable(won) | ~both).all((1, 2))
    return strong


def _edges(games: Games, strength: FloatArray, one_way: bool = False) -> BoolArray:
    """(B, n, n) pairs that have a comparison with strength above 0."""
    b, n = len(games.sizes), games.n
    row = games.first if games.tournament is None else games.tournament * n + games.first
    edge = tally(row * n + games.second, strength, (b, n, n)) > 0.0
    return edge if one_way else edge | edge.transpose(0, 2, 1)


def _groups(reach: BoolArray) -> Components:
    """Undirected reachability as lists: a candidate belongs to the first one it reaches."""
    leader = reach.argmax(1) if len(reach) else np.zeros(0, np.intp)
    return [np.flatnonzero(leader == i).tolist() for i in np.unique(leader)]
