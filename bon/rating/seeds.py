"""One random generator for each tournament, so that none depends on its company in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def generators(
    rng: np.random.Generator | Sequence[np.random.Generator] | None, count: int
) -> list[np.random.Generator]:
    """``count`` generators: those given, or children of the one given, or of seed 0."""
    if isinstance(rng, Sequence):
        if len(rng) != count:
            raise ValueError(f"give one generator a tournament ({count}), got {len(rng)}")
        return list(rng)
    return (np.random.default_rng(0) if rng is None else rng).spawn(count)
