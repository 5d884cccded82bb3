"""From any text to a verdict, and from log-probabilities to a probability."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log

import pytest
from fakes import boxes
from hypothesis import given
from hypothesis import strategies as st

from bon.generation import TokenChoice
from bon.judge.template import Template, bundled_templates, load_template
from bon.judge.verdict import Reading, probability_of_first, read_verdict
from bon.types import Outcome, VoidReason

RRM, RM_R1 = load_template("rrm"), load_template("rm-r1")
PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "\\boxed{", "}", "Assistant 1", "Assistant 2", boxes(1), boxes(2)),
        *(
            "<answer>",
            "</answer>",
            "[[A]]",
            "[[B]]",
            "[[",
            "]]",
            "\\text{",
            " ",
            "\n",
            "\ue0000\ue001",
        ),
    ]
)
ANY_TEXT = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=5))).map("".join))


def read(text: str, finish: str = "stop", opened: bool = False, by: Template = RRM) -> Reading:
    return read_verdict(by, text, finish, opened)


# --- every text has a reading -----------------------------------------------------------------------


@given(
    st.sampled_from(bundled_templates()),
    ANY_TEXT,
    st.sampled_from(["stop", "length"]),
    st.booleans(),
)
def test_any_text_reads_as_a_verdict_or_as_void_with_the_right_reason(
    name: str, text: str, finish: str, opened: bool
) -> None:
    template = load_template(name)
    reading = read_verdict(template, text, finish, opened)
    if reading.outcome is Outcome.VOID:
        truncated = finish == "length"
        assert reading.void_reason is (VoidReason.TRUNCATED if truncated else VoidReason.UNPARSABLE)
    else:
        assert reading.void_reason is None
        assert template.labels[reading.label] is reading.outcome
        assert text.endswith(reading.rest)
        assert reading.rest.startswith(reading.label)


@given(ANY_TEXT, st.lists(st.tuples(ANY_TEXT, st.dictionaries(ANY_TEXT, st.floats(max_value=0)))))
def test_any_log_probabilities_give_a_probability_or_none(
    text: str, choices: list[tuple[str, dict[str, float]]]
) -> None:
    reading = read(text + boxes(2))
    tail = [TokenChoice(chosen, logprobs) for chosen, logprobs in choices]
    p = probability_of_first(RRM, reading, [*tail, TokenChoice(text + boxes(2), {})])
    assert p is None or 0 <= p <= 1


@pytest.mark.parametrize("number", [1, 2])
def test_the_boxed_assistant_wins(number: int) -> None:
    expected = Outcome.FIRST if number == 1 else Outcome.SECOND
    reading = read(f"<think>Check both.</think>\n\n{boxes(number)}\n")
    assert reading.outcome is expected
    assert reading.reasoning == "Check both."
    assert reading.text == boxes(number)


def test_the_last_verdict_after_the_thinking_counts() -> None:
    assert read(f"{boxes(1)} no, {boxes(2)}").outcome is Outcome.SECOND
    assert read(f"<think>{boxes(2)}</think>{boxes(2)} no, {boxes(1)}").outcome is Outcome.FIRST


def test_a_verdict_inside_the_thinking_is_none() -> None:
    reading = read(f"<think>maybe {boxes(1)}</think>I cannot say.")
    assert reading.void_reason is VoidReason.UNPARSABLE
    assert reading.text == "I cannot say."


@pytest.mark.parametrize("text", [f"<think>so {boxes(1)}", f"  <think>\n{boxes(2)} but"])
def test_a_verdict_inside_thinking_that_never_ends_is_none(text: str) -> None:
    assert read(text).void_reason is VoidReason.UNPARSABLE
    assert read(text, "length").void_reason is VoidReason.TRUNCATED


def test_thinking_that_the_prompt_opened_hides_verdicts_until_it_is_closed() -> None:
    assert read(f"so {boxes(1)}", opened=True).outcome is Outcome.VOID
    reading = read(f"so {boxes(1)}</think>{boxes(2)}", opened=True)
    assert reading.outcome is Outcome.SECOND
    assert reading.reasoning == f"so {boxes(1)}"


def test_thinking_that_is_closed_twice_ends_at_the_last_close() -> None:
    assert read(f"<think>a</think>{boxes(1)}</think>none").outcome is Outcome.VOID


def test_cut_off_without_a_verdict_is_truncated() -> None:
    assert read("The first response", "length").void_reason is VoidReason.TRUNCATED
    assert read("\\boxed{Assistant", "length").void_reason is VoidReason.TRUNCATED


def test_cut_off_after_the_verdict_is_a_verdict() -> None:
    assert read(f"{boxes(1)} because the", "length").outcome is Outcome.FIRST


@pytest.mark.parametrize("text", ["", " \n", "\\boxed{}", "\\boxed{Assistant 3}", "Assistant 1"])
def test_finished_without_naming_one_of_the_two_is_unparsable(text: str) -> None:
    assert read(text).void_reason is VoidReason.UNPARSABLE


def test_instructions_echoed_before_the_verdict_do_not_count() -> None:
    echo = f"I am to write {boxes(1)} if the first is better, {boxes(2)} if the second one is."
    assert read(f"<think>{echo}</think>{boxes(1)}").outcome is Outcome.FIRST
    assert read(f"{echo}\n{boxes(1)}").outcome is Outcome.FIRST
    assert read(f"<think>{echo}", "length").void_reason is VoidReason.TRUNCATED


@pytest.mark.parametrize(
    "text",
    ["\\boxed{\\text{Assistant 2}}", "\\boxed{ \\text{ Assistant 2 } }", "\\boxed{Assistant 2 }"],
)
def test_rrm_labels_may_stand_in_text_and_between_blanks(text: str) -> None:
    assert read(text).outcome is Outcome.SECOND


def test_rm_r1_answers_with_a_letter_in_its_tags() -> None:
    rubric = "<rubric>[[A]] or [[B]]</rubric><eval>A is wrong</eval>"
    assert read(f"{rubric}<answer>[[B]]</answer>", by=RM_R1).outcome is Outcome.SECOND
    assert read(f"{rubric}<answer>\n[[A]]\n</answer>", by=RM_R1).outcome is Outcome.FIRST
    assert read(f"{rubric}<answer>A</answer>", by=RM_R1).outcome is Outcome.VOID
    assert read(f"{rubric}[[A]]", by=RM_R1).outcome is Outcome.VOID


# --- probabilities ----------------------------------------------------------------------------------


def tail(*tokens: str | tuple[str, Mapping[str, float]]) -> list[TokenChoice]:
    """Tokens with the probabilities of alternatives; bare ones have only themselves, for certain."""
    pairs = [(token, {token: 1.0}) if isinstance(token, str) else token for token in tokens]
    return [TokenChoice(text, {t: log(p) for t, p in shares.items()}) for text, shares in pairs]


def p_first(
    tokens: Sequence[TokenChoice], text: str | None = None, by: Template = RRM
) -> float | None:
    text = "".join(choice.text for choice in tokens) if text is None else text
    return probability_of_first(by, read(text, by=by), tokens)


def test_probability_is_the_share_of_the_label_among_the_two() -> None:
    tokens = tail("\\boxed{", "Assistant", " ", ("1", {"1": 0.6, "2": 0.2, "7": 0.1}), "}")
    assert p_first(tokens) == pytest.approx(0.75)


def test_probability_is_of_the_first_also_where_the_second_won() -> None:
    tokens = tail("\\boxed{", "Assistant", " ", ("2", {"2": 0.9, "1": 0.1}), "}")
    assert p_first(tokens) == pytest.approx(0.1)


def test_a_sampled_verdict_may_be_the_less_likely_one() -> None:
    tokens = tail("\\boxed{Assistant ", ("1", {"2": 0.8, "1": 0.2}), "}")
    assert p_first(tokens) == pytest.approx(0.2)


def test_an_alternative_that_is_not_reported_is_as_likely_as_the_least_reported() -> None:
    tokens = tail("\\boxed{Assistant ", ("1", {"1": 0.9, "3": 0.06, "one": 0.01}), "}")
    assert p_first(tokens) == pytest.approx(0.9 / 0.91)


def test_a_label_may_be_split_over_tokens_anywhere() -> None:
    whole = ("}" + boxes(1) + " done").replace("1", "\0")
    before, after = whole.split("\0")
    for start in range(len(before)):
        for end in range(len(after)):
            chosen, other = (f"{before[start:]}{digit}{after[:end]}" for digit in "12")
            tokens = tail(*before[:start], (chosen, {chosen: 0.75, other: 0.25}), *after[end:])
            assert p_first(tokens) == pytest.approx(0.75), (start, end)


def test_labels_of_one_token_each_part_at_their_first_letter() -> None:
    tokens = tail("<answer>", "[[", ("B", {"B": 0.7, "A": 0.3}), "]]", "</", "answer>")
    assert p_first(tokens, by=RM_R1) == pytest.approx(0.3)


def test_labels_of_different_words_are_found_among_the_alternatives() -> None:
    labels = {"left": Outcome.FIRST, "right": Outcome.SECOND}
    words = replace(RRM, labels=labels, pattern=re.compile(r"\{(\w+)\}"))
    whole = tail("{", ("left", {"left": 0.6, "right": 0.2, "lef": 0.2}), "}")
    assert p_first(whole, by=words) == pytest.approx(0.75)
    begun = tail("{", ("le", {"le": 0.6, "ri": 0.2, "x": 0.2}), "ft", "}")
    assert p_first(begun, by=words) == pytest.approx(0.75)


def test_the_token_that_stopped_the_generation_is_not_in_the_text() -> None:
    tokens = tail("\\boxed{Assistant ", ("1", {"1": 0.8, "2": 0.2}), "}", "<|im_end|>")
    assert p_first(tokens, boxes(1)) == pytest.approx(0.8)


def test_blanks_after_the_verdict_do_not_shift_it() -> None:
    tokens = tail("</think>", "\\boxed{Assistant ", ("1", {"1": 0.8, "2": 0.2}), "}", "\n\n", " ")
    text = "<think>x" + "".join(choice.text for choice in tokens)
    assert p_first(tokens, text) == pytest.approx(0.8)


def test_characters_of_several_byte_tokens_may_follow_the_verdict() -> None:
    # an engine reports the bytes that complete no character as empty
    tokens = tail(
        "\\boxed{Assistant ", ("1", {"1": 0.8, "2": 0.2}), "}", " ", "", "", "🙂", "<eos>"
    )
    assert p_first(tokens, boxes(1) + " 🙂") == pytest.approx(0.8)


def test_a_label_that_began_in_an_earlier_call_is_found() -> None:
    tokens = tail("ant ", ("2", {"2": 0.5, "1": 0.5}), "}")
    assert p_first(tokens, boxes(2)) == pytest.approx(0.5)


def test_no_probability_without_log_probabilities_a_verdict_or_the_token() -> None:
    assert p_first([], boxes(1)) is None
    assert p_first([TokenChoice(boxes(1), {})], boxes(1)) is None
    assert p_first(tail("no", "idea")) is None
    assert p_first(tail("more", "text"), boxes(1) + " and long after it more text") is None
    assert p_first(tail("other", "text"), boxes(1)) is None


def test_extreme_log_probabilities_stay_probabilities() -> None:
    for other, expected in ((-1e9, 1.0), (1e9, 0.0)):
        tokens = [TokenChoice("\\boxed{Assistant ", {}), TokenChoice("1", {"1": 0.0, "2": other})]
        assert p_first([*tokens, TokenChoice("}", {})]) == pytest.approx(expected)
