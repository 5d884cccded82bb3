"""Names to the integers that every rating takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain, count
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bon.rating.games import IntArray

Name = TypeVar("Name", bound=Hashable)


def index_names(
    first: Sequence[Name] | npt.NDArray[Any],
    second: Sequence[Name] | npt.NDArray[Any],
    known: Iterable[Name] = (),
) -> tuple[IntArray, IntArray, list[Name]]:
    """Indices of ``first`` and of ``second``, and the list of names that they index.

    Names are numbered as they appear: ``known`` ones, then ``first``, then ``second``. A dict does
    it in one pass: for strings that beats sorting them, which is what ``np.unique`` does.
    """
    number: defaultdict[Name, int] = defaultdict(count().__next__)
    for name in known:
        number[name]
    sides = (s.tolist() if isinstance(s, np.ndarray) else s for s in (first, second))
    total = len(first) + len(second)
    index = np.fromiter(map(number.__getitem__, chain.from_iterable(sides)), np.intp, total)
    return index[: len(first)], index[len(first) :], list(number)
