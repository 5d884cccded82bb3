"""`bon bench` and `bon strategies`: what they print, and how they refuse."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bon.catalog import describe, known_strategies
from bon.cli.bench import command as bench
from bon.cli.strategies import command as strategies
from bon.types import BonError

SMALL = ["simulated", "-n", "4", "--prompts", "20", "--jobs", "1"]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(bench, [*SMALL, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_is_a_list_of_rows() -> None:
    out = said("--strategy", "knockout", "--strategy", "pivot:k=1", "--seed", "1", "--json")
    rows: list[dict[str, Any]] = json.loads(out)
    assert [row["strategy"] for row in rows] == ["knockout", "pivot:k=1"]
    for row in rows:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert {"comparisons", "stages", "limit", "regret", "void_rate", "flip_rate"} <= set(row)
    assert (rows[0]["comparisons"], rows[0]["stages"]) == (3, 2)
    assert rows[0]["limit"] > 0


def test_the_same_seed_says_the_same() -> None:
    assert said("--seed", "7", "--json", "-q") == said("--seed", "7", "--json", "-q")


def test_for_people_it_is_a_table_and_the_baseline_is_measured_as_well() -> None:
    out = said("--strategy", "knockout:rule=votes:3", "--baseline", "random")
    assert "knockout:rule=votes:3" in out
    assert "random" in out
    assert "difference" in out


def test_a_recording_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    lines = [
        {"prompt_id": "p", "first": a, "second": b, "score": 1 if a < b else 2}
        for a, b in permutations("abc", 2)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    arguments = ["recorded", str(path), "--strategy", "pivot:k=2", "--json", "--jobs", "1"]
    result = CliRunner().invoke(bench, arguments, catch_exceptions=False)
    (row,) = json.loads(result.stdout)
    assert row["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--strategy", "knockout:k=3"], "no parameter 'k'; known: rule, draw"),
        (["--strategy", "best"], "unknown strategy 'best'; known: "),
        (["--strategy", "knockout:rule=sequential:0.5"], "ERROR between 0 and 0.5"),
        (["--strategy", "exact-posterior:error=0.5"], "between 0 and 0.5"),
        (["--flip", "0.7"], "0 to 0.5"),
        (["--plot", "picture.txt"], ".png, .svg, .pdf"),
        (["--plot", "/dev/null/picture.png"], "cannot write"),
        (["--baseline", "worst"], "unknown strategy 'worst'"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(arguments: list[str], says: str) -> None:
    with pytest.raises(BonError) as raised:
        CliRunner().invoke(bench, [*SMALL, *arguments], catch_exceptions=False)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


# --- bon strategies -----------------------------------------------------------------------------------


def test_every_strategy_says_what_it_costs_where_it_is_from_and_when_to_choose_it() -> None:
    for name in known_strategies():
        card = describe(name)
        assert card.summary
        assert all((card.matches, card.stages, card.source, card.choose)), name


def test_strategies_are_listed_for_people_and_for_programs() -> None:
    listed = CliRunner().invoke(strategies, [], catch_exceptions=False).stdout
    cards = json.loads(CliRunner().invoke(strategies, ["--json"], catch_exceptions=False).stdout)
    assert [card["name"] for card in cards] == list(known_strategies())
    assert all(card["name"] in listed for card in cards)
    knockout = next(card for card in cards if card["name"] == "knockout")
    assert knockout["parameters"] == {"rule": "single", "draw": "random"}
    assert (knockout["matches"], knockout["choose"]) == (
        "n - 1",
        "when calls are dear and only the winner matters",
    )
