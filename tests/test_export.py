"""Results as training data: nothing is made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from judges import VOID
from result_factory import double_round_robin, play

from bon.cli.export import command
from bon.datasets import Output, read_rows
from bon.datasets.files import Row
from bon.export import FORMATS, PAIRS, best_of_n, exporter, preference, rewards
from bon.schema import result_to_json
from bon.types import BonError, Decision, Result, Verdict


def failed() -> Result:
    return replace(play(n=1), candidates=(), groups=(), winner=None, ranking=(), error="too long")


def test_the_winner_is_chosen_and_the_last_rejected() -> None:
    result = play(n=6, seed="2")
    [row] = preference(result)
    assert row["prompt"] == [{"role": "user", "content": result.prompt.text}]
    last = result.ranking[-1].candidate
    assert result.winner is not None
    assert row["chosen"] == [
        {"role": "assistant", "content": result.candidates[result.winner].text}
    ]
    assert row["rejected"] == [{"role": "assistant", "content": result.candidates[last].text}]
    assert row["margin"] > 0


def test_the_winner_may_be_paired_with_every_other() -> None:
    result = play(n=6, texts=["a", "b", "c", "d", "e", "f"])
    rows = list(preference(result, "best-rest"))
    assert len(rows) == 5
    assert len({row["rejected"][0]["content"] for row in rows}) == 5


def test_only_matches_that_verdicts_decided_are_pairs() -> None:
    result = play(double_round_robin, n=7, seed="4", texts=list("abcdefg"))
    rows = list(preference(result, "decided"))
    decided = [match for match in result.matches if match.decision is Decision.VERDICTS]
    assert 0 < len(rows) == len(decided) < len(result.matches)


def test_the_best_of_n_is_an_answer_to_its_prompt() -> None:
    result = play(n=5)
    assert result.winner is not None
    [row] = best_of_n(result)
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert row["messages"][-1]["content"] == result.candidates[result.winner].text


def test_every_candidate_has_a_reward_and_one_that_sat_out_has_that_of_its_player() -> None:
    result = play(n=4)
    doubled = replace(
        result, candidates=(*result.candidates, result.candidates[2]), groups=(0, 1, 2, 3, 2)
    )
    rows = list(rewards(doubled))
    assert len(rows) == 5
    assert {**rows[4], "completion": 0} == {**rows[2], "completion": 0}
    best = max(rows, key=lambda row: -row["rank"])
    assert best["rank"] == 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_prompt_that_failed_gives_nothing(name: str) -> None:
    assert list(exporter(name)(failed())) == []


def test_a_winner_that_no_verdict_named_is_no_preference() -> None:
    def silent(ask: object) -> Verdict:
        return VOID

    assert list(preference(play(n=4, judge=silent))) == []
    assert list(preference(play(n=1))) == []


@given(st.integers(1, 9), st.integers(0, 99), st.sampled_from(sorted(PAIRS)))
@settings(max_examples=40)
def test_no_pair_is_of_two_equal_texts(n: int, seed: int, pairs: str) -> None:
    result = play(n=n, seed=str(seed))
    for row in preference(result, pairs):
        assert row["chosen"] != row["rejected"]


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(BonError, match="known: preference, best-of-n, rewards"):
        exporter("dpo")
    with pytest.raises(BonError, match="known: best-worst, best-rest, decided"):
        exporter("preference", "all")


def test_the_command_reads_and_writes_any_format(tmp_path: Path) -> None:
    results = [play(n=4, identity=str(i), seed=str(i)) for i in range(3)]
    with Output(tmp_path / "ranked.parquet") as output:
        for position, result in enumerate(results):
            output.write(position, {**result_to_json(result), "own": position})
    ranked, rows = str(tmp_path / "ranked.parquet"), tmp_path / "rows.parquet"
    options = ["--format", "rewards", "-o", str(rows)]
    done = CliRunner().invoke(command, [ranked, *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert "3 results, 12 rows" in done.output
    written = [row.data for row in read_rows(str(rows)) if isinstance(row, Row)]
    expected = [row for result in results for row in rewards(result)]
    assert [row["rank"] for row in written] == [row["rank"] for row in expected]
    done = CliRunner().invoke(command, [ranked], catch_exceptions=False)
    assert [set(orjson.loads(line)) for line in done.stdout.splitlines()] == 3 * [
        {"id", "prompt", "chosen", "rejected", "margin"}
    ]
