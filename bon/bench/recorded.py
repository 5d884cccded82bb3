"""The recorded world: a judge replayed from verdicts on disk.

What was recorded is all there is: a comparison that is not there is an error, a VOID is final, and nothing
can be asked twice. Truth comes from labels, or from the full double round robin: the mean score over the
cells that are not void, and whoever shares the highest is a winner.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import IO, Any

import orjson

from bon.bench.played import Played, played
from bon.judge.template import Template
from bon.judge.verdict import read_verdict
from bon.simulate import play
from bon.tournament import Strategy, Tournament
from bon.types import SCORE_FIRST, BonError, Comparison, Outcome, Verdict, VoidReason

SCORES = {1: Outcome.FIRST, 2: Outcome.SECOND, 3: Outcome.TIE, -1: Outcome.VOID}
CHARACTERS_A_TOKEN = 4
"""For tokens where the recording has text and no count: an estimate, and said to be one."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Recording:
    """The verdicts on one prompt, by (first, second), and what each candidate is worth."""

    id: str
    names: tuple[str, ...]
    verdicts: Mapping[Pair, Verdict]
    labels: Mapping[str, float] | None = None

    def verdict(self, first: str, second: str) -> Verdict:
        """Raises `BonError` where it was never recorded."""
        try:
            return self.verdicts[first, second]
        except KeyError:
            raise BonError(
                f"prompt {self.id}: no verdict on {first!r} shown before {second!r} was recorded:"
                " record it, or leave out what asks for it"
            ) from None

    def worth(self, pairs: Iterator[Pair]) -> dict[str, float]:
        """The mean score of each candidate over these verdicts, VOIDs left out; one half without any."""
        scores: dict[str, list[float]] = {name: [] for name in self.names}
        for first, second in pairs:
            score = SCORE_FIRST[self.verdict(first, second).outcome]
            if score is not None:
                scores[first].append(score)
                scores[second].append(1.0 - score)
        return {name: sum(s) / len(s) if s else 0.5 for name, s in scores.items()}

    def half(self, seed: int) -> set[Pair]:
        """One order of each pair, drawn by the seed."""
        rng = _rng(seed, "half", self.id)
        return {
            (a, b) if rng.random() < 0.5 else (b, a)
            for i, a in enumerate(self.names)
            for b in self.names[:i]
        }


