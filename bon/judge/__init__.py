"""Judges: anything that compares two responses to a prompt."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from bon.types import Verdict


@runtime_checkable
class PairwiseJudge(Protocol):
    """Compares two texts. A failure is a VOID with its reason, never an exception and never a score."""

    @property
    def identity(self) -> str:
        """Equal only for judges that would draw their verdicts from the same distribution."""
        ...

    async def compare(
        self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
    ) -> Verdict:
        """One judge call with `first` in the first slot.

        `repeat` and `attempt` make the draw another one; `priority` (lower first) only orders the queue.
        Raises `bon.types.EngineError` where no further call can succeed.
        """
        ...
