"""The limit under independent noise: what no strategy can go below."""

from __future__ import annotations

from math import log


def limit(n: int, flip: float, error: float) -> float | None:
    """Mean comparisons that any strategy needs to name the best of n and err with chance `error` at most.

    For a total order of which every comparison is wrong with chance `flip`, independently. None where no
    such number is known: at chances of 0, or of one half and more. A change of measure gives it: each of
    the n - 1 others has to be told from the best as in one sequential test. Noisy MAX (arXiv 2309.03986)
    reaches it as `error` goes to 0.
    """
    if not (0.0 < flip < 0.5 and 0.0 < error < 0.5):
        return None
    return (n - 1) * _bits(error) / _bits(flip)


def _bits(chance: float) -> float:
    return (1.0 - 2.0 * chance) * log((1.0 - chance) / chance)
