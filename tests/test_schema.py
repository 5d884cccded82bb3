"""What is written is read back the same, and damage is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bon import simulate
from bon.catalog import parse_strategy
from bon.judge.simulated import SeatJudge, bradley_terry, simulated
from bon.schema import SCHEMA, result_from_json, result_to_json, totals
from bon.seating import result_of, seat
from bon.types import BonError, Candidate, Decision, Message, Prompt, Result, VoidReason

CANDIDATES = st.builds(
    Candidate, st.text(), st.text(), st.sampled_from(["stop", "length"]), st.integers(0, 9999)
)


@st.composite
def judges(draw: st.DrawFn) -> SeatJudge:
    """Judges with every fault, so that results have every kind of verdict and match."""
    return simulated(
        bradley_terry(range(10)),
        seed=draw(st.integers(0, 1000)),
        bias=0.4,
        ties=0.2,
        voids={VoidReason.TOO_LONG: 0.2, VoidReason.FAILED: 0.2},
        graded=draw(st.sampled_from([0.0, 1.5])),
    )


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Played tournaments of any size, over candidates with any text."""
    messages = tuple(draw(st.lists(st.builds(Message, st.text(), st.text()), min_size=1)))
    prompt = Prompt(draw(st.text()), messages, draw(st.none() | st.text()))
    candidates = draw(st.lists(CANDIDATES, min_size=1, max_size=7))
    strategies = ("knockout", "knockout:rule=votes:3", "round-robin:rule=both", "round-robin")
    strategy = parse_strategy(draw(st.sampled_from(strategies)))
    group_by = draw(st.sampled_from(["exact", "none"]))
    seed = draw(st.integers())
    judge = draw(judges())
    seating = seat(prompt, candidates, strategy, group_by=group_by, seed=seed)
    simulate.play(seating.tournament, judge)
    return result_of(seating, {"strategy": "any", "seed": 3})


@settings(max_examples=60)
@given(results())
def test_a_result_survives_its_json(result: Result) -> None:
    row = orjson.loads(orjson.dumps(result_to_json(result)))
    back = result_from_json(row)
    assert back == result
    assert result_to_json(back) == row


@settings(max_examples=60)
@given(results())
def test_totals_are_those_of_the_record(result: Result) -> None:
    found = totals(result)
    assert found["comparisons"] == len(result.comparisons)
    assert found["voids"] == sum(c.score_first is None for c in result.comparisons)
    assert found["matches"] == len(result.matches)
    coins = [m for m in result.matches if m.decision is not Decision.VERDICTS]
    assert found["coin_matches"] == len(coins)
    assert found["policy_tokens"] == sum(c.tokens for c in result.candidates)


def failed() -> Result:
    prompt = Prompt("1", (Message("user", "q"),))
    return Result(prompt, (), (), None, (), (), (), {"seed": 0}, "cannot sample: too long")


def test_a_prompt_without_candidates_is_a_result_with_its_error() -> None:
    row = result_to_json(failed())
    assert (row["winner"], row["candidates"], row["error"]) == (None, [], "cannot sample: too long")
    assert row["totals"]["stages"] == 0
    assert result_from_json(row) == failed()


def played() -> dict[str, Any]:
    candidates = [Candidate(text) for text in "abcd"]
    prompt = Prompt("1", (Message("user", "q"),))
    seating = seat(prompt, candidates, parse_strategy("knockout"), group_by="exact", seed=1)
    simulate.play(seating.tournament, simulated(bradley_terry(range(4))))
    return result_to_json(result_of(seating, {}))


def test_the_documented_fields_are_there() -> None:
    row = played()
    assert row["schema"] == SCHEMA
    assert set(row) == {
        *("schema", "id", "prompt", "answer", "candidates", "winner", "ranking", "matches"),
        *("comparisons", "totals", "provenance", "error", "cut_short"),
    }
    assert {"text", "thinking", "finish_reason", "tokens", "group"} <= set(row["candidates"][0])
    assert {"first", "second", "outcome", "p_first", "reasoning", "void_reason"} <= set(
        row["comparisons"][0]
    )


def test_matches_name_their_comparisons_by_place() -> None:
    row = played()
    assert sorted(i for match in row["matches"] for i in match["comparisons"]) == [0, 1, 2]
    for match in row["matches"]:
        for place in match["comparisons"]:
            comparison = row["comparisons"][place]
            assert {comparison["first"], comparison["second"]} == {match["a"], match["b"]}


@pytest.mark.parametrize("schema", [None, "1", {}])
def test_a_row_without_a_schema_is_no_result(schema: object) -> None:
    with pytest.raises(BonError, match="no result of bon"):
        result_from_json({**played(), "schema": schema})


def test_a_newer_schema_asks_for_an_upgrade() -> None:
    with pytest.raises(BonError, match="upgrade bon"):
        result_from_json({**played(), "schema": SCHEMA + 1})


@pytest.mark.parametrize("field", sorted(set(played()) - {"schema", "totals"}))
def test_a_missing_field_is_damage(field: str) -> None:
    row = played()
    del row[field]
    with pytest.raises(BonError, match=f"damaged: KeyError at '{field}'"):
        result_from_json(row)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("comparisons", [{"first": 0}]),
        ("comparisons", None),
        ("matches", [{"a": 0, "b": 1}]),
        ("matches", "none"),
        ("ranking", [{"candidate": 0}]),
        ("ranking", [3]),
        ("candidates", ["text"]),
        ("prompt", "text"),
    ],
)
def test_a_field_of_the_wrong_kind_is_damage(field: str, value: object) -> None:
    with pytest.raises(BonError, match="damaged"):
        result_from_json({**played(), field: value})


@pytest.mark.parametrize(
    ("part", "field", "value", "told"),
    [
        ("candidates", "text", None, "candidate 1 has NoneType for its text"),
        ("candidates", "tokens", "9", "candidate 1 has str for its tokens"),
        ("ranking", "strength", "strong", "standing 1 has str for its strength"),
        ("ranking", "candidate", 99, "standing 1 names candidate 99 of 4"),
        ("comparisons", "first", 4, "comparison 1 names candidate 4 of 4"),
        ("comparisons", "reasoning", ["so"], "verdict 1 has list for its reasoning"),
        ("matches", "winner", -1, "match 1 names candidate -1 of 4"),
        ("candidates", "group", 1.5, "group 1 names candidate 1.5 of 4"),
    ],
)
def test_what_would_be_stumbled_over_later_is_damage(
    part: str, field: str, value: object, told: str
) -> None:
    row = played()
    row[part][1][field] = value
    with pytest.raises(BonError, match=f"this result is damaged: {told}"):
        result_from_json(row)


def test_a_winner_who_is_not_there_is_damage() -> None:
    with pytest.raises(BonError, match="the winner names candidate 77 of"):
        result_from_json({**played(), "winner": 77})


def test_an_unknown_outcome_and_a_void_without_reason_are_damage() -> None:
    for change in ({"outcome": "draw"}, {"outcome": "void", "void_reason": None}):
        row = played()
        row["comparisons"][0].update(change)
        with pytest.raises(BonError, match="damaged: ValueError"):
            result_from_json(row)


def test_a_match_of_comparisons_that_are_not_there_is_damage() -> None:
    row = played()
    row["matches"][0]["comparisons"] = [99]
    with pytest.raises(BonError, match="damaged: IndexError"):
        result_from_json(row)
