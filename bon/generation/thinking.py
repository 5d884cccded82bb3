"""Thinking split off from answers, offline: the same for policies and judges."""

from __future__ import annotations

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"


def split_thinking(text: str, starts_thinking: bool) -> tuple[str, str, bool]:
    """Thinking, what came after its last end, and whether it ended.

    `starts_thinking` says that the prompt itself opened the thinking, as RRM's chat template does.
    A text that never opened any is all answer.
    """
    if not starts_thinking and not text.lstrip().startswith(THINK_OPEN):
        return "", text, True
    thinking, closed, answer = text.rpartition(THINK_CLOSE)
    if not closed:
        thinking, answer = text, ""
    return thinking.strip().removeprefix(THINK_OPEN).strip(), answer.strip(), bool(closed)
