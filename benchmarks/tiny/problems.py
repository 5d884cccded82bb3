"""The one domain of the tiny models: reasoning-gym's `chain_sum`, in disjoint splits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reasoning_gym

# The difficulty. It was fixed on validation problems before any strategy was measured; changing it
# means retraining both models and measuring everything again.
DIFFICULTY: dict[str, int] = {"min_terms": 3, "max_terms": 5, "min_digits": 2, "max_digits": 2}
HELD_OUT = 1_000
VALIDATION = 1_000
# reasoning-gym seeds item i with `seed + i`, so the splits' seeds lie further apart than their sizes.
_SEEDS = {"held-out": 0, "validation": 1_000_000, "train": 10_000_000}


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its right answer."""

    id: str
    prompt: str
    answer: str

    @property
    def expression(self) -> str:
        """The bare sum, e.g. `4 + 13 - 8`."""
        return self.prompt.partition(": ")[2].removesuffix(" =")


def _generate(split: str, size: int) -> Iterator[Problem]:
    data = reasoning_gym.create_dataset("chain_sum", seed=_SEEDS[split], size=size, **DIFFICULTY)
    for index in range(size):
        item = data[index]
        yield Problem(f"chain_sum-{index:03d}", item["question"], item["answer"])


def _distinct(split: str, size: int, seen: set[str]) -> list[Problem]:
    """The first `size` problems of a split whose text is not in `seen`, which grows by them."""
    kept: list[Problem] = []
    for problem in _generate(split, 2 * size + 1_000):
        if problem.prompt not in seen:
            seen.add(problem.prompt)
            kept.append(Problem(f"chain_sum-{len(kept):03d}", problem.prompt, problem.answer))
        if len(kept) == size:
            return kept
    raise ValueError(f"the difficulty leaves too few distinct problems for {size} of {split}")


def held_out() -> list[Problem]:
    """What is shipped and measured on, and never trained on."""
    return _distinct("held-out", HELD_OUT, set())


def validation() -> list[Problem]:
    """What the difficulty and the training times were chosen on."""
    return _distinct("validation", VALIDATION, {p.prompt for p in held_out()})


def training(size: int, exclude: list[Problem]) -> list[Problem]:
    """Distinct problems, none of which is in `exclude`."""
    return _distinct("train", size, {p.prompt for p in exclude})


def score(answer: str | None, problem: Problem) -> bool:
    """reasoning-gym's own verdict on a final answer."""
    return bool(_scorer().score_answer(answer, {"answer": problem.answer}) == 1.0)


_SCORER: Any = None


def _scorer() -> Any:
    global _SCORER
    if _SCORER is None:
        _SCORER = reasoning_gym.create_dataset("chain_sum", seed=0, size=1)
    return _SCORER


def save(problems: list[Problem], path: Path) -> None:
    rows = ({"id": p.id, "prompt": p.prompt, "answer": p.answer} for p in problems)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def load(path: Path) -> list[Problem]:
    return [Problem(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
