"""What diagnostics count in a result, how they add up, and what they say in words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_factory import Judge, double_knockout, double_round_robin, noisy_judge, play

from bon.diagnostics import Diagnosis, diagnose, diagnose_each, diagnosed
from bon.findings import findings
from bon.schema import result_from_json
from bon.shares import Part, share
from bon.strategies.knockout import knockout
from bon.strategies.round_robin import round_robin
from bon.summary import Total, summarise
from bon.types import Candidate, Outcome, Result, Verdict, VoidReason

if TYPE_CHECKING:
    from bon.tournament import Ask


def higher_wins(ask: Ask) -> Verdict:
    return Verdict(Outcome.FIRST if ask.first > ask.second else Outcome.SECOND)


def always(outcome: Outcome, reason: VoidReason | None = None) -> Judge:
    return lambda ask: Verdict(outcome, void_reason=reason)


def one(result: Result) -> Diagnosis:
    [diagnosis] = diagnose([result])
    return diagnosis


def words(*results: Result) -> str:
    return "\n".join(findings(summarise(diagnose(results))))


# --- one result -----------------------------------------------------------------------------------


def test_a_judge_that_always_names_the_first_slot_flips_every_pair() -> None:
    diagnosis = one(play(double_round_robin, 4, judge=always(Outcome.FIRST)))
    assert diagnosis.first_slot == Part(12, 12)
    assert diagnosis.flips == Part(6, 6)
    assert diagnosis.coins == Part(6, 6)


def test_a_sound_judge_never_flips() -> None:
    diagnosis = one(play(double_round_robin, 4, judge=higher_wins))
    assert diagnosis.flips == Part(0, 6)
    assert diagnosis.first_slot == Part(6, 12)


def test_a_tie_against_a_win_is_a_flip() -> None:
    def ties_when_the_lower_is_first(ask: Ask) -> Verdict:
        return Verdict(Outcome.TIE) if ask.first < ask.second else Verdict(Outcome.FIRST)

    assert one(play(double_knockout, 2, judge=ties_when_the_lower_is_first)).flips == Part(1, 1)


def test_pairs_asked_in_one_order_have_no_flip_rate() -> None:
    assert one(play(round_robin, 4, judge=higher_wins)).flips == Part(0, 0)


def test_voids_are_counted_by_reason_and_are_in_no_other_rate() -> None:
    diagnosis = one(play(n=2, judge=always(Outcome.VOID, VoidReason.TRUNCATED)))
    assert diagnosis.voids == Part(2, 2), "the call and its retry"
    assert diagnosis.void_reasons == {VoidReason.TRUNCATED: 2}
    assert diagnosis.ties == diagnosis.first_slot == diagnosis.longer == Part(0, 0)


def test_rock_paper_scissors_is_one_cycle_and_one_contradiction() -> None:
    def judge(ask: Ask) -> Verdict:
        return Verdict(Outcome.FIRST if (ask.first - ask.second) % 3 == 1 else Outcome.SECOND)

    diagnosis = one(play(round_robin, 3, judge=judge))
    assert diagnosis.cyclic == Part(1, 1)
    assert diagnosis.contradictions == ((0, 1, 2),)


def test_a_consistent_judge_has_no_cycle() -> None:
    diagnosis = one(play(round_robin, 6, judge=higher_wins))
    assert diagnosis.cyclic == Part(0, 20)
    assert diagnosis.contradictions == ()


def test_a_longer_circle_is_a_contradiction_without_a_cyclic_triple() -> None:
    async def ring(table: Any) -> int:
        for seat in table.seats:
            await table.compare(seat, (seat + 1) % table.n)
        return 0

    diagnosis = one(play(ring, 4, judge=always(Outcome.FIRST)))
    assert diagnosis.cyclic == Part(0, 0)
    assert diagnosis.contradictions == ((0, 1, 2, 3),)


def test_candidates_that_no_chain_of_verdicts_connects_are_said_to_be_apart() -> None:
    async def two_pairs(table: Any) -> int:
        await table.compare(0, 1)
        await table.compare(3, 2)
        return 1

    apart = play(two_pairs, 4, judge=higher_wins)
    assert one(apart).components == ((0, 1), (2, 3))
    assert one(play(knockout, 4, judge=higher_wins)).components == ()
    assert "On 100% of prompts verdicts leave candidates in groups" in words(*[apart] * 20)


def test_length_counts_only_where_lengths_differ() -> None:
    texts = ["a", "bb", "cc"]
    assert one(play(round_robin, 3, judge=higher_wins, texts=texts)).longer == Part(2, 2)


def test_every_rating_agrees_with_an_undisputed_winner() -> None:
    diagnosis = one(play(round_robin, 5, judge=higher_wins))
    assert set(diagnosis.agreement) == {
        "Bradley-Terry",
        "win rate",
        "Copeland",
        "PageRank",
        "Elo",
    }
    assert all(diagnosis.agreement.values())
    assert diagnosis.margin is not None
    assert diagnosis.margin > 0


def test_more_votes_make_the_winner_surer() -> None:
    few = one(play(knockout, 4, judge=higher_wins)).p_best
    many = one(play(double_round_robin, 4, judge=higher_wins)).p_best
    assert few is not None
    assert many is not None
    assert 0.25 < few < many <= 1


def test_a_lone_candidate_is_surely_the_best() -> None:
    diagnosis = one(play(n=1))
    assert (diagnosis.p_best, diagnosis.margin, diagnosis.agreement) == (1.0, None, {})


def test_a_failed_prompt_is_said_to_be_one() -> None:
    failed = replace(
        play(n=2), candidates=(), groups=(), winner=None, ranking=(), matches=(), comparisons=()
    )
    diagnosis = one(failed)
    assert diagnosis.failed
    assert diagnosis.p_best is None


def test_results_are_rated_alike_alone_and_together() -> None:
    results = [play(knockout, n, seed=str(n)) for n in (1, 2, 5, 9)] + [play(round_robin, 4)]
    for result, together in diagnose_each(results, batch=3):
        alone = one(result)
        assert replace(alone, margin=None, p_best=None) == replace(
            together, margin=None, p_best=None
        )
        assert alone.margin == pytest.approx(together.margin)
        assert alone.p_best == pytest.approx(together.p_best)


# --- truth ----------------------------------------------------------------------------------------


def test_whether_a_candidate_is_right_is_taken_from_the_input_where_it_says_so() -> None:
    result = play(n=2, judge=higher_wins, texts=["7", "8"], answer=None)
    assert one(result).truth is None
    first, second = result.candidates
    known = replace(
        result, candidates=(replace(first, correct=True), replace(second, correct=False))
    )
    truth = one(known).truth
    assert truth is not None
    assert truth.right == (True, False)
    assert truth.winner == 0.0


def test_accuracy_stands_beside_random_majority_and_oracle() -> None:
    texts = ["so it is 7", "7", "it is 8", "or 9"]
    result = play(n=4, judge=higher_wins, texts=texts, answer="9")
    accuracy = summarise(diagnose([result, result])).accuracy
    assert accuracy is not None
    assert accuracy.winner.mean == 1.0
    assert accuracy.random == 0.25
    assert accuracy.majority == 0.0
    assert accuracy.oracle == 1.0


def test_without_a_known_answer_there_is_no_accuracy() -> None:
    assert summarise(diagnose([play(answer=None)])).accuracy is None


# --- adding up ------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_run_is_the_sum_of_its_results(seeds: list[int]) -> None:
    diagnoses = list(diagnose(play(seed=str(seed), answer=None) for seed in seeds))
    summary = summarise(diagnoses)
    for rate in ("first_slot", "flips", "ties", "voids", "coins", "cyclic", "longer"):
        whole, parts = getattr(summary, rate), [getattr(d, rate) for d in diagnoses]
        assert (whole.hits, whole.of) == (sum(p.hits for p in parts), sum(p.of for p in parts))
    for cost in ("comparisons", "judge_output_tokens", "policy_tokens"):
        assert summary.cost[cost] == sum(d.cost[cost] for d in diagnoses)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_an_interval_holds_its_share_and_stays_within_0_and_1(pairs: list[tuple[int, int]]) -> None:
    total = share(Part(min(pair), max(pair)) for pair in pairs)
    assert 0 <= total.low <= total.high <= 1
    if total.value is not None:
        assert total.low - 1e-9 <= total.value <= total.high + 1e-9


def test_comparisons_that_agree_within_a_prompt_count_for_less() -> None:
    spread = share([Part(5, 10)] * 20)
    clustered = share([Part(10, 10), Part(0, 10)] * 10)
    assert clustered.value == spread.value
    assert clustered.high - clustered.low > 2 * (spread.high - spread.low)


def test_the_interval_of_independent_prompts_is_wilsons() -> None:
    # 15 of 50: the textbook interval
    known = share([Part(1, 1)] * 15 + [Part(0, 1)] * 35)
    assert (known.low, known.high) == pytest.approx((0.191, 0.438), abs=2e-3)


def test_a_result_is_written_with_its_diagnosis() -> None:
    result = play(double_round_robin, 4, judge=always(Outcome.FIRST))
    row = orjson.loads(orjson.dumps(diagnosed(result, one(result))))
    told = row["diagnostics"]
    assert told["first_slot"] == {
        "hits": 12,
        "of": 12,
        "low": pytest.approx(0.758, abs=1e-3),
        "high": 1.0,
    }
    assert told["flips"]["hits"] == 6
    assert told["void_reasons"] == {"unparsable": 0, "truncated": 0, "too-long": 0, "failed": 0}
    assert told["agreement"]["PageRank"] is True
    assert result_from_json(row) == result


def test_every_row_has_the_same_diagnostics_so_that_they_make_columns() -> None:
    lone, failed = play(n=1, answer=None), play(judge=always(Outcome.VOID, VoidReason.FAILED))
    shapes = [_shape(Total().row(result)["diagnostics"]) for result in (lone, failed, play())]
    assert shapes[0] == shapes[1] == shapes[2]


def _shape(value: Any) -> Any:
    """The keys, at every depth that has any."""
    if not isinstance(value, dict):
        return None
    return {key: _shape(inner) for key, inner in value.items() if key != "truth"}


def test_a_run_adds_up_while_its_rows_are_written() -> None:
    results = [play(seed=str(i)) for i in range(4)]
    total = Total()
    for result in results:
        total.row(result)
    assert total.summary() == summarise(one(result) for result in results)


def test_nothing_adds_up_to_nothing() -> None:
    summary = summarise([])
    assert summary.prompts == 0
    assert findings(summary) == []


# --- in words -------------------------------------------------------------------------------------


def test_slot_bias_is_said_with_what_to_do() -> None:
    said = words(
        *[play(seed=str(seed), judge=noisy_judge(str(seed), bias=0.5)) for seed in range(9)]
    )
    assert "The judge preferred the first slot in 9" in said
    assert "use both orders" in said


def test_under_both_orders_slot_bias_is_said_to_cancel() -> None:
    judge = noisy_judge("1", bias=0.6)
    said = words(*[play(double_knockout, seed=str(seed), judge=judge) for seed in range(9)])
    assert "both orders were asked, so it cancels" in said
    assert "The two orders disagreed on" in said


def test_a_judge_without_faults_is_left_in_peace() -> None:
    results = [
        play(double_round_robin, 5, judge=higher_wins, answer=None, seed=str(i)) for i in range(5)
    ]
    assert words(*results) == ""


def test_voids_are_said_with_their_reason_and_remedy() -> None:
    said = words(play(round_robin, 8, judge=always(Outcome.VOID, VoidReason.TRUNCATED)))
    assert "gave no verdict (truncated 100.0%): raise --judge-max-tokens" in said


def test_a_love_of_length_is_named() -> None:
    texts = ["x" * n for n in range(1, 9)]
    said = words(
        *[play(round_robin, judge=higher_wins, texts=texts, seed=str(i)) for i in range(3)]
    )
    assert "The longer response won 100% of decided pairs" in said


def test_a_winner_no_better_than_a_random_candidate_is_not_praised() -> None:
    said = words(*[play(n=2, judge=higher_wins, texts=["16", "17"]) for _ in range(5)])
    assert (
        "The winner is right on 0% of prompts, a random candidate on 50%: the judge makes" in said
    )


def test_candidates_cut_off_are_mentioned() -> None:
    result = play()
    cut = tuple(Candidate(c.text, finish_reason="length") for c in result.candidates)
    assert "100% of candidates hit the token limit" in words(*[replace(result, candidates=cut)] * 3)


def test_a_few_observations_are_not_worth_a_sentence() -> None:
    assert words(play(double_knockout, 3, judge=always(Outcome.FIRST), answer=None)) == ""


def test_circles_among_most_triples_are_called_contradictions() -> None:
    def circular(ask: Ask) -> Verdict:
        return Verdict(Outcome.FIRST if (ask.first - ask.second) % 7 < 4 else Outcome.SECOND)

    assert "of triples go round in a circle" in words(play(round_robin, 7, judge=circular))


def test_a_prompt_that_failed_is_said_first() -> None:
    result = play(answer=None)
    failed = replace(result, winner=None, ranking=(), matches=(), comparisons=(), error="no engine")
    assert words(failed, result).startswith("1 of 2 prompts have no winner")
