"""The worlds and the report of the benchmark: what is played, what is counted, what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from itertools import permutations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from judges import FIRST, SECOND, VOID

from bon.bench.kept import Kept
from bon.bench.limit import limit
from bon.bench.picture import draw, frontier
from bon.bench.played import Played, World, played
from bon.bench.recorded import Recorded, read_recordings
from bon.bench.reference import Subsets
from bon.bench.report import Row, rows
from bon.bench.runner import Columns, run
from bon.bench.simulated import Simulated
from bon.catalog import parse_strategy
from bon.judge.template import load_template
from bon.types import BonError, Comparison, Outcome, Verdict


def measure(world: World, *texts: str, jobs: int = 1) -> dict[str, Columns]:
    return run(world, texts, jobs, lambda *_: None)


def row(world: World, text: str, baseline: str | None = None) -> Row:
    texts = [text, *([baseline] if baseline else [])]
    return rows(world.limit, measure(world, *texts), baseline)[0]


# --- what is counted --------------------------------------------------------------------------------


def comparison(
    first: int, second: int, stage: int, verdict: Verdict, repeat: int = 0
) -> Comparison:
    return Comparison(first, second, repeat, 0, stage, verdict)


def test_a_pair_flips_where_its_two_orders_disagree() -> None:
    made = [
        comparison(0, 1, 1, FIRST),
        comparison(1, 0, 1, FIRST),  # flipped
        comparison(2, 3, 1, FIRST),
        comparison(3, 2, 1, SECOND),  # the same
        comparison(4, 5, 1, FIRST),
        comparison(5, 4, 1, VOID),  # no pair
        comparison(6, 7, 1, FIRST),  # one order
    ]
    counted = played(made, 1, 1.0, 0.0)
    assert (counted.flips, counted.pairs, counted.voids, counted.comparisons) == (1, 2, 1, 7)


def test_latency_is_the_longest_output_of_each_stage() -> None:
    def written(tokens: int) -> Verdict:
        return Verdict(Outcome.FIRST, output_tokens=tokens, prompt_tokens=10)

    made = [comparison(0, 1, 1, written(5)), comparison(2, 3, 1, written(9))]
    made.append(comparison(0, 2, 2, written(4)))
    counted = played(made, 2, 1.0, 0.0)
    assert (counted.latency, counted.tokens, counted.prompt_tokens) == (13, 18, 30)


# --- the limit and the exact posterior ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "flip", "calls"), [(8, 0.2, 22.3), (16, 0.2, 47.8), (32, 0.1, 46.7), (32, 0.3, 242.4)]
)
def test_the_limit_is_the_published_one(n: int, flip: float, calls: float) -> None:
    assert limit(n, flip, 0.05) == pytest.approx(calls, abs=0.06)


@pytest.mark.parametrize(("flip", "error"), [(0.0, 0.1), (0.5, 0.1), (0.2, 0.0), (0.2, 0.5)])
def test_there_is_no_limit_where_the_formula_has_none(flip: float, error: float) -> None:
    assert limit(8, flip, error) is None


def test_the_exact_posterior_is_the_sum_over_all_orders() -> None:
    n, flip = 5, 0.2
    rng = np.random.default_rng(1)
    seen = [tuple(rng.choice(n, 2, replace=False).tolist()) for _ in range(12)]
    posterior = Subsets(n, flip)
    for winner, loser in seen:
        posterior.saw(winner, loser)
    chance = np.zeros(n)
    for order in permutations(range(n)):
        place = {candidate: i for i, candidate in enumerate(order)}
        right = sum(place[winner] < place[loser] for winner, loser in seen)
        chance[order[0]] += (1 - flip) ** right * flip ** (len(seen) - right)
    assert factorial(n) == len(list(permutations(range(n))))
    assert posterior.best() == pytest.approx(chance / chance.sum())


def test_the_exact_posterior_errs_as_rarely_as_it_says_and_near_the_limit() -> None:
    found = row(Simulated(n=8, size=150, flip=0.2, seed=3), "exact-posterior:error=0.1")
    assert found.accuracy > 0.9 - 0.05
    assert found.limit is not None
    assert found.limit_error == 0.1
    assert found.limit < found.comparisons < 1.75 * found.limit


# --- the simulated world ----------------------------------------------------------------------------


def test_a_world_is_the_same_in_one_process_or_several() -> None:
    world = Simulated(n=5, size=24, seed=4, bias=0.3, ties=0.1, voids=0.1, persistence=0.5)
    alone, shared = (measure(world, "knockout", "swiss", jobs=jobs) for jobs in (1, 2))
    for text, columns in alone.items():
        for name, column in columns.items():
            assert (column == shared[text][name]).all()


def test_what_was_kept_is_not_played_again_and_changes_nothing(tmp_path: Path) -> None:
    world, path = Simulated(n=4, size=32, seed=2), str(tmp_path / "kept")
    lines: list[int] = []
    for texts in (["knockout"], ["knockout", "swiss"]):
        kept = Kept(path, repr(world))
        found = run(world, texts, 1, lambda *_: None, kept)
        kept.close()
        lines.append(len(Path(path).read_bytes().splitlines()))
        whole = measure(world, *texts)
        for text in texts:
            assert all((found[text][f] == whole[text][f]).all() for f in Played._fields)
    assert lines == [16, 32]
    other = Kept(path, repr(Simulated(n=4, size=32, seed=3)))
    assert other.part("knockout", 0, 2) is None
    other.close()


def test_a_torn_line_of_what_was_kept_is_no_part(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    for _ in range(2):
        kept = Kept(str(path), "world")
        kept.add("knockout", 0, 1, np.ones((1, 10)))
        kept.close()
        path.write_bytes(path.read_bytes() + b'{"part": "torn')
    kept = Kept(str(path), "world")
    assert kept.part("knockout", 0, 1) is not None
    kept.close()
    path.write_text("something else\n")
    with pytest.raises(BonError, match="no file of --keep"):
        Kept(str(path), "world")


def test_another_seed_is_another_world() -> None:
    one, other = (measure(Simulated(n=6, size=60, seed=s), "knockout")["knockout"] for s in (0, 1))
    assert (one["right"] != other["right"]).any()


def test_every_strategy_meets_the_same_prompts() -> None:
    world = Simulated(n=6, size=40)
    again = measure(world, "knockout:rule=single", "knockout")
    assert (again["knockout"]["right"] == again["knockout:rule=single"]["right"]).all()


@pytest.mark.parametrize("kind", ["order", "strengths", "labels"])
def test_a_judge_that_errs_less_is_right_more_often(kind: str) -> None:
    sure, unsure = (
        row(Simulated(n=8, size=250, kind=kind, flip=flip, spread=spread), "knockout")
        for flip, spread in ((0.05, 5.0), (0.4, 0.3))
    )
    assert sure.low > unsure.high
    assert sure.regret < unsure.regret or kind == "strengths"


def test_labels_make_final_answers_that_a_majority_can_count() -> None:
    world = Simulated(n=9, size=300, kind="labels", right=0.4, flip=0.1)
    by = {text: row(world, text).accuracy for text in ("random", "majority", "knockout", "oracle")}
    assert by["random"] == pytest.approx(0.4, abs=0.08)
    assert by["random"] < by["majority"] < by["knockout"] < by["oracle"]


def test_the_faults_of_the_judge_show_in_the_rates() -> None:
    world = Simulated(n=8, size=60, flip=0.2, voids=0.1)
    found = row(world, "round-robin:rule=both")
    assert found.void_rate == pytest.approx(0.1, abs=0.02)
    assert found.flip_rate == pytest.approx(2 * 0.2 * 0.8, abs=0.05)
    assert found.limit is None  # the formula knows of no voids
    biased = row(Simulated(n=8, size=60, flip=0.2, bias=2.0), "round-robin:rule=both")
    assert biased.flip_rate is not None
    assert biased.flip_rate > 0.45


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"flip": 0.6}, "0 to 0.5"),
        ({"flip": float("nan")}, "0 to 0.5"),
        ({"right": 2.0}, "0 to 1"),
        ({"ties": 1.5}, "shares from 0 to 1"),
        ({"n": 0}, "at least 1"),
        ({"kind": "flat"}, "known: order, strengths, labels"),
    ],
)
def test_a_world_that_cannot_be_is_one_clear_line(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BonError, match=says):
        Simulated(**wrong)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exact-posterior:flip=0.2", "known: error"),
        ("exact-posterior:error=0.7", "between 0 and 0.5"),
        ("exact-posterior:error=few", "such as 0.05"),
        ("pointwise", "needs a score"),
        ("knokout", "unknown strategy"),
        ("knockout:rule=sequential:0.5", "between 0 and 0.5"),
    ],
)
def test_a_strategy_that_cannot_play_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(BonError, match=says):
        measure(Simulated(n=4, size=4), text)


def test_the_exact_posterior_has_no_room_for_more_than_16() -> None:
    with pytest.raises(BonError, match="16 at most"):
        measure(Simulated(n=17, size=1), "exact-posterior")


# --- the recorded world -----------------------------------------------------------------------------


def write(path: Path, found: Sequence[Mapping[str, Any]]) -> str:
    data = b"".join(orjson.dumps(line) + b"\n" for line in found)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def table(names: str, prompt: str = "p", **scores: int) -> list[dict[str, Any]]:
    """A double round robin in which the name that comes first wins, except for what `scores` says."""
    return [
        {
            "prompt_id": prompt,
            "first": a,
            "second": b,
            "score": scores.get(a + b, 1 if a < b else 2),
        }
        for a, b in permutations(names, 2)
    ]


def recorded(tmp_path: Path, found: Sequence[Mapping[str, Any]], **settings: Any) -> Recorded:
    recordings = read_recordings(write(tmp_path / "verdicts.jsonl", found))
    return Recorded(recordings, **settings)


PLAYABLE = [
    "random",
    "knockout",
    "knockout:rule=both",
    "swiss",
    "pivot:playoff=true",
    "round-robin",
]


@pytest.mark.parametrize("text", PLAYABLE[1:])
def test_verdicts_that_agree_make_their_first_the_winner(tmp_path: Path, text: str) -> None:
    found = [line for i in range(20) for line in table("abcde", f"p{i}")]
    one = row(recorded(tmp_path, found), text)
    assert (one.accuracy, one.regret, one.void_rate) == (1.0, 0.0, 0.0)


def test_all_verdicts_of_a_table_name_its_winner(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = [line for i in range(60) for line in table("abcdef", f"p{i}")]
    for line in found:
        line["score"] = int(rng.choice([1, 2, 3, -1]))
    assert row(recorded(tmp_path, found), "round-robin:rule=both").accuracy == 1.0


def test_whoever_shares_the_highest_mean_is_right(tmp_path: Path) -> None:
    world = recorded(tmp_path, table("ab", ab=3, ba=3))
    assert {world.play(parse_strategy("random"), 0)[0].right} == {1.0}


def test_a_recorded_void_is_final_and_left_out_of_the_truth(tmp_path: Path) -> None:
    found = table("ab", ab=-1, ba=-1)
    counted = recorded(tmp_path, found).play(parse_strategy("knockout"), 0)[0]
    assert (counted.comparisons, counted.voids) == (1, 1)
    # c loses every verdict it has, but a void leaves a with one win of one
    found = table("abc", ab=-1, ba=-1, ac=1, ca=-1, bc=1, cb=2)
    assert (
        recorded(tmp_path, found).play(parse_strategy("round-robin:rule=both"), 0)[0].right == 1.0
    )


def test_seats_are_dealt_anew_for_each_prompt(tmp_path: Path) -> None:
    """A judge that ties everything: a name or a seat that won more often would show."""
    names = "abcd"
    found = [{**line, "score": 3} for i in range(300) for line in table(names, f"p{i}")]
    labels = [
        {"prompt_id": f"p{i}", "candidate": name, "correct": name == "a"}
        for i in range(300)
        for name in names
    ]
    path = write(tmp_path / "verdicts.jsonl", found)
    world = Recorded(read_recordings(path, labels=write(tmp_path / "labels.jsonl", labels)))
    assert row(world, "knockout").accuracy == pytest.approx(0.25, abs=0.09)
    assert row(world, "first").accuracy == 1.0


def test_prompts_may_have_unequal_numbers_of_candidates(tmp_path: Path) -> None:
    found = table("ab", "one") + table("abcdefg", "two") + table("abc", "three")
    world = recorded(tmp_path, found)
    columns = measure(world, "knockout")["knockout"]
    assert columns["comparisons"].tolist() == [1, 6, 2]
    assert columns["right"].tolist() == [1, 1, 1]


def test_a_comparison_that_was_never_recorded_is_an_error(tmp_path: Path) -> None:
    found = [line for line in table("abc") if (line["first"], line["second"]) != ("c", "b")]
    with pytest.raises(BonError, match="prompt p: no verdict on 'c' shown before 'b'"):
        measure(recorded(tmp_path, found), "knockout")
    labels = [{"prompt_id": "p", "candidate": name, "correct": name == "a"} for name in "abc"]
    path, known = write(tmp_path / "v.jsonl", found), write(tmp_path / "l.jsonl", labels)
    world = Recorded(read_recordings(path, labels=known))
    with pytest.raises(BonError, match="'c' shown before 'b'"):
        measure(world, "round-robin:rule=both")


@pytest.mark.parametrize("rule", ["votes:3", "escalate", "sequential:0.05"])
def test_a_rule_that_repeats_is_refused(tmp_path: Path, rule: str) -> None:
    found = table("ab", ab=1, ba=1)
    with pytest.raises(BonError, match="again, and there is one verdict in each order"):
        measure(recorded(tmp_path, found), f"knockout:rule={rule}")


def test_a_split_decides_on_one_order_and_is_scored_against_the_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    found = [line for i in range(200) for line in table("abcd", f"p{i}")]
    for line in found:
        line["score"] = int(rng.choice([1, 2]))  # no truth at all: the two halves share nothing
    world = recorded(tmp_path, found, split=True)
    assert row(world, "round-robin").accuracy < 0.5
    agreeing = recorded(
        tmp_path, [x for i in range(20) for x in table("abcd", f"p{i}")], split=True
    )
    assert row(agreeing, "round-robin").accuracy == 1.0
    with pytest.raises(BonError, match="one verdict a pair in a split"):
        measure(world, "knockout:rule=both")


def test_text_is_read_by_the_real_parser(tmp_path: Path) -> None:
    def text(one: dict[str, Any]) -> str:
        mine, other = ("1", "2") if one["score"] == 1 else ("2", "1")
        return f"\\boxed{{Assistant {other}}} ?</think>So \\boxed{{Assistant {mine}}}"

    found = [{**one, "text": text(one)} for one in table("abcd")]
    found[0]["text"] = "<think>I cannot say"
    path = write(tmp_path / "verdicts.jsonl.gz", [{**one, "score": 3} for one in found])
    template = load_template("rrm")
    (recording,) = read_recordings(path, template=template)
    outcomes = {(f["first"], f["second"]): SCORE[f["score"]] for f in found}
    outcomes["a", "b"] = Outcome.VOID
    assert {pair: v.outcome for pair, v in recording.verdicts.items()} == outcomes
    assert recording.verdicts["a", "c"].output_tokens > 0


SCORE = {1: Outcome.FIRST, 2: Outcome.SECOND}


def test_outcomes_may_be_named(tmp_path: Path) -> None:
    names = ["first", "SECOND", "tie", "void"]
    found = [
        {"prompt_id": "p", "first": "a", "second": str(i), "outcome": name}
        for i, name in enumerate(names)
    ]
    (recording,) = read_recordings(write(tmp_path / "v.jsonl", found))
    assert [v.outcome for v in recording.verdicts.values()] == list(Outcome)


ROW = {"prompt_id": "p", "first": "a", "second": "b", "score": 1}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "no verdict"),
        ([{"first": "a", "second": "b", "score": 1}], "line 1: the field 'prompt_id' is missing"),
        ([{"prompt_id": "p", "first": "a", "second": "b"}], "line 1: the field 'score' is missing"),
        ([ROW, {**ROW, "score": 7}], "line 2: unknown score 7; known: 1 first"),
        ([{**ROW, "outcome": "won"}], "unknown outcome 'won'; known: first"),
        ([ROW, ROW], "line 2: this pair was judged in this order before"),
        ([{**ROW, "second": "a"}], "compared with itself"),
        ([[1, 2]], "line 1: not a JSON object but a list"),
    ],
)
def test_a_broken_recording_is_one_clear_line(tmp_path: Path, found: Any, says: str) -> None:
    with pytest.raises(BonError, match=says) as raised:
        read_recordings(write(tmp_path / "v.jsonl", found))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_no_gzip_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="cannot read"):
        read_recordings(str(tmp_path / "nowhere.jsonl"))
    (tmp_path / "v.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(BonError, match="cannot read"):
        read_recordings(str(tmp_path / "v.jsonl.gz"))


def test_a_label_that_is_missing_is_one_clear_line(tmp_path: Path) -> None:
    path = write(tmp_path / "v.jsonl", table("ab"))
    labels = write(tmp_path / "l.jsonl", [{"prompt_id": "p", "candidate": "a", "correct": True}])
    with pytest.raises(BonError, match="prompt p has no label for 'b'"):
        read_recordings(path, labels=labels)


# --- the report -------------------------------------------------------------------------------------


def test_differences_to_the_baseline_are_paired() -> None:
    world = Simulated(n=8, size=200, flip=0.25)
    found = row(world, "knockout:rule=votes:7", "knockout")
    assert found.baseline == "knockout"
    assert found.difference is not None
    assert found.difference_low is not None
    assert 0 < found.difference_low < found.difference
    columns = measure(world, "knockout:rule=votes:7", "knockout")
    gains = columns["knockout:rule=votes:7"]["right"] - columns["knockout"]["right"]
    assert found.difference == pytest.approx(gains.mean())
    assert row(world, "knockout", "knockout").difference is None


def test_intervals_hold_the_mean() -> None:
    found = row(Simulated(n=4, size=80), "knockout")
    assert found.low < found.accuracy < found.high
    assert found.high - found.low == pytest.approx(4 * 0.5 / 80**0.5, abs=0.08)


def test_the_limit_is_at_the_error_that_is_stated_or_else_found() -> None:
    world = Simulated(n=8, size=100, flip=0.1)
    stated = row(world, "knockout:rule=sequential:0.02")
    assert (stated.limit_error, stated.limit) == (0.02, limit(8, 0.1, 0.02))
    found = row(world, "knockout")
    assert found.limit_error == pytest.approx(1 - found.accuracy)


def test_nothing_on_the_frontier_is_beaten() -> None:
    world = Simulated(n=8, size=100)
    texts = ["random", "knockout", "knockout:rule=votes:3", "pivot", "swiss"]
    found = rows(world.limit, measure(world, *texts), None)
    edge = frontier(found)
    for a in found:
        beaten = any(b.comparisons <= a.comparisons and b.accuracy > a.accuracy for b in found)
        assert beaten is False or a not in edge
    assert [a.accuracy for a in edge] == sorted({a.accuracy for a in edge})


def test_a_picture_is_drawn_also_where_nothing_was_asked(tmp_path: Path) -> None:
    world = Simulated(n=4, size=10)
    found = rows(world.limit, measure(world, "random", "knockout"), None)
    for name, some in (("picture.png", found), ("bare.svg", found[:1])):
        draw(some, world.limit, "title", str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 1000


def test_fields_of_a_play_are_numbers() -> None:
    assert all(isinstance(value, int | float) for value in Played(*range(10)))
