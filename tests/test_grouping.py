"""Final answers, and who plays for whom."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon.grouping import ANSWERS, boxed, final_answer, group, last_number, lone_number
from bon.types import BonError, Candidate

PIECES = st.sampled_from(["\\boxed{", "\\fbox {", "{", "}", "\\frac", "3", " ", "x"])
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).filter(
    lambda number: abs(number.adjusted()) < 300
)


def candidates(*texts: str, cut_off: frozenset[int] = frozenset()) -> list[Candidate]:
    return [
        Candidate(text, finish_reason="length" if i in cut_off else "stop")
        for i, text in enumerate(texts)
    ]


def spellings(number: Decimal) -> list[str]:
    plain = f"{number:f}"
    whole, _, fraction = plain.partition(".")
    grouped = f"{int(whole):,}" if whole not in ("-0", "0", "-", "") else whole
    return [
        plain,
        plain.replace("-", "\u2212"),
        grouped + (f".{fraction}" if fraction else ""),
        f"{plain}{'' if fraction else '.'}000",
        f"{number:e}",
        f"{number:E}".replace("E+", "E"),
        plain if plain.startswith("-") else f"+{plain}",
        re.sub(r"^(-?)0\.", r"\1.", plain),
    ]


# --- boxes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{42}.", "42"),
        ("\\boxed{ \\frac{1}{2} }", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\fbox{7}", "7"),
        ("\\boxed {7}", "7"),
        ("\\boxed{}", ""),
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{1} then \\boxed{2", "1"),
        ("\\boxed{outer \\boxed{inner}}", "inner"),
        ("} \\boxed{3} {", "3"),
        ("{ \\boxed{3}", "3"),
        ("\\boxed{3", None),
        ("boxed{3}", None),
        ("3", None),
    ],
)
def test_the_last_complete_box_is_the_answer(text: str, answer: str | None) -> None:
    assert boxed(text) == answer


@given(st.lists(PIECES, max_size=40).map("".join))
def test_boxes_are_those_that_counting_braces_finds(text: str) -> None:
    expected = None
    for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text):
        depth = 1
        for end in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                expected = text[match.end() : end].strip()
                break
    assert boxed(text) == expected


def test_a_model_that_writes_boxes_for_ever_does_not_hold_up_the_run() -> None:
    # counting from each box anew would take 10^10 steps
    assert boxed("\\boxed{" * 50_000) is None


# --- numbers ----------------------------------------------------------------------------------------


@given(NUMBERS)
def test_equal_numbers_have_one_spelling_however_they_were_written(number: Decimal) -> None:
    for spelling in spellings(number):
        assert last_number(f"that makes {spelling}") == last_number(f"{number:f}"), spelling
        assert lone_number(f" {spelling}\n") == last_number(f"{number:f}"), spelling


@given(NUMBERS, NUMBERS)
def test_different_numbers_have_different_spellings(one: Decimal, two: Decimal) -> None:
    same = last_number(f"{one:f}") == last_number(f"{two:f}")
    assert same == (one == two)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12 apples and 13 pears", "13"),
        ("1,234,567.50 in all", "1234567.5"),
        ("-0.0", "0"),
        ("007", "7"),
        ("1,2345", "5"),
        ("it is 5.", "5"),
        ("2e3", "2000"),
        ("10e998", "1E+999"),
        ("3e", "3"),
        ("\u22125", "-5"),
        ("\u0664\u0662", "42"),
        ("no number", None),
        ("", None),
    ],
)
def test_the_last_number_counts(text: str, number: str | None) -> None:
    assert last_number(text) == number


def test_numbers_of_many_digits_are_not_rounded() -> None:
    digits = "265252859812191058636308480000001"
    assert last_number(digits) == digits
    assert last_number(digits[:-1] + "2") != digits


@pytest.mark.parametrize("text", ["1/2", "12 apples", "x", "", "1 2"])
def test_text_around_it_makes_a_number_no_lone_one(text: str) -> None:
    assert lone_number(text) is None


@given(st.text(), st.sampled_from(list(ANSWERS)))
def test_any_text_has_a_final_answer_or_none(text: str, how: str) -> None:
    answer = final_answer(text, how)
    assert answer is None or isinstance(answer, str)


# --- groups -----------------------------------------------------------------------------------------


def test_equal_answers_are_one_player() -> None:
    assert group(candidates("4", "5", " 4\n", "5", "6"), "exact") == (0, 1, 0, 1, 4)
    assert group(candidates(*["same"] * 5), "exact") == (0,) * 5


def test_boxed_and_number_see_through_the_words_around_the_answer() -> None:
    said = candidates("I say \\boxed{4}", "\\boxed{4.0}", "\\boxed{4}!", "it is 4")
    assert group(said, "exact") == (0, 1, 2, 3)
    assert group(said, "boxed") == (0, 1, 0, 3)
    assert group(said, "number") == (0, 0, 0, 0)


def test_without_grouping_everybody_plays() -> None:
    assert group(candidates("4", "4", "4"), "none") == (0, 1, 2)


def test_candidates_without_a_final_answer_play_for_themselves() -> None:
    assert group(candidates("none", "nothing", "\\boxed{1}", "none"), "boxed") == (0, 1, 2, 3)


def test_a_complete_candidate_plays_for_its_group_before_one_that_was_cut_off() -> None:
    said = candidates("4", "4", "5", "4", cut_off=frozenset({0, 2}))
    assert group(said, "exact") == (1, 1, 2, 1)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12),
    st.sampled_from(["exact", "none"]),
)
def test_every_group_has_one_player_who_gives_its_answer(
    said: list[tuple[str, bool]], how: str
) -> None:
    everyone = [Candidate(text, finish_reason="stop" if c else "length") for text, c in said]
    players = group(everyone, how)
    for i, player in enumerate(players):
        assert players[player] == player
        assert everyone[player].text == everyone[i].text
    assert len(set(players)) == (len(said) if how == "none" else len({text for text, _ in said}))


def test_an_unknown_way_of_grouping_lists_the_known_ones() -> None:
    with pytest.raises(
        BonError, match="unknown grouping 'words'; known: exact, boxed, number, none"
    ):
        group(candidates("4"), "words")
