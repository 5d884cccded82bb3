"""A bracket as sports pages draw it: rounds from left to right, the winner's way through in colour."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from bon.drawing.canvas import (
    CARD,
    DOUBT,
    INK,
    LINE,
    MARGIN,
    MUTED,
    PAPER,
    WIN,
    WIN_PALE,
    below,
    canvas_at,
    fitted_title,
    halves,
    header,
)
from bon.shape import Node
from bon.types import Decision, Match, Result
from bon.untrusted import last_line

CARD_WIDTH, ROW, GAP, SLOT = 2.05, 0.26, 0.42, 0.37


def draw_bracket(result: Result, final: Node, path: Path) -> None:
    """One card a match, rounds from left to right, the winner's way through in colour."""
    heights = _heights(final)
    leaves = 1 + sum(1 for _ in final)
    rounds = final.round + 1
    width = max(6.4, 2 * MARGIN + rounds * CARD_WIDTH + (rounds - 1) * GAP)
    title = fitted_title(result.prompt.text, width)
    top = below(title)
    height = top + leaves * SLOT + MARGIN + 0.1
    with canvas_at(path, width, height) as canvas:
        header(canvas, result, title, width)
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
    return halves(sum(score if first else 1 - score for first, score in scores)) if heard else ""
