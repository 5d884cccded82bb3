"""What a person sees on stderr while a run goes on."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bon.api import Observer, Sampled
from bon.types import Outcome, Result, Verdict
from bon.untrusted import one_line


class Watcher(Observer):
    """Watches a run: bars with time left on a terminal, a line a phase elsewhere, totals for the end."""

    def __init__(
        self, prompts: int | None, tournaments: int | None = None, quiet: bool = False
    ) -> None:
        self.comparisons = 0
        self.voids = 0
        self.judge_tokens = 0
        self.policy_tokens = 0
        self.failed = 0
        self._finished = 0
        self._prompts = prompts
        self._tournaments = prompts if tournaments is None else tournaments
        self._console = Console(stderr=True, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._tasks: dict[str, TaskID] = {}
        self._began = time.monotonic()
        self._judging_since: float | None = None
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )

    def __enter__(self) -> Watcher:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @property
    def seconds(self) -> float:
        """Wall time since the watcher was made."""
        return time.monotonic() - self._began

    @property
    def void_rate(self) -> float:
        """Share of all judge calls so far that gave no verdict."""
        return self.voids / self.comparisons if self.comparisons else 0.0

    def loading(self, role: str, model: str) -> None:
        self._phase(f"load-{role}", f"loading {role} {model}", None)

    def loaded(self, role: str) -> None:
        self._progress.remove_task(self._tasks.pop(f"load-{role}"))

    def reported(self, role: str, text: str) -> None:
        self.say(f"{role}: {text}")

    def sampled(self, sampled: Sampled) -> None:
        self._phase("sample", "sampling", self._prompts)
        self.policy_tokens += sum(candidate.tokens for candidate in sampled.candidates)
        note = f"{self.policy_tokens:,} tokens"
        self._progress.update(self._tasks["sample"], advance=1, note=note)

    def heard(self, verdict: Verdict) -> None:
        self._phase("judge", "judging", self._tournaments)
        self.comparisons += 1
        self.voids += verdict.outcome is Outcome.VOID
        self.judge_tokens += verdict.output_tokens
        self._note()

    def finished(self, result: Result) -> None:
        self._phase("judge", "judging", self._tournaments)
        self.failed += result.error is not None
        self._finished += 1
        self._progress.update(self._tasks["judge"], advance=1)

    def summary(self) -> str:
        """The run in one line."""
        failed = f", {self.failed} failed" if self.failed else ""
        prompts = self._finished if self._prompts is None else self._prompts
        return (
            f"{prompts:,} prompts{failed}, {self.comparisons:,} comparisons"
            f" ({self.void_rate:.1%} void), {self.policy_tokens:,} policy tokens,"
            f" {self.judge_tokens:,} judge tokens, {self.seconds:.0f} s"
        )

    def say(self, line: str) -> None:
        """Print a line for people; what it quotes cannot drive their terminal."""
        self._console.print(one_line(line, 2000), highlight=False, markup=False, soft_wrap=True)

    def _phase(self, key: str, description: str, total: int | None) -> None:
        if key in self._tasks:
            return
        if key == "judge":
            self._judging_since = time.monotonic()
        self._tasks[key] = self._progress.add_task(description, total=total, note="")
        if not self._live:
            self.say(f"{description} ...")

    def _note(self) -> None:
        if not self._live or self._judging_since is None:
            return
        rate = self.judge_tokens / max(time.monotonic() - self._judging_since, 1e-3)
        note = f"{self.comparisons:,} comparisons, {rate:,.0f} tokens/s, {self.void_rate:.1%} void"
        self._progress.update(self._tasks["judge"], note=note)