@dataclass(frozen=True)
class Recorded:
    """A recorded judge as a world. With `split`, strategies see one order of each pair, and the other
    orders say who was best: an answer that does not hold the verdicts it is judged by."""

    recordings: tuple[Recording, ...]
    seed: int = 0
    split: bool = False
    _worths: dict[int, dict[str, float]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> int:
        return len(self.recordings)

    @property
    def seats(self) -> Sequence[int]:
        return [len(recording.names) for recording in self.recordings]

    def play(self, strategy: Strategy, index: int) -> tuple[Played, Sequence[Comparison]]:
        recording = self.recordings[index]
        worth = self.worth(index)
        rng = _rng(self.seed, "seats", recording.id)
        seats = rng.sample(recording.names, len(recording.names))
        tournament = Tournament(
            strategy,
            len(seats),
            seed=f"{rng.getrandbits(64):x}",
            places=[recording.names.index(name) for name in seats],
            truth=[worth[name] for name in seats],
            votes=1 if self.split else 2,
            retries=0,
        )
        heard = recording.half(self.seed) if self.split else set()
        asked: set[frozenset[str]] = set()

        def judge(first: int, second: int, repeat: int, attempt: int) -> Verdict:
            a, b = seats[first], seats[second]
            pair = frozenset((a, b))
            if repeat or (self.split and pair in asked):
                raise BonError(
                    f"prompt {recording.id}: {strategy} asks for {a!r} and {b!r} again, and there is one"
                    f" verdict {'a pair in a split' if self.split else 'in each order'}: use a rule that"
                    " repeats nothing, such as rule=single"
                )
            asked.add(pair)
            if self.split and (a, b) not in heard:
                return turned(recording.verdict(b, a))
            return recording.verdict(a, b)

        play(tournament, judge)
        chosen, best = worth[seats[tournament.order[0]]], max(worth.values())
        right = float(chosen == best)
        heard_here = tournament.comparisons
        return played(heard_here, tournament.stages, right, best - chosen), heard_here

    def limit(self, error: float) -> float | None:
        return None

    def reference(self, text: str) -> Strategy | None:
        return None

    def worth(self, index: int) -> dict[str, float]:
        """What each candidate of a prompt is worth: by its label, or by the verdicts that are truth."""
        if index not in self._worths:
            recording = self.recordings[index]
            if recording.labels is not None:
                worth = {name: recording.labels[name] for name in recording.names}
            elif self.split:
                worth = recording.worth((b, a) for a, b in recording.half(self.seed))
            else:
                names = recording.names
                worth = recording.worth((a, b) for a in names for b in names if a != b)
            self._worths[index] = worth
        return self._worths[index]


def turned(verdict: Verdict) -> Verdict:
    """The same verdict with the two names exchanged."""
    outcome = {Outcome.FIRST: Outcome.SECOND, Outcome.SECOND: Outcome.FIRST}.get(verdict.outcome)
    return Verdict(
        outcome or verdict.outcome,
        None if verdict.p_first is None else 1.0 - verdict.p_first,
        void_reason=verdict.void_reason,
        output_tokens=verdict.output_tokens,
    )


def read_recordings(
    path: str, *, template: Template | None = None, labels: str | None = None
) -> tuple[Recording, ...]:
    """Read verdicts, a JSON object a line, gzipped or not, in the order in which prompts first appear.

    A row has `prompt_id`, `first`, `second`, and `score` (1, 2, 3 for a tie, -1 for VOID) or `outcome`; with a
    `template`, its `text` is read by that template's parser instead. `labels` names a file of rows with
    `prompt_id`, `candidate` and `correct`. Raises `BonError` with the line for a row that is none of this.
    """
    verdicts: dict[str, dict[Pair, Verdict]] = {}
    for number, row in _rows(path):
        try:
            prompt, pair = str(row["prompt_id"]), (str(row["first"]), str(row["second"]))
            verdict = _verdict(row, template)
        except KeyError as missing:
            raise BonError(f"{path}, line {number}: the field {missing} is missing") from None
        except BonError as error:
            raise BonError(f"{path}, line {number}: {error}") from None
        if pair[0] == pair[1]:
            raise BonError(f"{path}, line {number}: {pair[0]!r} is compared with itself")
        if verdicts.setdefault(prompt, {}).setdefault(pair, verdict) is not verdict:
            raise BonError(
                f"{path}, line {number}: this pair was judged in this order before: keep one"
            )
    if not verdicts:
        raise BonError(f"there is no verdict in {path}: write one JSON object a line")
    worths = _labels(labels) if labels is not None else {}
    recordings = []
    for prompt, heard in verdicts.items():
        names = {name for pair in heard for name in pair} | set(worths.get(prompt, ()))
        known = None
        if labels is not None:
            known = worths.get(prompt, {})
            for name in sorted(names - set(known)):
                raise BonError(f"{labels}: prompt {prompt} has no label for {name!r}: add it")
        recordings.append(Recording(prompt, tuple(sorted(names)), heard, known))
    return tuple(recordings)


def _verdict(row: Mapping[str, Any], template: Template | None) -> Verdict:
    text = row.get("text") or ""
    written = row.get("output_tokens")
    tokens = -(-len(text) // CHARACTERS_A_TOKEN) if written is None else int(written)
    reason = None
    if template is not None:
        opened = "</think>" in text and "<think>" not in text
        reading = read_verdict(template, row["text"], row.get("finish_reason", "stop"), opened)
        outcome, reason = reading.outcome, reading.void_reason
    elif row.get("outcome") is not None:
        try:
            outcome = Outcome(str(row["outcome"]).lower())
        except ValueError:
            known = ", ".join(Outcome)
            raise BonError(f"unknown outcome {row['outcome']!r}; known: {known}") from None
    else:
        score = row["score"]
        if score not in SCORES:
            raise BonError(f"unknown score {score!r}; known: 1 first, 2 second, 3 tie, -1 void")
        outcome = SCORES[score]
    if outcome is Outcome.VOID and reason is None:
        reason = VoidReason.UNPARSABLE
    return Verdict(outcome, row.get("p_first"), void_reason=reason, output_tokens=tokens)


def _labels(path: str) -> dict[str, dict[str, float]]:
    labels: dict[str, dict[str, float]] = {}
    for number, row in _rows(path):
        try:
            labels.setdefault(str(row["prompt_id"]), {})[str(row["candidate"])] = float(
                row["correct"]
            )
        except KeyError as missing:
            raise BonError(f"{path}, line {number}: the field {missing} is missing") from None
        except (TypeError, ValueError):
            raise BonError(
                f"{path}, line {number}: `correct` is neither a truth value nor a number"
            ) from None
    return labels


def _rows(path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with _opened(path) as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _row(path, number, line)
    except (OSError, EOFError) as error:
        raise BonError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error


def _opened(path: str) -> gzip.GzipFile | IO[bytes]:
    file = Path(path).expanduser()
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")


def _row(path: str, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BonError(f"{path}, line {number}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise BonError(f"{path}, line {number}: not a JSON object but a {type(row).__name__}")
    return row


def _rng(*key: object) -> Random:
    return Random(blake2b("\0".join(map(str, key)).encode(errors="surrogatepass")).hexdigest())
