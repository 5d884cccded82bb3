"""The sheet that pictures are drawn on: colours, text that fits, and what stands above every picture.

The unit is the inch, so that sizes are sizes on paper. Text becomes outlines: a picture looks the same
wherever it is opened, whatever fonts are there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bon.types import Result
from bon.untrusted import one_line

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


def header(canvas: Any, result: Result, title: list[str], width: float) -> None:
    calls = len(result.comparisons)
    facts = [
        str(result.provenance.get("strategy", "")),
        f"{len(result.candidates)} candidates",
        f"{calls} judge call{'s' * (calls != 1)}",
        result.prompt.id,
    ]
    _write_header(canvas, title, facts, width)


def graph_header(canvas: Any, graph: nx.MultiDiGraph[int], title: list[str], width: float) -> None:
    about = graph.graph
    calls = about.get("comparisons", graph.number_of_edges())
    facts = [
        str(about.get("strategy", "")),
        f"{len(graph)} candidates",
        f"{calls} judge call{'s' * (calls != 1)}",
        str(about.get("id", "")),
    ]
    _write_header(canvas, title, facts, width)


def fitted_title(text: str, width: float) -> list[str]:
    """The title in one line, or in two where it is long."""
    room = width - 2 * MARGIN
    text = _drawable(one_line(text, 300))
    fitting = _fit(text, TITLE, "bold", room)
    if fitting == text:
        return [text]
    first = fitting.removesuffix("…").rpartition(" ")[0]
    return [first, _fit(text[len(first) :].strip(), TITLE, "bold", room)] if first else [fitting]


def below(title: list[str]) -> float:
    """Where the picture proper begins."""
    return HEADER + MARGIN + TITLE_LINE * (len(title) - 1)


def _write_header(canvas: Any, title: list[str], facts: list[str], width: float) -> None:
    for i, line in enumerate(title):
        canvas.text(MARGIN, MARGIN + 0.08 + i * TITLE_LINE, line, TITLE, INK, weight="bold")
    line = "  ·  ".join(one_line(fact, 60) for fact in facts if fact)
    y = MARGIN + 0.33 + TITLE_LINE * (len(title) - 1)
    canvas.text(MARGIN, y, line, 8, MUTED, room=width - 2 * MARGIN)


class Canvas:
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

    def disc(self, x: float, y: float, radius: float, fill: str, edge: str) -> None:
        from matplotlib.patches import Circle

        self._axes.add_patch(
            Circle((x, y), radius, facecolor=fill, edgecolor=edge, linewidth=1.1, zorder=3)
        )

    def arrow(
        self,
        begin: tuple[float, float],
        end: tuple[float, float],
        colour: str,
        weight: float,
        gap: float,
        *,
        style: str = "solid",
        head: bool = True,
    ) -> None:
        """From `begin` to `end`, `gap` short of both; bent, so that it runs through nobody between."""
        from matplotlib.patches import FancyArrowPatch

        self._axes.add_patch(
            FancyArrowPatch(
                begin,
                end,
                connectionstyle="arc3,rad=0.12",
                arrowstyle="-|>" if head else "-",
                mutation_scale=6 + 2 * weight,
                shrinkA=72 * gap,
                shrinkB=72 * gap + 1,
                color=colour,
                linewidth=weight,
                linestyle=style,
                zorder=2,
            )
        )

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
def canvas_at(path: Path, width: float, height: float) -> Iterator[Canvas]:
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {"font.family": ["DejaVu Sans"], "svg.fonttype": "path", "svg.hashsalt": "bon"}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), facecolor=PAPER)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        canvas = Canvas(axes)
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


def halves(number: float) -> str:
    """A count of verdicts, in which a tie is one half."""
    whole = int(number)
    return f"{whole or ''}½" if number - whole == 0.5 else f"{number:g}"
