"""The board: what runs, and what ran lately, for the page at `/`.

It watches; it is asked nothing by the tournaments. The oldest entries go first, by number and by size.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bon.api import Observer, Sampled
from bon.diagnostics import diagnose
from bon.report.page import detail_of, row_of, tree_of
from bon.server.asking import Asked
from bon.server.places import without_places
from bon.shape import UNDECIDED, by_rank, forest
from bon.types import Candidate, Comparison, Result, Verdict
from bon.untrusted import last_line, one_line

KEPT = 100
"""Tournaments that are over."""
CHARACTERS = 16 << 20
"""Of all their texts."""


class Entry(Observer):
    """One request: what is known of its tournament by now."""

    def __init__(self, number: int, asked: Asked) -> None:
        self.number = number
        self.asked = asked
        self.began = time.time()
        self.ended: float | None = None
        self.state = "sampling"
        self.version = 0
        self.candidates: Sequence[Candidate] = ()
        self.comparisons: list[Comparison] = []
        self.result: Result | None = None

    def sampled(self, sampled: Sampled) -> None:
        self.candidates = sampled.candidates
        self.state = "judging"
        self.version += 1

    def compared(self, first: int, second: int, verdict: Verdict) -> None:
        self.comparisons.append(Comparison(first, second, 0, 0, 0, verdict))
        self.version += 1

    def end(self, state: str, result: Result | None = None) -> None:
        """It is over."""
        self.state, self.result, self.ended = state, result, time.time()
        self.version += 1

    @property
    def size(self) -> int:
        """Characters, about."""
        texts = sum(len(c.text) + len(c.thinking) for c in self.candidates)
        said = sum(len(c.verdict.reasoning) + len(c.verdict.text) for c in self.comparisons)
        return texts + said + len(self.asked.prompt.text)

    def row(self) -> dict[str, Any]:
        """Its line in the list."""
        winner = self.result.winner if self.result else None
        return {
            "number": self.number,
            "state": self.state,
            "version": self.version,
            "prompt": one_line(self.asked.prompt.messages[-1].content, 160),
            "technique": f"best of {self.asked.job.n} by {self.asked.job.strategy}"
            if not self.asked.technique.plain
            else "plain",
            "answer": last_line(self.candidates[winner].text, 100) if winner is not None else "",
            "comparisons": len(self.comparisons),
            "seconds": round((self.ended or time.time()) - self.began, 1),
        }

    def detail(self) -> dict[str, Any]:
        """All of it: a result as the report has it, or as much of one as there is."""
        if self.result is not None:
            [diagnosis] = diagnose([self.result])
            return {
                **self.row(),
                "row": row_of(self.result, diagnosis),
                "result": without_places(detail_of(self.result, diagnosis), self.asked.job),
            }
        return {**self.row(), "row": None, "result": self._so_far()}

    def _so_far(self) -> dict[str, Any]:
        prompt, job = self.asked.prompt, self.asked.job
        so_far = Result(prompt, tuple(self.candidates), (), None, (), (), tuple(self.comparisons))
        trees = forest(self.comparisons)
        nodes = [node for tree in trees or () for node in tree]
        place = {id(node.match): i for i, node in enumerate(nodes)}
        return {
            "id": prompt.id,
            "prompt": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "winner": None,
            "candidates": [{"text": c.text, "tokens": c.tokens} for c in self.candidates],
            "matches": [
                {
                    "a": node.match.a,
                    "b": node.match.b,
                    "winner": None if node.match.winner == UNDECIDED else node.match.winner,
                    "decision": "verdicts",
                    "comparisons": [
                        i
                        for i, c in enumerate(self.comparisons)
                        if {c.first, c.second} == {node.match.a, node.match.b}
                    ],
                }
                for node in nodes
            ],
            # without what the judge wrote: the page asks again and again
            "comparisons": [
                {
                    "first": c.first,
                    "second": c.second,
                    "outcome": c.verdict.outcome.value,
                    "p_first": c.verdict.p_first,
                }
                for c in self.comparisons
            ],
            "provenance": {"strategy": str(job.strategy)},
            "page": {
                "labels": [last_line(c.text, 80) or "(empty)" for c in self.candidates],
                "right": None,
                "order": by_rank(so_far),
                "forest": None if trees is None else [tree_of(tree, place) for tree in trees],
            },
        }


class Board:
    """Entries by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._running: dict[int, Entry] = {}
        self._over: deque[Entry] = deque()

    @contextmanager
    def entry(self, asked: Asked) -> Iterator[Entry]:
        """An entry while a request runs. Left without a result, it says whether it failed or was given up."""
        entry = Entry(next(self._numbers), asked)
        self._running[entry.number] = entry
        try:
            yield entry
        except Exception:
            entry.end("failed")
            raise
        except BaseException:
            entry.end("given up")
            raise
        finally:
            del self._running[entry.number]
            self._over.appendleft(entry)
            self._forget()

    def rows(self) -> list[dict[str, Any]]:
        """Running ones, then those that are over; the latest first."""
        running = [entry.row() for entry in reversed(self._running.values())]
        return running + [entry.row() for entry in self._over]

    def detail(self, number: int) -> dict[str, Any] | None:
        """One entry, if it is still there."""
        entry = self._running.get(number)
        if entry is None:
            entry = next((e for e in self._over if e.number == number), None)
        return entry.detail() if entry else None

    def _forget(self) -> None:
        size = sum(entry.size for entry in self._over)
        while len(self._over) > KEPT or (size > CHARACTERS and len(self._over) > 1):
            size -= self._over.pop().size
