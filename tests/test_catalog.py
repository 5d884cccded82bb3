"""Strategies by name: one notation, and an error that lists what is known."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import perfect

from bon import catalog
from bon.catalog import known_strategies, parse_notation, parse_strategy, strategy
from bon.match import single
from bon.simulate import play
from bon.tournament import Rule, Table, Tournament
from bon.types import BonError


async def toy(
    table: Table,
    *,
    rule: Rule = single,
    width: int = 1,
    error: float = 0.05,
    fast: bool = False,
    to: str = "",
) -> int:
    """A strategy with a parameter of every kind."""
    toy_arguments.update(rule=rule, width=width, error=error, fast=fast, to=to)
    return 0


async def plain(table: Table) -> int:
    return 0


toy_arguments: dict[str, Any] = {}


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, EntryPoint]:
    """Two strategies of a user's own in place of the installed ones."""
    toy_arguments.clear()
    known = {
        name: EntryPoint(name, f"{__name__}:{name}", "bon.strategies") for name in ("plain", "toy")
    }
    monkeypatch.setattr(catalog, "known_strategies", lambda: known)
    return known


def fails(text: str) -> str:
    with pytest.raises(BonError) as raised:
        parse_strategy(text)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_strategies_of_this_package_are_known() -> None:
    assert {"knockout", "round-robin"} <= set(known_strategies())
    assert list(known_strategies()) == sorted(known_strategies())


def test_every_known_strategy_plays_without_a_parameter() -> None:
    for name in known_strategies():
        known = Tournament(strategy(name), 5, seed="seed", scores=range(5), truth=range(5))
        assert play(known, perfect(range(5))).done


@pytest.mark.parametrize(
    "text", ["knockout", "round-robin", "knockout:rule=both", "knockout:rule=votes:3"]
)
def test_the_notation_comes_back_as_it_went_in(text: str) -> None:
    assert str(parse_strategy(text)) == text


def test_the_notation_and_keyword_arguments_mean_the_same() -> None:
    entrant, other = parse_strategy("knockout:rule=votes:5"), strategy("knockout", rule="votes:5")
    assert (entrant.name, entrant.parameters) == (other.name, other.parameters)
    assert str(entrant) == str(other)
    assert len(play(Tournament(other, 2, seed="seed"), perfect([0, 1])).comparisons) == 3


def test_parameters_become_what_their_annotations_say(toys: object) -> None:
    entrant = parse_strategy("toy: width=4 , error=.1,fast=TRUE,to=here,rule=single")
    play(Tournament(entrant, 2, seed="seed"), perfect([0, 1]))
    assert toy_arguments == {"rule": single, "width": 4, "error": 0.1, "fast": True, "to": "here"}
    assert str(entrant) == "toy:error=.1,fast=TRUE,rule=single,to=here,width=4"


def test_parameters_that_are_not_set_keep_their_defaults(toys: object) -> None:
    play(Tournament(strategy("toy", width=2), 2, seed="seed"), perfect([0, 1]))
    assert toy_arguments == {"rule": single, "width": 2, "error": 0.05, "fast": False, "to": ""}


NAMES = st.text("abcxyz-_19", min_size=1)
VALUES = st.text("abcxyz-_19.:=", max_size=8)


@given(NAMES, st.dictionaries(NAMES, VALUES))
def test_any_name_and_parameters_survive_the_notation(
    name: str, parameters: dict[str, str]
) -> None:
    text = f"{name}:{','.join(f'{key}={value}' for key, value in parameters.items())}"
    assert parse_notation(text) == (name, parameters)


PIECES = st.sampled_from(
    ["knockout", "round-robin", "rule", "single", "votes", "3", ":", "=", ",", " "]
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_any_text_is_a_strategy_or_a_clear_error(text: str) -> None:
    try:
        entrant = parse_strategy(text)
    except BonError:
        return
    assert str(parse_strategy(str(entrant))) == str(entrant)


def test_an_unknown_strategy_lists_the_known_ones(toys: object) -> None:
    assert fails("knokout") == "unknown strategy 'knokout'; known: plain, toy"
    assert fails("") == "unknown strategy ''; known: plain, toy"


def test_with_nothing_installed_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "known_strategies", dict)
    assert "reinstall bon" in fails("knockout")


def test_an_unknown_parameter_lists_the_known_ones(toys: object) -> None:
    says = fails("toy:wdith=2")
    assert says == "strategy toy has no parameter 'wdith'; known: rule, width, error, fast, to"
    assert "it has none" in fails("plain:width=2")
    assert "no parameter 'name'" in fails("toy:name=2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("toy:width", "cannot read 'width' in 'toy:width': write name:key=value"),
        ("toy:=3", "cannot read '=3'"),
        ("toy:width=1,width=2", "sets width twice: keep one"),
        ("toy:width=two", "toy:width needs int, not 'two'"),
        ("toy:error=small", "toy:error needs float, not 'small'"),
        ("toy:fast=yes", "toy:fast is true or false, not 'yes'"),
        ("toy:rule=best", "unknown match rule 'best'"),
        ("toy:rule=votes:0", "votes:K needs K of at least 1"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(toys: object, text: str, says: str) -> None:
    assert says in fails(text)


def test_a_value_that_makes_no_sense_is_told_when_it_is_set_not_when_it_is_played() -> None:
    with pytest.raises(BonError, match=r"error is 0\.9: give a chance above 0 and below \.5"):
        strategy("adaptive", error=0.9)


@pytest.mark.parametrize("name", list(known_strategies()))
def test_trying_a_strategy_out_asks_for_nothing_that_only_candidates_have(name: str) -> None:
    assert strategy(name).name == name
