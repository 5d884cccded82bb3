"""A comparison graph as a ring: best on top and clockwise by rank, an arrow from each winner to whom it beat.

For tournaments that ask some pairs and not others, where a cross table would be mostly empty: whom the
winner had to beat, and where the lower ranked won, is seen at a glance.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bon.drawing.canvas import (
    CARD,
    DOUBT,
    INK,
    LINE,
    LOSS,
    MARGIN,
    MUTED,
    PAPER,
    WIN,
    below,
    canvas_at,
    fitted_title,
    graph_header,
)
from bon.drawing.crosstable import LABELS, STRENGTHS, row_label, strengths

if TYPE_CHECKING:
    import networkx as nx

CELL, DISC, SMALLEST = 0.32, 0.15, 3.0
LARGEST = 24
"""Candidates beyond which arrows are a thicket."""


class Pair(NamedTuple):
    """Two candidates that met, the one that won more first."""

    winner: int
    loser: int
    won: float
    lost: float


def suits(graph: nx.MultiDiGraph[int]) -> bool:
    """Whether a ring shows more than a cross table: few candidates, and five rivals or fewer for each,
    of more that there are."""
    n, pairs = len(graph), len(pairs_of(graph))
    return 3 <= n <= LARGEST and 0 < pairs < n * (n - 1) // 2 and pairs <= 5 * n / 2


def pairs_of(graph: nx.MultiDiGraph[int]) -> list[Pair]:
    """Every pair with a verdict, in the order of the nodes."""
    found = []
    for a, b in combinations(graph, 2):
        forth, back = (
            sum(e.get("weight", 1.0) for e in graph.get_edge_data(u, v, default={}).values())
            for u, v in ((a, b), (b, a))
        )
        if forth + back:
            found.append(Pair(a, b, forth, back) if forth >= back else Pair(b, a, back, forth))
    return found


def draw_ring(
    graph: nx.MultiDiGraph[int], path: Path, voids: Collection[tuple[int, int]] = ()
) -> None:
    """The ring beside the ranking with its strengths; a pair in `voids` was asked in vain."""
    nodes = sorted(graph, key=lambda node: graph.nodes[node].get("rank", len(graph)))
    rank = {node: place for place, node in enumerate(nodes)}
    rated = all("strength" in graph.nodes[node] for node in nodes)
    side = max(SMALLEST, CELL * len(nodes))
    left = MARGIN + LABELS + (STRENGTHS + 0.35 if rated else 0.1)
    width = left + side + MARGIN
    title = fitted_title(str(graph.graph.get("prompt", "Comparison graph")), width)
    top = below(title) + 0.2
    first_row = top + (side - CELL * len(nodes)) / 2
    with canvas_at(path, width, top + side + MARGIN + 0.35) as canvas:
        graph_header(canvas, graph, title, width)
        for place, node in enumerate(nodes):
            y = first_row + (place + 0.5) * CELL
            row_label(canvas, graph.nodes[node], node, place, y, CELL)
        if rated:
            strengths(canvas, graph, nodes, MARGIN + LABELS + 0.1, first_row, CELL)
        at = _places(nodes, left + side / 2, top + side / 2, side / 2 - DISC - 0.02)
        for a, b in voids:
            if a < b:
                canvas.arrow(at[a], at[b], DOUBT, 0.9, DISC, style="dotted", head=False)
        pairs = pairs_of(graph)
        for pair in sorted(pairs, key=lambda p: rank[p.winner] > rank[p.loser]):
            _arrow(canvas, graph, pair, at, rank)
        for node in nodes:
            champion = bool(graph.nodes[node].get("winner"))
            canvas.disc(*at[node], DISC, WIN if champion else CARD, WIN if champion else LINE)
            ink = PAPER if champion else INK
            canvas.text(*at[node], str(node), 8, ink, weight="bold", ha="center")
        canvas.text(MARGIN, top + side + 0.28, _legend(pairs, rank, voids), 7, MUTED)


def _places(nodes: list[int], x: float, y: float, radius: float) -> dict[int, tuple[float, float]]:
    turn = 2 * math.pi / len(nodes)
    return {
        node: (x + radius * math.sin(k * turn), y - radius * math.cos(k * turn))
        for k, node in enumerate(nodes)
    }


def _arrow(
    canvas: Any,
    graph: nx.MultiDiGraph[int],
    pair: Pair,
    at: dict[int, tuple[float, float]],
    rank: dict[int, int],
) -> None:
    """Thicker the more verdicts there are; the winner's own victories in its colour."""
    weight = min(2.6, 0.9 + 0.25 * (pair.won + pair.lost - 1))
    ends = at[pair.winner], at[pair.loser]
    if pair.won == pair.lost:
        canvas.arrow(*ends, MUTED, weight, DISC, style="dashed", head=False)
    elif rank[pair.winner] > rank[pair.loser]:
        canvas.arrow(*ends, LOSS, weight, DISC)
    else:
        champion = bool(graph.nodes[pair.winner].get("winner"))
        canvas.arrow(*ends, WIN if champion else MUTED, weight, DISC)


def _legend(pairs: list[Pair], rank: dict[int, int], voids: Collection[tuple[int, int]]) -> str:
    parts = ["An arrow from each winner to whom it beat"]
    if any(p.won > p.lost and rank[p.winner] > rank[p.loser] for p in pairs):
        parts.append("upsets in orange")
    if any(p.won == p.lost for p in pairs):
        parts.append("level pairs dashed")
    if voids:
        parts.append("asked in vain dotted: void")
    return "; ".join(parts) + "."
