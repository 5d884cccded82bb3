"""Thinking split off from answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon.generation.thinking import split_thinking

TEXT = st.lists(st.one_of(st.text(), st.sampled_from(["<think>", "</think>", "\n"]))).map("".join)


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>a</think>b", False, ("a", "b", True)),
        ("\n<think>\na\n</think>\n\nb\n", False, ("a", "b", True)),
        ("a</think>b", True, ("a", "b", True)),
        ("<think>a</think>b", True, ("a", "b", True)),  # a model that opens it a second time
        ("<think></think>b", False, ("", "b", True)),
        ("<think>a", False, ("a", "", False)),
        ("a", True, ("a", "", False)),
        ("", True, ("", "", False)),
        ("a", False, ("", "a", True)),
        (" a ", False, ("", " a ", True)),
        ("a <think>b</think>", False, ("", "a <think>b</think>", True)),
        ("<think>a</think>b</think>c", False, ("a</think>b", "c", True)),
    ],
)
def test_thinking_answer_and_whether_it_ended(
    text: str, opened: bool, expected: tuple[str, str, bool]
) -> None:
    assert split_thinking(text, opened) == expected


@given(TEXT, st.booleans())
def test_both_parts_come_from_the_text_and_an_answer_needs_closed_thinking(
    text: str, opened: bool
) -> None:
    thinking, answer, ended = split_thinking(text, opened)
    assert thinking in text
    assert answer in text
    assert ended or not answer
    assert not thinking or "</think>" not in answer
