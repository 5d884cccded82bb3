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
    label: str = ""
    rest: str = ""
    """The output from the verdict's label to its end, label included."""


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
        label=label,
        rest=answer[found.start(1) :].rstrip() + text[len(text.rstrip()) :],
    )


def probability_of_first(
    template: Template, reading: Reading, tail: Sequence[TokenChoice]
) -> float | None:
    """Probability of FIRST against SECOND at the token where the two labels part ways.

    None where the engine gave no log-probabilities, or the token cannot be found. Where the other
    label is not among the reported tokens, it is taken to be as likely as the least of them, which
    bounds its probability from above.
    """
    if not tail or reading.outcome not in (Outcome.FIRST, Outcome.SECOND):
        return None
    by_outcome = {outcome: label for label, outcome in template.labels.items()}
    mine = reading.label
    other = by_outcome[Outcome.SECOND if reading.outcome is Outcome.FIRST else Outcome.FIRST]
    parting = next((i for i, (x, y) in enumerate(zip(mine, other, strict=False)) if x != y), None)
    if parting is None:
        return None
    found = _token_at(tail, reading.rest[parting:])
    if found is None:
        return None
    choice, place = found
    own = choice.logprobs.get(choice.text)
    if own is None:
        return None
    other_way = choice.text[:place] + other[parting:] + reading.rest[len(mine) :]
    rivals = [
        logprob
        for text, logprob in choice.logprobs.items()
        if len(text) > place and other_way.startswith(text)
    ]
    against = max(rivals, default=min(choice.logprobs.values()))
    p_mine = 1.0 / (1.0 + math.exp(min(700.0, against - own)))
    return p_mine if reading.outcome is Outcome.FIRST else 1.0 - p_mine


def _token_at(tail: Sequence[TokenChoice], end: str) -> tuple[TokenChoice, int] | None:
    """The token in which `end`, the end of the output, begins, and where in it."""
    # The token that stopped the generation is among the tokens, but its text is not in the output.
    for tokens in (tail, tail[:-1]):
        written = "".join(choice.text for choice in tokens)
        if written.endswith(end):
            place = len(written) - len(end)
            for choice in tokens:
                if place < len(choice.text):
                    return choice, place
                place -= len(choice.text)
    return None
