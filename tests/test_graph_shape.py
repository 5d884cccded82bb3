"""The bracket and the cross table of a result, and text made safe to show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_factory import double_knockout, play

from bon.match import single
from bon.shape import UNDECIDED, Node, bracket, by_rank, cross_table, forest
from bon.strategies.knockout import knockout
from bon.strategies.round_robin import round_robin
from bon.tournament import Table
from bon.types import Outcome, Verdict
from bon.untrusted import file_stem, last_line, one_line, printable

# --- bracket --------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(2, 33), st.sampled_from([knockout, double_knockout]), st.integers(0, 9))
def test_a_knockout_has_a_bracket_of_all_its_matches(n: int, strategy: Any, seed: int) -> None:
    result = play(strategy, n, seed=str(seed))
    final = bracket(result)
    assert final is not None
    assert final.match.winner == result.winner
    assert sorted(id(node.match) for node in final) == sorted(map(id, result.matches))
    assert final.round == (n - 1).bit_length() - 1


@settings(max_examples=40)
@given(st.integers(2, 17))
def test_whoever_enters_a_match_of_a_bracket_won_the_one_before(n: int) -> None:
    for node in bracket(play(n=n)) or ():
        for entrant, candidate in ((node.a, node.match.a), (node.b, node.match.b)):
            assert candidate == (entrant.match.winner if isinstance(entrant, Node) else entrant)


def test_king_of_the_hill_is_a_bracket_too() -> None:
    async def king_of_the_hill(table: Table) -> int:
        king = 0
        for challenger in table.seats[1:]:
            king = await table.duel(king, challenger, single)
        return king

    final = bracket(play(king_of_the_hill, 5))
    assert final is not None
    assert final.round == 3


@pytest.mark.parametrize("n", [1, 3, 4, 8])
def test_a_round_robin_is_no_bracket(n: int) -> None:
    assert bracket(play(round_robin, n)) is None


@pytest.mark.parametrize("n", range(2, 18))
def test_a_bracket_grows_from_its_comparisons_one_by_one(n: int) -> None:
    result = play(n=n)
    for count in range(len(result.comparisons) + 1):
        heard = result.comparisons[:count]
        trees = forest(heard)
        assert trees is not None
        met = {frozenset((c.first, c.second)) for c in heard}
        assert sum(1 for tree in trees for _ in tree) == len(met)
    [final] = forest(result.comparisons) or ()
    whole = bracket(result)
    assert whole is not None
    assert pairs_of(final) == pairs_of(whole)


def test_a_match_whose_verdicts_are_level_has_no_winner_until_one_goes_on() -> None:
    tie = replace(play(n=2).comparisons[0], verdict=Verdict(Outcome.TIE))
    [level] = forest([tie]) or ()
    assert level.match.winner == UNDECIDED
    later = replace(tie, first=1, second=2)
    [final] = forest([tie, later]) or ()
    assert isinstance(final.a, Node)
    assert final.a.match.winner == 1


def test_comparisons_of_everybody_with_everybody_grow_no_bracket() -> None:
    assert forest(play(round_robin, 5).comparisons) is None


def pairs_of(tree: Node) -> set[tuple[int, frozenset[int]]]:
    """Each match's entrants and round; its winner, unless a coin may have named it, goes on to the next."""
    return {(node.round, frozenset((node.match.a, node.match.b))) for node in tree}


def test_a_result_that_weighed_comparisons_outside_its_matches_is_no_bracket() -> None:
    result = play(n=2)
    extra = replace(result.comparisons[-1], repeat=1)
    assert bracket(replace(result, comparisons=(*result.comparisons, extra))) is None


# --- cross table ----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(2, 9), st.integers(0, 30))
def test_the_two_sides_of_a_pair_mirror_each_other(n: int, seed: int) -> None:
    result = play(round_robin, n, seed=str(seed))
    table = cross_table(result)
    for (row, column), tally in table.items():
        back = table[column, row]
        assert (tally.wins, tally.losses) == (back.losses, back.wins)
        assert (tally.ties, tally.voids) == (back.ties, back.voids)
    counted = sum(t.verdicts + t.voids for t in table.values())
    assert counted == 2 * len(result.comparisons)


def test_the_winner_comes_first_even_where_there_is_no_ranking() -> None:
    result = replace(play(n=4), ranking=())
    assert by_rank(result)[0] == result.winner
    assert sorted(by_rank(result)) == [0, 1, 2, 3]


# --- untrusted text -------------------------------------------------------------------------------


@given(st.text(st.characters(codec=None)))
def test_printable_text_holds_no_control_character(text: str) -> None:
    clean = printable(text)
    assert all(c in "\n\t" or (c.isprintable() or c.isspace() or ord(c) > 0xA0) for c in clean)
    clean.encode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07red",
        "\x1b]8;;http://example.com\x1b\\red\x1b]8;;\x1b\\",
        "\x9b31mred",
        "\u202ered\u202c",
        "r\x00e\x08d",
    ],
)
def test_escape_sequences_leave_nothing_behind(text: str) -> None:
    assert printable(text) == "red"


def test_an_escape_sequence_that_never_ends_hides_nothing() -> None:
    assert "the answer is 16" in printable("\x1b]0;the answer is 16\nand more")


def test_emoji_of_several_code_points_stay_whole() -> None:
    assert printable("👩‍🚀 🏳️‍🌈") == "👩‍🚀 🏳️‍🌈"


@given(st.text(st.characters(codec=None)), st.integers(1, 100))
def test_one_line_is_one_line_of_at_most_its_width(text: str, width: int) -> None:
    assert len(one_line(text, width)) <= width
    assert len(one_line(text, width).splitlines()) <= 1
    assert len(last_line(text, width).splitlines()) <= 1


def test_the_last_line_is_the_last_one_that_says_something() -> None:
    assert last_line("first\nThe answer is 42.\n\n  \n") == "The answer is 42."


@given(st.text(st.characters(codec=None)))
def test_a_file_stem_is_safe_on_every_system(name: str) -> None:
    stem = file_stem(name)
    assert stem.isascii()
    assert 0 < len(stem) <= 90
    assert not set(stem) & set('/\\:*?"<>| \0')
    assert stem[0] != "."


def test_different_names_have_different_stems() -> None:
    names = ["a/b", "a_b", "a b", "../a", "..", "", "a" * 200, "a" * 201, "CON", "nul.txt"]
    assert len({file_stem(name) for name in names}) == len(names)
