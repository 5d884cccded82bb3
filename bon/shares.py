"""Shares of comparisons with their intervals, over one prompt or over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Part(NamedTuple):
    """So many of so many, in one prompt."""

    hits: int
    of: int


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `of`, with a 95% interval."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None


class Adding:
    """Parts of many prompts on their way to a share: five whole numbers, however many prompts."""

    __slots__ = ("_hits", "_hits_of", "_hits_squared", "_of", "_of_squared", "_parts")

    def __init__(self) -> None:
        self._parts = self._hits = self._of = 0
        self._hits_squared = self._hits_of = self._of_squared = 0

    def add(self, part: Part) -> None:
        """Count one prompt's part."""
        hits, of = part
        if of:
            self._parts += 1
            self._hits += hits
            self._of += of
            self._hits_squared += hits * hits
            self._hits_of += hits * of
            self._of_squared += of * of

    def share(self) -> Share:
        """The share over all parts.

        Wilson's interval, on as many independent observations as the spread between prompts shows
        the comparisons to be worth (the linearised variance of a ratio; Cochran, Sampling
        Techniques, 6.4).
        """
        hits, of = self._hits, self._of
        if not of:
            return Share(0, 0, 0.0, 1.0)
        p = hits / of
        worth = float(of)
        if self._parts > 1 and 0 < hits < of:
            # sum of (part.hits - p * part.of)**2, in whole numbers until the last division
            spread = (
                of * of * self._hits_squared
                - 2 * hits * of * self._hits_of
                + hits * hits * self._of_squared
            ) / of**2
            variance = spread / of**2 * self._parts / (self._parts - 1)
            worth = min(worth, p * (1 - p) / variance) if variance else worth
        z2 = 1.96**2
        middle = (p + z2 / (2 * worth)) / (1 + z2 / worth)
        reach = math.sqrt(z2 * (p * (1 - p) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
        return Share(hits, of, max(0.0, middle - reach), min(1.0, middle + reach))


def share(parts: Iterable[Part]) -> Share:
    """The share over all parts, one part a prompt."""
    adding = Adding()
    for part in parts:
        adding.add(part)
    return adding.share()
