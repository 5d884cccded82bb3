"""Candidates that say the same play once: which final answer a text gives, and who plays for whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Context, Decimal

from bon.types import BonError, Candidate

_NUMBER = re.compile(
    r"[-+\u2212]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}\b)?"
)
_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*)?\{|\}")


def boxed(text: str) -> str | None:
    r"""What the last complete `\boxed{...}` holds, braces balanced and outer blanks removed."""
    open_braces: list[tuple[bool, int]] = []
    start, end = 0, -1
    for brace in _BRACE.finditer(text):
        if brace.group() != "}":
            open_braces.append((brace["box"] is not None, brace.end()))
        elif open_braces:
            is_box, inside = open_braces.pop()
            if is_box and inside > start:
                start, end = inside, brace.start()
    return text[start:end].strip() if end >= 0 else None


def last_number(text: str) -> str | None:
    """The last number in the text in one spelling, so that 1,200.0 and 1200 are the same."""
    found = _NUMBER.findall(text)
    return _one_spelling(found[-1]) if found else None


def lone_number(text: str) -> str | None:
    """The number that is all of the text, in the spelling of `last_number`."""
    return _one_spelling(text.strip()) if _NUMBER.fullmatch(text.strip()) else None


def _one_spelling(text: str) -> str:
    number = Decimal(text.replace(",", "").replace("\u2212", "-"))
    if not number:
        return "0"
    number = number.normalize(Context(prec=len(text)))  # the usual 28 digits would round
    return f"{number:f}" if abs(number.adjusted()) < 400 else str(number)


ANSWERS: dict[str, Callable[[str], str | None]] = {
    "exact": str.strip,
    "boxed": boxed,
    "number": lambda text: last_number(boxed(text) or text),
    "none": lambda text: None,
}


def final_answer(text: str, how: str) -> str | None:
    """The final answer by one of `ANSWERS`; None where the text gives none.

    Raises `BonError` for an unknown way, with the known ones.
    """
    if how not in ANSWERS:
        raise BonError(f"unknown grouping {how!r}; known: {', '.join(ANSWERS)}")
    return ANSWERS[how](text)


def group(candidates: Sequence[Candidate], how: str) -> tuple[int, ...]:
    """For each candidate, the index of the one that plays for it.

    Of those with the same final answer the first that was not cut off plays; a candidate without a
    final answer plays for itself.
    """
    players: dict[str, int] = {}
    answers = [final_answer(candidate.text, how) for candidate in candidates]
    for complete in (True, False):
        for i, answer in enumerate(answers):
            if answer is not None and (candidates[i].finish_reason == "stop") is complete:
                players.setdefault(answer, i)
    return tuple(i if answer is None else players[answer] for i, answer in enumerate(answers))
