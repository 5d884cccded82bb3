"""From what was played to rows: means with intervals, rates, and paired differences to a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bon.accuracy import interval
from bon.bench.kept import Column
from bon.bench.runner import Columns
from bon.catalog import describe, known_strategies, parse_notation

if TYPE_CHECKING:
    from rich.table import Table


Limit = Callable[[float], float | None]
"""Comparisons that any strategy needs to err this rarely, where that is known."""


@dataclass(frozen=True)
class Row:
    """One strategy. None where a figure is not defined in this world."""

    strategy: str
    prompts: int
    accuracy: float
    """Share of prompts on which the winner is (among) the best."""
    low: float
    high: float
    """The 95% interval of the accuracy, bootstrapped over prompts."""
    regret: float
    """Mean by which the best is worth more than the winner."""
    comparisons: float
    judge_tokens: float | None
    """Mean tokens that the judge wrote for a prompt."""
    judge_prompt_tokens: float | None
    stages: float
    latency: float | None
    """Mean over prompts: the longest output of each stage, summed, in tokens."""
    void_rate: float | None
    """Share of the calls."""
    flip_rate: float | None
    """Share of the pairs heard in both orders on which the two disagree."""
    limit: float | None
    """Comparisons that any strategy needs, under independent noise, to err as rarely as `limit_error`."""
    limit_error: float | None
    """The chance of error that the strategy states, or else the one it was found to have."""
    baseline: str | None = None
    difference: float | None = None
    """Accuracy less that of the baseline, on the same prompts."""
    difference_low: float | None = None
    difference_high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Rounded, so that a difference in the last bits is none."""
        return {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def rows(limit: Limit, played: Mapping[str, Columns], baseline: str | None) -> list[Row]:
    """A row a strategy, in the order given."""
    return [
        _row(limit, text, columns, baseline, played[baseline]["right"] if baseline else None)
        for text, columns in played.items()
    ]


def _row(
    limit: Limit, text: str, columns: Columns, baseline: str | None, other: Column | None
) -> Row:
    right = interval(columns["right"])
    mean = {name: float(column.mean()) for name, column in columns.items()}
    total = {name: float(column.sum()) for name, column in columns.items()}
    written = total["tokens"] > 0
    error = _stated_error(text)
    if error is None:
        error = 1.0 - right.mean
    bound = limit(error)
    row = Row(
        strategy=text,
        prompts=len(columns["right"]),
        accuracy=right.mean,
        low=right.low,
        high=right.high,
        regret=mean["regret"],
        comparisons=mean["comparisons"],
        judge_tokens=mean["tokens"] if written else None,
        judge_prompt_tokens=mean["prompt_tokens"] if total["prompt_tokens"] else None,
        stages=mean["stages"],
        latency=mean["latency"] if written else None,
        void_rate=_share(total["voids"], total["comparisons"]),
        flip_rate=_share(total["flips"], total["pairs"]),
        limit=bound,
        limit_error=None if bound is None else error,
    )
    if other is None or baseline == text:
        return row
    gain = interval(columns["right"] - other)
    return Row(
        **{
            **asdict(row),
            "baseline": baseline,
            "difference": gain.mean,
            "difference_low": gain.low,
            "difference_high": gain.high,
        }
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _stated_error(text: str) -> float | None:
    """The chance of error that a strategy or its rule was asked to keep to, where it was."""
    name, parameters = parse_notation(text)
    rule, _, argument = parameters.get("rule", "").partition(":")
    stated = argument.partition(":")[0] if rule == "sequential" else None
    if name in known_strategies():
        parameters = {**describe(name).parameters, **parameters}
    stated = parameters.get("error", stated)
    return None if stated is None else float(stated)


def table(found: Sequence[Row], title: str, about: str, width: int) -> Table:
    """The rows for people. `about`: what accuracy is here.

    Columns that say nothing in this world are left out, and so are the last ones that do not fit `width`.
    """
    from rich import box
    from rich.table import Table

    columns = {
        "strategy": [row.strategy for row in found],
        about: [f"{row.accuracy:.3f}" for row in found],
        "95%": [f"{row.low:.3f}–{row.high:.3f}" for row in found],
        "calls": [_text(row.comparisons, ".1f") for row in found],
        "limit": [_text(row.limit, ".1f") for row in found],
        "stages": [_text(row.stages, ".1f") for row in found],
        "difference": [_difference(row) for row in found],
        "tokens": [_text(row.judge_tokens, ",.0f") for row in found],
        "latency": [_text(row.latency, ",.0f") for row in found],
        "flips": [_text(row.flip_rate, ".1%") for row in found],
        "void": [_text(row.void_rate, ".1%") for row in found],
        "regret": [_text(row.regret, ".3f") for row in found],
    }
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    kept: list[list[str]] = []
    for name, cells in columns.items():
        needed = max(map(len, [name, *cells])) + 2
        if any(cells) and (needed <= width or not kept):
            width -= needed
            shown.add_column(
                name, justify="left" if name == "strategy" else "right", no_wrap=bool(kept)
            )
            kept.append(cells)
    for line in zip(*kept, strict=True):
        shown.add_row(*line)
    return shown


def _text(value: float | None, how: str) -> str:
    return "" if value is None or np.isnan(value) else format(value, how)


def _difference(row: Row) -> str:
    if row.difference is None:
        return ""
    return f"{row.difference:+.3f} ({row.difference_low:+.3f} to {row.difference_high:+.3f})"
