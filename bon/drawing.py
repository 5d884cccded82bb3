"""Pictures of one tournament, SVG or PNG: a bracket as sports pages draw it, or a cross table.

Drawn with matplotlib on a canvas whose unit is the inch, so that sizes below are sizes on paper. Text
becomes outlines: the picture looks the same wherever it is opened, whatever fonts are there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bon.shape import Node
from bon.types import Decision, Match, Result
from bon.untrusted import last_line, one_line

if TYPE_CHECKING:
    import networkx as nx

PAPER = "#ffffff"
CARD = "#f6f7f9"
LINE = "#cfd5dd"
INK = "#1b2430"
MUTED = "#7a8594"
LEVEL = "#e9ecf0"
WIN = "#0f766e"
WIN_PALE = "#e3f1ef"
LOSS = "#c2571b"
DOUBT = "#b45309"

MARGIN = 0.3
HEADER = 0.62
TITLE, TITLE_LINE = 10.5, 0.21

# --- the bracket ----------------------------------------------------------------------------------

CARD_WIDTH, ROW, GAP, SLOT = 2.05, 0.26, 0.42, 0.37


def draw_bracket(result: Result, final: Node, path: Path) -> None:
    """One card a match, rounds from left to right, the winner's way through in colour."""
    heights = _heights(final)
    leaves = 1 + sum(1 for _ in final)
    rounds = final.round + 1
    width = max(6.4, 2 * MARGIN + rounds * CARD_WIDTH + (rounds - 1) * GAP)
    title = _title(result.prompt.text, width)
    top = _below(title)
    height = top + leaves * SLOT + MARGIN + 0.1
    with _canvas(path, width, height) as canvas:
        _header(canvas, result, title, width)
        for node in final:
            x = MARGIN + node.round * (CARD_WIDTH + GAP)
            y = top + heights[id(node)] * SLOT
            for row, entrant in enumerate((node.a, node.b)):
                if isinstance(entrant, Node):
                    _feeder(canvas, result, entrant, heights, top, x, y + (row - 0.5) * ROW)
            _card(canvas, result, node.match, x, y)


def _heights(final: Node) -> dict[int, float]:
    """Where each match stands, in slots from the top: halfway between its two entrants."""
    heights: dict[int, float] = {}
    free = count()

    def place(entrant: Node | int) -> float:
        if not isinstance(entrant, Node):
            return next(free) + 0.5
        heights[id(entrant)] = (place(entrant.a) + place(entrant.b)) / 2
        return heights[id(entrant)]

    place(final)
    return heights


def _card(canvas: Any, result: Result, match: Match, x: float, y: float) -> None:
    on_the_way = match.winner == result.winner
    for row, candidate in enumerate((match.a, match.b)):
        won = candidate == match.winner
        top = y + (row - 1) * ROW
        champion = won and on_the_way
        fill = WIN if champion else (WIN_PALE if won else CARD)
        canvas.box(x, top, CARD_WIDTH, ROW, fill)
        ink = PAPER if champion else (INK if won else MUTED)
        canvas.text(x + 0.34, top + ROW / 2, str(candidate), 8, ink, weight="bold", ha="right")
        score = _score(match, candidate)
        label = last_line(result.candidates[candidate].text, 80) or "(empty)"
        canvas.text(
            x + 0.44, top + ROW / 2, label, 8, ink, room=CARD_WIDTH - 0.54 - 0.09 * len(score)
        )
        canvas.text(x + CARD_WIDTH - 0.08, top + ROW / 2, score, 8, ink, weight="bold", ha="right")
    canvas.frame(x, y - ROW, CARD_WIDTH, 2 * ROW, WIN if on_the_way else LINE)
    if match.decision is not Decision.VERDICTS:
        note = (
            "split: a coin decided" if match.decision is Decision.SPLIT else "void: a coin decided"
        )
        canvas.text(x + CARD_WIDTH, y + ROW + 0.085, note, 6.5, DOUBT, ha="right")


