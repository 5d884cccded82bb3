"""Accuracy against cost: the strategies, the frontier of those that none beats, and the limit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bon.bench.report import Limit, Row
from bon.types import BonError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg", ".pdf")


def frontier(found: Sequence[Row]) -> list[Row]:
    """Those that no other beats: more right than all that cost as much or less, cheapest first."""
    best: list[Row] = []
    for row in sorted(found, key=lambda row: (row.comparisons, -row.accuracy)):
        if not best or row.accuracy > best[-1].accuracy:
            best.append(row)
    return best


def check_ending(path: str) -> None:
    """Raise `BonError` now where the picture could not be written later."""
    if Path(path).suffix not in ENDINGS:
        raise BonError(f"cannot draw {path}: end its name in {', '.join(ENDINGS)}")


def draw(found: Sequence[Row], limit: Limit, title: str, path: str) -> None:
    """Write the picture in the format that the path's ending names; its points are numbered by cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.8), layout="constrained")
    axes, key = figure.subplots(1, 2, width_ratios=(5, 3))
    ranked = sorted(found, key=lambda row: (row.comparisons, -row.accuracy))
    paid = [row for row in ranked if row.comparisons]
    for number, row in enumerate(ranked, start=1):
        if not row.comparisons:
            axes.axhline(row.accuracy, color="#9aa5ae", lw=1, ls=":")
        axes.annotate(
            str(number),
            (row.comparisons or 0.0, row.accuracy),
            xycoords="data" if row.comparisons else ("axes fraction", "data"),
            xytext=(4, 4) if row.comparisons else (14 * number, 2),
            textcoords="offset points",
            fontsize=8,
        )
    if paid:
        _draw_paid(axes, paid)
        _draw_limit(axes, limit)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.12), frameon=False, ncols=3)
    axes.set_xlabel("comparisons a prompt", loc="right", fontsize=9)
    axes.set_ylabel("share right", fontsize=9)
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    key.axis("off")
    for number, row in enumerate(ranked, start=1):
        line = f"{number:>2}  {row.strategy}\n      {row.accuracy:.3f} at {row.comparisons:.1f}"
        key.text(0, 1 - (number - 1) / max(12, len(ranked)), line, fontsize=7.5, va="top")
    figure.savefig(path, dpi=150)


def _draw_paid(axes: Axes, paid: Sequence[Row]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.errorbar(
        [row.comparisons for row in paid],
        [row.accuracy for row in paid],
        yerr=[
            [max(0.0, row.accuracy - row.low) for row in paid],
            [max(0.0, row.high - row.accuracy) for row in paid],
        ],
        fmt="o",
        ms=5,
        color="#2f6f9f",
        ecolor="#9fbdd2",
        capsize=2,
        lw=1,
        label="strategy, 95% interval",
    )
    edge = frontier(paid)
    axes.plot(
        [row.comparisons for row in edge],
        [row.accuracy for row in edge],
        color="#c8553d",
        lw=1.2,
        label="frontier",
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_limit(axes: Axes, limit: Limit) -> None:
    """The limit where the picture already reaches: at very small errors it goes on for ever."""
    points = [(limit(e / 500), 1.0 - e / 500) for e in range(1, 250)]
    low, high = axes.get_xlim()
    bottom = axes.get_ylim()[0]
    shown = [(x, y) for x, y in points if x is not None and low <= x <= high and y > bottom]
    if shown:
        axes.plot(*zip(*shown, strict=True), color="#555555", lw=1, ls="--", label="limit")
