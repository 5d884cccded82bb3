"""From what a judge wrote to its verdict. Nothing here raises, whatever the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bon.generation import TokenChoice
from bon.generation.thinking import split_thinking
from bon.judge.template import Template
from bon.types import Outcome, VoidReason


@dataclass(frozen=True, slots=True)
class Reading:
    """What a judge's output says."""

    outcome: Outcome
    reasoning: str
    text: str
    void_reason: VoidReason | None = None
    label_from_end: int = 0
    """Distance in characters from the start of the verdict's label to the end of the output."""
    label: str = ""


def read_verdict(
    template: Template, text: str, finish_reason: str, starts_thinking: bool
) -> Reading:
    """The last verdict after the thinking; VOID where there is none or the thinking never ended."""
    reasoning, answer, _ = split_thinking(text, starts_thinking)
    cut_off = finish_reason == "length"
    found = None
    for match in template.pattern.finditer(answer):
        if match.group(1) in template.labels:
            found = match
    if found is None:
        reason = VoidReason.TRUNCATED if cut_off else VoidReason.UNPARSABLE
        return Reading(Outcome.VOID, reasoning, answer.strip(), reason)
    label = found.group(1)
    return Reading(
        template.labels[label],
        reasoning,
        answer.strip(),
        label_from_end=len(answer) - found.start(1),
        label=label,
    )


def probability_of_first(
    template: Template, reading: Reading, tail: Sequence[TokenChoice]
) -> float | None:
    """Probability of FIRST against SECOND at the token where the two labels part ways.

    None where the engine gave no log-probabilities, or the token cannot be found. Where the other
    label is not among the reported tokens, it is taken to be as likely as the least of them, which
    bounds its probability from above.
    """
    if reading.outcome not in (Outcome.FIRST, Outcome.SECOND):
        return None
    by_outcome = {outcome: label for label, outcome in template.labels.items()}
    mine, other = (
        reading.label,
        by_outcome[Outcome.SECOND if reading.outcome is Outcome.FIRST else Outcome.FIRST],
    )
    parting = next((i for i, (x, y) in enumerate(zip(mine, other, strict=False)) if x != y), None)
    if parting is None:
        return None
    distance = reading.label_from_end - parting
    for choice in reversed(tail):
        distance -= len(choice.text)
        if distance <= 0:
            return _share_of_first(
                choice, -distance, mine[parting], other[parting], reading.outcome
            )
    return None


def _share_of_first(
    choice: TokenChoice, place: int, mine: str, other: str, outcome: Outcome
) -> float | None:
    if choice.text[place : place + 1] != mine or not choice.logprobs:
        return None
    rival = choice.text[:place] + other + choice.text[place + 1 :]
    own = choice.logprobs.get(choice.text)
    if own is None:
        return None
    against = choice.logprobs.get(rival, min(choice.logprobs.values()))
    p_mine = 1.0 / (1.0 + math.exp(min(700.0, against - own)))
    return p_mine if outcome is Outcome.FIRST else 1.0 - p_mine
