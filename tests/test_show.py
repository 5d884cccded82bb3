"""`bon show`: results in the terminal, and what it says of files it cannot read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import networkx as nx
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from result_factory import double_knockout, double_round_robin, noisy_judge, play
from rich.cells import cell_len
from rich.console import Console

from bon.cli import cli
from bon.graph import WRITERS
from bon.report.terminal import show_result
from bon.schema import result_to_json
from bon.strategies.knockout import knockout
from bon.strategies.round_robin import round_robin
from bon.types import BonError, Result

if TYPE_CHECKING:
    from pathlib import Path


def text_of(result: Result, width: int = 80, *, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, highlight=False, emoji=False)
    show_result(result, console)
    return stream.getvalue()


def write(path: Path, *results: Result) -> Path:
    path.write_bytes(b"".join(orjson.dumps(result_to_json(r)) + b"\n" for r in results))
    return path


def show(*arguments: object) -> str:
    outcome = CliRunner().invoke(cli, ["show", *map(str, arguments)], catch_exceptions=False)
    assert outcome.exit_code == 0
    return outcome.output


def refusal(*arguments: object) -> str:
    with pytest.raises(BonError) as caught:
        show(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- one result -----------------------------------------------------------------------------------


def test_a_knockout_is_shown_as_its_bracket() -> None:
    result = play(n=3, seed="2")
    text = text_of(result)
    assert "Bracket" in text
    assert "┐" in text
    assert text.count("├─") == 2
    assert f"Winner: candidate {result.winner}" in text
    assert text.rstrip().endswith(result.candidates[result.winner or 0].text)


def test_a_round_robin_is_shown_as_a_cross_table() -> None:
    text = text_of(play(double_round_robin, 5))
    assert "Cross table" in text
    assert "Bracket" not in text


def test_the_ranking_has_intervals() -> None:
    result = play(n=4)
    [line] = [line for line in text_of(result).splitlines() if line.startswith("1 ")]
    best = result.ranking[0]
    assert f"{best.strength - 1.96 * best.strength_se:+.2f}" in line
    assert f"{best.strength + 1.96 * best.strength_se:+.2f}" in line
    assert "●" in line


def test_a_match_that_a_coin_decided_is_marked() -> None:
    def nobody(ask: Any) -> Any:
        from bon.types import Outcome, Verdict

        return Verdict(Outcome.TIE)

    assert "~ a coin decided" in text_of(play(n=2, judge=nobody))


def test_a_ladder_too_long_for_the_width_falls_back_to_the_cross_table() -> None:
    async def king_of_the_hill(table: Any) -> int:
        from bon.match import single

        king = 0
        for challenger in table.seats[1:]:
            king = await table.duel(king, challenger, single)
        return king

    assert "Cross table" in text_of(play(king_of_the_hill, 16))


def test_an_error_is_shown_where_there_is_no_winner() -> None:
    failed = replace(
        play(n=2),
        winner=None,
        ranking=(),
        matches=(),
        comparisons=(),
        error="the policy's engine died",
    )
    assert "Error: the policy's engine died" in text_of(failed)


@settings(max_examples=30)
@given(
    st.integers(1, 40),
    st.sampled_from([knockout, double_knockout, round_robin]),
    st.text(max_size=60),
)
def test_no_line_of_what_bon_draws_is_wider_than_the_terminal(
    n: int, strategy: Any, said: str
) -> None:
    result = play(strategy, n, texts=[f"{said} {k}" for k in range(n)])
    for line in text_of(result).splitlines():
        assert cell_len(line) <= 80


def test_colour_only_where_asked_for() -> None:
    assert "\x1b[" not in text_of(play())
    assert "\x1b[" in text_of(play(), colour=True)


def test_what_a_candidate_says_cannot_drive_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;pwned\x07[bold red]not markup[/] :smile: \u202ereversed\x9b31m"
    result = play(n=2, texts=[evil, evil], prompt=evil, identity=evil)
    text = text_of(result)
    assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert "[bold red]not markup[/] :smile:" in text
    assert "pwned" not in text


# --- a file of results ----------------------------------------------------------------------------


def test_a_file_of_one_result_is_shown_in_full(tmp_path: Path) -> None:
    assert "Winner: candidate" in show(write(tmp_path / "r.jsonl", play()))


def test_a_file_of_several_is_shown_at_a_glance(tmp_path: Path) -> None:
    results = [play(identity=name, seed=name) for name in ("ants", "bees", "wasps")]
    text = show(write(tmp_path / "r.jsonl", *results))
    assert "3 prompts, " in text
    assert "right: winner" in text
    for result in results:
        [line] = [line for line in text.splitlines() if line.split()[:1] == [result.prompt.id]]
        assert f" {result.winner} " in line


def test_one_of_several_is_shown_by_its_id(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", play(identity="ants"), play(identity="bees"))
    assert show(path, "bees").lstrip().startswith("bees ")


def test_at_a_glance_right_and_wrong_can_be_told_apart_without_colour(tmp_path: Path) -> None:
    right, wrong = (play(n=1, texts=[text], identity=text) for text in ("16", "17"))
    lines = show(write(tmp_path / "r.jsonl", right, wrong)).splitlines()
    [told_right], [told_wrong] = ([x for x in lines if x.startswith(f" {n} ")] for n in (16, 17))
    assert "✓" in told_right
    assert "✗" in told_wrong


def test_where_nobody_was_compared_no_strength_is_made_up() -> None:
    async def nobody(table: Any) -> int:
        return 1

    text = text_of(play(nobody, 3))
    assert "0 judge calls" in text
    assert "strength" not in text
    assert "chance" not in text


def test_facts_tell_what_went_wrong_in_this_tournament() -> None:
    facts = text_of(play(double_knockout, 8, judge=noisy_judge("1", void=0.3, bias=0.4)))
    for told in ("voids", "flip", "decided by coin", "margin"):
        assert told in facts


def test_a_terminal_without_unicode_gets_what_it_can_show(tmp_path: Path) -> None:
    several = write(tmp_path / "several.jsonl", play(identity="ants"), play(identity="bees"))
    one = write(tmp_path / "one.jsonl", play(n=3, texts=["naïve", "größer", "∞"]))
    for path, told in ((several, b"ants"), (one, b"Ranking")):
        shown = subprocess.run(
            [sys.executable, "-m", "bon", "show", path],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=True,
        )
        assert told in shown.stdout
        assert shown.stdout.isascii()
        assert shown.stderr == b""


# --- bad input ------------------------------------------------------------------------------------


def test_its_graph_is_written_by_ending(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", play(n=3, identity="a"), play(n=4, identity="b"))
    for ending in WRITERS:
        assert show(file, "b", "--graph", tmp_path / f"b{ending}") == ""
        assert (tmp_path / f"b{ending}").stat().st_size > 0
    graph = nx.read_graphml(tmp_path / "b.graphml", force_multigraph=True)
    assert len(graph) == 4
    assert graph.graph["prompt_id"] == "b"


def test_a_graph_of_nobody_knows_whom_or_how_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", play(n=3, identity="a"), play(n=4, identity="b"))
    told = refusal(file, "a", "--graph", tmp_path / "a.gif")
    assert "a.gif" in told
    assert all(ending in told for ending in WRITERS)
    assert "ID" in refusal(file, "--graph", tmp_path / "a.svg")
    assert "cannot write" in refusal(file, "a", "--graph", tmp_path / "none" / "a.svg")


def test_an_empty_file_is_said_to_be_one(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl")
    assert refusal(path) == f"there is no result in {path}"


def test_an_unknown_id_is_refused_with_near_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", play(identity="chain_sum-001"), play(identity="bees"))
    assert (
        refusal(path, "chain-sum-001")
        == "no result has the id 'chain-sum-001'; near: chain_sum-001"
    )


def test_a_newer_schema_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", play())
    row = result_to_json(play()) | {"schema": 99}
    path.write_bytes(path.read_bytes() + orjson.dumps(row) + b"\n")
    said = refusal(path)
    assert "line 2: " in said
    assert "schema 99" in said
    assert "upgrade bon" in said


def test_a_torn_last_line_is_said_to_be_one(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", play(), play())
    path.write_bytes(path.read_bytes()[:-40])
    said = refusal(path)
    assert "line 2: " in said
    assert "torn" in said


def test_a_line_that_is_not_json_is_named_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", play())
    path.write_bytes(b"\n\nhello\n" + path.read_bytes())
    assert "line 3: not JSON" in refusal(path)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.jsonl").endswith("No such file or directory")


def test_candidates_with_one_answer_are_one_line_of_the_ranking() -> None:
    result = play(n=2, texts=["it is 16", "it is 17"])
    same = replace(result, candidates=(*result.candidates, result.candidates[1]), groups=(0, 1, 1))
    lines = [line for line in text_of(same).splitlines() if "×2 it is 17" in line]
    assert len(lines) == 1