def _feeder(
    canvas: Any,
    result: Result,
    node: Node,
    heights: dict[int, float],
    top: float,
    x: float,
    y: float,
) -> None:
    """The line from a match to the row that its winner takes in the next."""
    colour, weight = (WIN, 1.8) if node.match.winner == result.winner else (LINE, 1.2)
    x_from = MARGIN + node.round * (CARD_WIDTH + GAP) + CARD_WIDTH
    y_from = top + heights[id(node)] * SLOT
    bend = x - GAP / 2
    canvas.line([x_from, bend, bend, x], [y_from, y_from, y, y], colour, weight)


def _score(match: Match, candidate: int) -> str:
    """The votes where there are several; for a lone verdict the judge's probability, where it gave one."""
    heard = [c for c in match.comparisons if c.score_first is not None]
    if len(heard) == 1:
        p_first = heard[0].verdict.p_first
        if p_first is None:
            return ""
        return f"{p_first if heard[0].first == candidate else 1 - p_first:.0%}"
    scores = [(c.first == candidate, c.score_first or 0.0) for c in heard]
    return _halves(sum(score if first else 1 - score for first, score in scores)) if heard else ""


def _halves(number: float) -> str:
    """A count of verdicts, in which a tie is one half."""
    whole = int(number)
    return f"{whole or ''}½" if number - whole == 0.5 else f"{number:g}"


# --- the cross table ------------------------------------------------------------------------------

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
    title = _title(str(graph.graph.get("prompt", "Comparison graph")), width)
    top = _below(title) + 0.2
    with _canvas(path, width, top + side + MARGIN + 0.35) as canvas:
        _graph_header(canvas, graph, title, width)
        x0 = MARGIN + LABELS
        for i, row in enumerate(nodes):
            y = top + i * cell
            _row_label(canvas, graph.nodes[row], row, i, y + cell / 2, cell)
            canvas.text(
                x0 + (i + 0.5) * cell, top - 0.1, str(row), min(8, cell * 24), MUTED, ha="center"
            )
            for j, column in enumerate(nodes):
                _cell(canvas, graph, row, column, x0 + j * cell, y, cell, (row, column) in voids)
        if rated:
            _strengths(canvas, graph, nodes, x0 + side + 0.25, top, cell)
        note = "Each row's share of the verdicts against each column."
        if voids:
            note += "  × asked in vain: void"
        canvas.text(MARGIN, top + side + 0.28, note, 7, MUTED, room=LABELS + side)


