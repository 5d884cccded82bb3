"""What earlier verdicts taught about a judge, frozen: an input of a strategy, like a seed."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass, fields
from math import log
from pathlib import Path
from typing import Any

import orjson

from bon.types import BonError

GRADES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Graded verdicts are told apart by how sure they are: |log-odds| of FIRST, up to each of these or above."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A judge as its verdicts on other prompts show it; by default, one that nobody has met.

    `bon.posterior.learning` makes them. None of it says anything about a candidate.
    """

    bias: float = 0.0
    """What the first slot is worth to it, in log-odds."""
    bias_sd: float = 0.7
    """How uncertain that is."""
    tie_rate: float | None = None
    """Share of its verdicts that are ties."""
    flip_rate: float | None = None
    """How often one verdict names the one that it does not mean to prefer."""
    worlds: tuple[float, ...] = ()
    """How often each of `bon.posterior.worlds.WORLDS` was met; empty where nobody looked."""
    clear: tuple[float, ...] = ()
    """How often a clear verdict is of each grade, up to the first of `GRADES`, between two, or above the
    last; empty: grades tell nothing, for after long thinking they are often saturated."""
    guess: tuple[float, ...] = ()
    """How often a verdict that is no better than a coin is of each."""

    def grade(self, p_first: float | None) -> tuple[float, float]:
        """How likely a clear verdict, and a guess, is to have this probability of FIRST; 1, 1 if nobody knows."""
        grade = grade_of(p_first)
        if grade is None or not self.clear:
            return BARE
        return self.clear[grade], self.guess[grade]

    def to_json(self) -> dict[str, Any]:
        """The fields as they are."""
        return asdict(self)


BARE = 1.0, 1.0
"""The grade of a verdict without one."""
UNKNOWN = Profile()


def grade_of(p_first: float | None) -> int | None:
    """Which of `GRADES` a verdict with this probability of FIRST is of; None for a bare one."""
    if p_first is None:
        return None
    p = min(max(p_first, 1e-12), 1.0 - 1e-12)
    return bisect_right(GRADES, abs(log(p / (1.0 - p))))


def read_profile(path: str) -> Profile:
    """The profile in a file that `bon profile` wrote. Raises `BonError` where there is none."""
    try:
        row: Any = orjson.loads(Path(path).expanduser().read_bytes())
    except OSError as error:
        raise BonError(f"cannot read {path}: {error.strerror or error}") from error
    except orjson.JSONDecodeError:
        row = None
    if not _sound(row):
        raise BonError(f"{path} is no judge profile: make one with bon profile RESULTS")
    known: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in row.items()
    }
    return Profile(**known)


def _sound(row: Any) -> bool:
    known = {field.name for field in fields(Profile)}
    if not isinstance(row, dict) or not row or not row.keys() <= known:
        return False
    lists = [row.get(name, []) for name in ("worlds", "clear", "guess")]
    if not all(isinstance(one, list) for one in lists):
        return False
    numbers = [row[name] for name in ("bias", "bias_sd") if name in row]
    numbers += [row[name] for name in ("tie_rate", "flip_rate") if row.get(name) is not None]
    chances = [chance for one in lists for chance in one]
    if not all(isinstance(it, int | float) for it in (*numbers, *chances)):
        return False
    lengths = [len(one) for one in lists[1:]]
    return all(chance > 0.0 for chance in chances) and lengths in ([0, 0], [len(GRADES) + 1] * 2)
