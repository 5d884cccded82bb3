"""Histograms as data: bars in the unit square, drawn by the page's template."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bon.types import Result


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin: where it stands and how high, 0 to 1, and what it says when pointed at."""

    left: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis, at 0 to 1."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bars over an axis."""

    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    count: int
    most: str
    """What the highest bar stands for."""


def histogram(
    values: Iterable[float | None],
    low: float | None = None,
    high: float | None = None,
    bins: int = 24,
) -> Histogram | None:
    """Counts of the known values in equal bins over round limits; None where there is no value."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high, ticks = _axis(
        min(known) if low is None else low, max(known) if high is None else high
    )
    counts = Counter(min(bins - 1, int((v - low) / (high - low) * bins)) for v in known)
    most = max(counts.values())
    width = (high - low) / bins
    bars = [
        Bar(
            i / bins,
            1 / bins,
            counts[i] / most,
            f"{_number(low + i * width)} to {_number(low + (i + 1) * width)}: {counts[i]:,}",
        )
        for i in range(bins)
    ]
    return Histogram(
        bars, [Tick((t - low) / (high - low), _number(t)) for t in ticks], len(known), f"{most:,}"
    )


class Lengths:
    """Lengths in characters of all candidates and of winners, in bins that double every two."""

    def __init__(self) -> None:
        self._all: Counter[int] = Counter()
        self._winners: Counter[int] = Counter()

    def add(self, result: Result) -> None:
        self._all.update(_octave(len(c.text)) for c in result.candidates)
        if result.winner is not None:
            self._winners[_octave(len(result.candidates[result.winner].text))] += 1

    def histograms(self) -> tuple[Histogram, Histogram] | None:
        """Shares of all candidates and of the winners on one axis; None where there is no candidate."""
        if not self._all:
            return None
        first, last = min(self._all), max(self._all)
        first, last = first - first % 2, max(last, first + 7)
        n = last - first + 1
        shares = [
            {k: count / total for k, count in counter.items()}
            for counter in (self._all, self._winners)
            if (total := counter.total() or 1)
        ]
        most = max(max(share.values(), default=0.0) for share in shares)
        ticks = [
            Tick((k - first) / n, f"{2 ** (k // 2):,}")
            for k in range(first, last + 1)
            if (k - first) % (2 * math.ceil(n / 12)) == 0
        ]
        made = [
            Histogram(
                [
                    Bar(
                        (k - first) / n,
                        1 / n,
                        share.get(k, 0.0) / most,
                        f"{2 ** (k / 2):,.0f} to {2 ** ((k + 1) / 2):,.0f} characters:"
                        f" {share.get(k, 0.0):.1%}",
                    )
                    for k in range(first, last + 1)
                ],
                ticks,
                counter.total(),
                f"{most:.0%}",
            )
            for share, counter in zip(shares, (self._all, self._winners), strict=True)
        ]
        return made[0], made[1]


def _octave(length: int) -> int:
    return math.floor(2 * math.log2(max(1, length)))


def _axis(low: float, high: float) -> tuple[float, float, list[float]]:
    """Limits widened to round numbers, and about five round numbers between them."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return first * step, last * step, [k * step for k in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if abs(value) > 1e-9 else "0"
