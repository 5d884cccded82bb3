"""A cross table: who was preferred to whom, best on top, beside each one's strength."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bon.drawing.canvas import (
    CARD,
    DOUBT,
    INK,
    LEVEL,
    LINE,
    LOSS,
    MARGIN,
    MUTED,
    PAPER,
    WIN,
    WIN_PALE,
    below,
    canvas_at,
    fitted_title,
    graph_header,
    halves,
)

if TYPE_CHECKING:
    import networkx as nx

LABELS, STRENGTHS = 2.55, 1.7


def draw_cross_table(
    graph: nx.MultiDiGraph[int], path: Path, voids: Collection[tuple[int, int]] = ()
) -> None:
    """Who was preferred to whom, best on top, beside each one's strength with its 95% interval.

    A pair in `voids` that has no edge is marked as asked in vain.
    """
    nodes = sorted(graph, key=lambda node: graph.nodes[node].get("rank", len(graph)))
    cell = 0.44 if len(nodes) <= 12 else 0.3 if len(nodes) <= 32 else 0.19
    side = cell * len(nodes)
    rated = all("strength" in graph.nodes[node] for node in nodes) and len(nodes) > 1
    width = max(6.4, 2 * MARGIN + LABELS + side + (STRENGTHS + 0.25 if rated else 0))
    title = fitted_title(str(graph.graph.get("prompt", "Comparison graph")), width)
    top = below(title) + 0.2
    with canvas_at(path, width, top + side + MARGIN + 0.35) as canvas:
        graph_header(canvas, graph, title, width)
        x0 = MARGIN + LABELS
        for i, row in enumerate(nodes):
            y = top + i * cell
            row_label(canvas, graph.nodes[row], row, i, y + cell / 2, cell)
            canvas.text(
                x0 + (i + 0.5) * cell, top - 0.1, str(row), min(8, cell * 24), MUTED, ha="center"
            )
            for j, column in enumerate(nodes):
                _cell(canvas, graph, row, column, x0 + j * cell, y, cell, (row, column) in voids)
        if rated:
            strengths(canvas, graph, nodes, x0 + side + 0.25, top, cell)
        note = "Each row's share of the verdicts against each column."
        if voids:
            note += "  × asked in vain: void"
        canvas.text(MARGIN, top + side + 0.28, note, 7, MUTED, room=LABELS + side)


def row_label(
    canvas: Any, attributes: dict[str, Any], node: int, place: int, y: float, cell: float
) -> None:
    winner = bool(attributes.get("winner"))
    size = 8.5 if cell > 0.25 else 7
    if winner:
        canvas.box(MARGIN - 0.08, y - cell / 2 + 0.02, LABELS, cell - 0.04, WIN_PALE)
    canvas.text(MARGIN + 0.2, y, str(attributes.get("rank", place + 1)), size, MUTED, ha="right")
    canvas.text(
        MARGIN + 0.55, y, str(node), size, WIN if winner else INK, weight="bold", ha="right"
    )
    label = str(attributes.get("label", ""))
    canvas.text(MARGIN + 0.68, y, label, size, INK if winner else MUTED, room=LABELS - 0.85)


def _cell(
    canvas: Any,
    graph: nx.MultiDiGraph[int],
    row: int,
    column: int,
    x: float,
    y: float,
    cell: float,
    void: bool,
) -> None:
    inset = 0.012
    if row == column:
        canvas.dot(x + cell / 2, y + cell / 2, LINE, 3)
        return
    won = sum(e.get("weight", 1.0) for e in graph.get_edge_data(row, column, default={}).values())
    lost = sum(e.get("weight", 1.0) for e in graph.get_edge_data(column, row, default={}).values())
    size = cell * 18
    if won + lost == 0:
        canvas.box(x + inset, y + inset, cell - 2 * inset, cell - 2 * inset, CARD)
        if void:
            canvas.text(x + cell / 2, y + cell / 2, "×", size, DOUBT, ha="center")
        return
    share = won / (won + lost)
    canvas.box(x + inset, y + inset, cell - 2 * inset, cell - 2 * inset, _diverging(share))
    if cell > 0.25:
        ink = PAPER if share > 0.8 else INK
        text = halves(won) + (f"–{halves(lost)}" if won + lost > 1 and cell > 0.4 else "")
        canvas.text(x + cell / 2, y + cell / 2, text, size, ink, ha="center")


def strengths(
    canvas: Any, graph: nx.MultiDiGraph[int], nodes: list[int], x: float, top: float, cell: float
) -> None:
    spans = []
    for node in nodes:
        strength = graph.nodes[node]["strength"]
        reach = 1.96 * graph.nodes[node].get("strength_se", 0.0)
        spans.append((strength - reach, strength, strength + reach))
    low, high = min(s[0] for s in spans), max(s[2] for s in spans)
    scale = STRENGTHS / ((high - low) or 1.0)
    bottom = top + cell * len(nodes)
    if low < 0 < high:
        zero = x - low * scale
        canvas.line([zero, zero], [top, bottom], LINE, 1.0)
        canvas.text(zero, bottom + 0.1, "0", 7, MUTED, ha="center")
    canvas.text(x + STRENGTHS / 2, top - 0.1, "strength, 95% interval", 7, MUTED, ha="center")
    for i, (node, (lower, middle, upper)) in enumerate(zip(nodes, spans, strict=True)):
        y = top + (i + 0.5) * cell
        colour = WIN if graph.nodes[node].get("winner") else MUTED
        canvas.line([x + (lower - low) * scale, x + (upper - low) * scale], [y, y], colour, 1.4)
        canvas.dot(x + (middle - low) * scale, y, colour)


def _diverging(share: float) -> tuple[float, float, float]:
    """From the colour of loss, pale so that the wins stand out, over grey to the colour of a win."""
    from matplotlib.colors import to_rgb

    end, weight = (WIN, share * 1.9 - 0.95) if share >= 0.5 else (LOSS, 0.45 - share * 0.9)
    red, green, blue = (
        grey + (c - grey) * weight for c, grey in zip(to_rgb(end), to_rgb(LEVEL), strict=True)
    )
    return (red, green, blue)