def _row_label(
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
        text = _halves(won) + (f"–{_halves(lost)}" if won + lost > 1 and cell > 0.4 else "")
        canvas.text(x + cell / 2, y + cell / 2, text, size, ink, ha="center")


def _strengths(
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


# --- what both have -------------------------------------------------------------------------------


def _header(canvas: Any, result: Result, title: list[str], width: float) -> None:
    calls = len(result.comparisons)
    facts = [
        str(result.provenance.get("strategy", "")),
        f"{len(result.candidates)} candidates",
        f"{calls} judge call{'s' * (calls != 1)}",
        result.prompt.id,
    ]
    _write_header(canvas, title, facts, width)


def _graph_header(canvas: Any, graph: nx.MultiDiGraph[int], title: list[str], width: float) -> None:
    about = graph.graph
    calls = about.get("comparisons", graph.number_of_edges())
    facts = [
        str(about.get("strategy", "")),
        f"{len(graph)} candidates",
        f"{calls} judge call{'s' * (calls != 1)}",
        str(about.get("id", "")),
    ]
    _write_header(canvas, title, facts, width)


def _title(text: str, width: float) -> list[str]:
    """The title in one line, or in two where it is long."""
    room = width - 2 * MARGIN
    text = _drawable(one_line(text, 300))
    fitting = _fit(text, TITLE, "bold", room)
    if fitting == text:
        return [text]
    first = fitting.removesuffix("…").rpartition(" ")[0]
    return [first, _fit(text[len(first) :].strip(), TITLE, "bold", room)] if first else [fitting]


def _below(title: list[str]) -> float:
    """Where the picture proper begins."""
    return HEADER + MARGIN + TITLE_LINE * (len(title) - 1)


def _write_header(canvas: Any, title: list[str], facts: list[str], width: float) -> None:
    for i, line in enumerate(title):
        canvas.text(MARGIN, MARGIN + 0.08 + i * TITLE_LINE, line, TITLE, INK, weight="bold")
    line = "  ·  ".join(one_line(fact, 60) for fact in facts if fact)
    y = MARGIN + 0.33 + TITLE_LINE * (len(title) - 1)
    canvas.text(MARGIN, y, line, 8, MUTED, room=width - 2 * MARGIN)


class _Canvas:
    """Boxes, lines and text in inches from the top left."""

    def __init__(self, axes: Any) -> None:
        self._axes = axes
        self._boxes: list[tuple[list[tuple[float, float]], Any]] = []

    def box(self, x: float, y: float, width: float, height: float, fill: Any) -> None:
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        self._boxes.append((corners, fill))

    def finish(self) -> None:
        """Draw all boxes at once: a cross table of 64 has 4,000."""
        from matplotlib.collections import PolyCollection

        if self._boxes:
            corners, fills = zip(*self._boxes, strict=True)
            self._axes.add_collection(
                PolyCollection(corners, facecolors=fills, linewidths=0, zorder=1)
            )

    def frame(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        from matplotlib.patches import Rectangle

        self._axes.add_patch(
            Rectangle(
                (x, y),
                width,
                height,
                fill=False,
                edgecolor=colour,
                linewidth=1.1,
                joinstyle="round",
            )
        )

    def line(self, xs: list[float], ys: list[float], colour: str, weight: float) -> None:
        self._axes.plot(xs, ys, color=colour, linewidth=weight, solid_joinstyle="round", zorder=0.9)

    def dot(self, x: float, y: float, colour: str, size: float = 4.5) -> None:
        self._axes.plot([x], [y], marker="o", markersize=size, color=colour, zorder=3, linewidth=0)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str,
        *,
        weight: str = "normal",
        ha: str = "left",
        room: float | None = None,
    ) -> None:
        """Write `text`, cut with an ellipsis where it is wider than `room`."""
        text = _drawable(text)
        if room is not None:
            text = _fit(text, size, weight, room)
        if text:
            self._axes.text(
                x, y, text, fontsize=size, color=colour, weight=weight, ha=ha,
                va="center_baseline", parse_math=False, zorder=4,
            )  # fmt: skip


@contextmanager
def _canvas(path: Path, width: float, height: float) -> Iterator[_Canvas]:
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {"font.family": ["DejaVu Sans"], "svg.fonttype": "path", "svg.hashsalt": "bon"}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), facecolor=PAPER)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        canvas = _Canvas(axes)
        yield canvas
        canvas.finish()
        kind = path.suffix.lower().removeprefix(".")
        # No date and no version inside: the same result gives the same bytes.
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, format=kind, dpi=150, metadata=metadata)


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def _drawable(text: str) -> str:
    """`text` with a box for each character that the font cannot draw."""
    known = _glyphs()
    return "".join(
        c
        if ord(c) in known
        else ""
        if unicodedata.category(c) in ("Cf", "Mn")
        else "\N{WHITE SQUARE}"
        for c in text
    )


def _fit(text: str, size: float, weight: str, room: float) -> str:
    if _width(text, size, weight) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = _width(text[:middle].rstrip() + "…", size, weight) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip() + "…" if low else ""


@lru_cache(maxsize=4096)
def _width(text: str, size: float, weight: str) -> float:
    """Width in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    # A dollar would begin a formula here; an S is about as wide.
    text = text.replace("$", "S")
    path = TextPath(
        (0, 0),
        text,
        size=size,
        prop=FontProperties(family="DejaVu Sans", weight=weight),
        usetex=False,
    )
    return float(path.get_extents().x1) / 72
