"""The values everything speaks: frozen, typed, without behaviour beyond reading themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class BonError(Exception):
    """Something a person can mend: its text is one line that says what to do."""

    exit_code = 2


class EngineError(BonError):
    """A model could not be loaded, or its engine died: the run cannot go on."""

    exit_code = 1


class Outcome(StrEnum):
    """How one comparison ended. The four are never turned into one another."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    VOID = "void"


class VoidReason(StrEnum):
    """Why a comparison has no verdict."""

    UNPARSABLE = "unparsable"
    """The judge finished and named nobody."""
    TRUNCATED = "truncated"
    """The judge hit its token limit before a verdict."""
    TOO_LONG = "too-long"
    """The comparison does not fit the judge's context."""
    FAILED = "failed"
    """The back end raised an error."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One response of the policy."""

    text: str
    """What is judged: the response without its thinking."""
    thinking: str = ""
    finish_reason: str = "stop"
    """`stop`, or `length` where the token limit cut it off."""
    tokens: int = 0
    """Generated tokens, thinking included."""
    score: float | None = None
    """What a scalar reward model gives it, where the input says so."""
    correct: bool | None = None
    """Whether it is right, where the input says so."""
    prompt_tokens: int = 0
    """Tokens of the prompt that it was sampled from; all candidates of one request share them."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the policy is asked, and the true answer where it is known."""

    id: str
    messages: tuple[Message, ...]
    answer: str | None = None
    given: tuple[Candidate, ...] = ()
    """Candidates that came with the prompt; where there are any, none are sampled."""
    tools: str = ""
    """Functions that the policy may call, as JSON in the form that OpenAI's `tools` have."""
    raw: bool = False
    """The one message is a text to go on with, outside any chat template."""

    @property
    def text(self) -> str:
        """The conversation as one text: a lone user turn as it is, otherwise a turn a paragraph."""
        if len(self.messages) == 1 and self.messages[0].role == "user" and not self.tools:
            return self.messages[0].content
        turns = [f"{m.role}: {m.content}" for m in self.messages]
        return "\n\n".join([f"tools: {self.tools}", *turns] if self.tools else turns)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge said of one pair, and what it cost."""

    outcome: Outcome
    p_first: float | None = None
    """Probability of FIRST from the judge's log-probabilities, where it gives them."""
    reasoning: str = ""
    """The judge's thinking."""
    text: str = ""
    """What the judge wrote after its thinking."""
    void_reason: VoidReason | None = None
    detail: str = ""
    """For a VOID, what happened, in words."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """How many of `prompt_tokens` the engine took from its prefix cache."""
    output_tokens: int = 0

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.VOID) != (self.void_reason is not None):
            raise ValueError("a VOID verdict has a reason, and no other verdict has one")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One directed judge call: `first` was shown in the first slot."""

    first: int
    second: int
    repeat: int
    """Which vote this is for this pair in this order, from 0."""
    attempt: int
    """0, or 1 for the retry of a VOID."""
    stage: int
    """Length of the longest chain of judge calls that had to end before this one could, itself counted."""
    verdict: Verdict

    @property
    def score_first(self) -> float | None:
        """1 where the first won, 0 where the second did, .5 for a tie, None for a VOID."""
        return SCORE_FIRST[self.verdict.outcome]

    @property
    def winner(self) -> int | None:
        """The candidate the verdict names, if it names one."""
        match self.verdict.outcome:
            case Outcome.FIRST:
                return self.first
            case Outcome.SECOND:
                return self.second
            case _:
                return None


SCORE_FIRST: Mapping[Outcome, float | None] = {
    Outcome.FIRST: 1.0,
    Outcome.SECOND: 0.0,
    Outcome.TIE: 0.5,
    Outcome.VOID: None,
}


class Decision(StrEnum):
    """What decided a match."""

    VERDICTS = "verdicts"
    SPLIT = "split"
    """The verdicts were balanced: a seeded coin chose who advances."""
    VOID = "void"
    """There was no verdict at all: a seeded coin chose, and no rating knows of it."""


@dataclass(frozen=True, slots=True)
class Match:
    """Two candidates, decided by the comparisons a match rule asked for."""

    a: int
    b: int
    winner: int
    decision: Decision
    stage: int
    """Stage of its last comparison."""
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate's place in the ranking of its prompt."""

    candidate: int
    rank: int
    wins: float
    """Verdicts won, a tie counting one half."""
    losses: float
    strength: float
    """Bradley-Terry log-strength (natural units, mean 0 over those that played)."""
    strength_se: float
    """Its standard error under the posterior."""
    elo: float | None = None
    """Elo in the usual 400-point scale, where the schedule makes it meaningful (round robin)."""


@dataclass(frozen=True, slots=True)
class Result:
    """Everything known about one prompt when its tournament is over."""

    prompt: Prompt
    candidates: tuple[Candidate, ...]
    groups: tuple[int, ...]
    """For each candidate, the index of the candidate that plays for it (itself, if it plays)."""
    winner: int | None
    ranking: tuple[Standing, ...]
    matches: tuple[Match, ...]
    comparisons: tuple[Comparison, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Strategy, policy, judge, template and seed, as they were asked for."""
    error: str | None = None
    """Why there is no winner, where there is none."""
    cut_short: str | None = None
    """Why the tournament ended before its strategy was done, where it did: the best so far won."""
