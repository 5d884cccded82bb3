"""What plugs into other libraries, and, where they are installed, into the real ones."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import Larger

import bon
from bon import BestOfN, BonError
from bon.generation.models import BUNDLED
from bon.hooks.trl import TournamentJudge, TournamentReward
from bon.types import Outcome, Verdict, VoidReason

THOUGHT = "<think>99 looks larger</think>"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    bon.close()


class Speechless(Larger):
    """Says nothing of a response with a 13."""

    async def compare(self, query: str, first: str, second: str, **settings: Any) -> Verdict:
        if "13" in (first, second):
            return Verdict(Outcome.VOID, void_reason=VoidReason.UNPARSABLE)
        return await super().compare(query, first, second, **settings)


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": text}, {"type": "image"}]}]


# --- rewards ------------------------------------------------------------------------------------------


def test_completions_of_one_prompt_are_rewarded_by_their_ratings() -> None:
    rewards = TournamentReward(Larger())(["p"] * 4, ["3", "9", "1", "9"])
    assert None not in rewards
    three, nine, one, other_nine = (reward or 0.0 for reward in rewards)
    assert nine == other_nine > three > one
    assert nine + three + one == pytest.approx(0, abs=1e-6)


def test_prompts_are_told_apart_and_need_not_stand_together() -> None:
    judge = Larger()
    rewards = TournamentReward(judge)(["p", "q", "p", "q"], ["1", "20", "2", "10"])
    assert [reward is not None and reward > 0 for reward in rewards] == [False, True, True, False]
    assert {frozenset(call) for call in judge.calls} == {
        frozenset({"1", "2"}),
        frozenset({"10", "20"}),
    }


def test_conversations_are_judged_by_their_last_turn_without_its_thinking() -> None:
    judge = Larger()
    prompts = [user("Which?"), user("Which?")]
    completions = [[*assistant("5"), *assistant(THOUGHT + "1")], assistant("is it?</think>2")]
    rewards = TournamentReward(judge)(
        prompts, completions, completion_ids=[[1], [2]], answer=["2", "2"]
    )
    assert judge.calls in ([("1", "2")], [("2", "1")])
    assert (rewards[1] or 0) > 0 > (rewards[0] or 0)


def test_what_the_judge_says_nothing_of_has_no_reward() -> None:
    rewards = TournamentReward(Speechless())(["p"] * 3, ["1", "13", "2"])
    assert rewards[1] is None
    assert (rewards[0] or 0) < (rewards[2] or 0)


def test_equal_completions_have_nothing_to_tell_apart() -> None:
    assert TournamentReward(Larger())(["p", "p"], ["7", "7"]) == [0.0, 0.0]


# --- pairs --------------------------------------------------------------------------------------------


def test_the_better_of_each_pair_is_named() -> None:
    judge = TournamentJudge(Larger())
    assert judge.judge(["p", "p", "q"], [["1", "2"], ["2", "1"], ["5", "5"]]) == [1, 0, 0]


def test_without_shuffling_a_pair_is_shown_as_it_came() -> None:
    judge = Larger()
    TournamentJudge(judge).judge(["p"] * 8, [[f"{i}", "99"] for i in range(8)], shuffle_order=False)
    assert sorted(judge.calls) == [(f"{i}", "99") for i in range(8)]


def test_a_pair_of_which_the_judge_says_nothing_is_minus_one() -> None:
    assert TournamentJudge(Speechless()).judge(["p", "q"], [["13", "2"], ["1", "2"]]) == [-1, 1]


def test_a_pair_has_two_completions() -> None:
    with pytest.raises(BonError, match="not 3"):
        TournamentJudge(Larger()).judge(["p"], [["1", "2", "3"]])


# --- the real libraries ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("conversational", [False, True])
def test_trl_trains_on_the_rewards(tmp_path: Path, conversational: bool) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed")
    from_columns = pytest.importorskip("datasets").Dataset.from_dict

    questions = [f"{i} + {i} =" for i in range(4)]
    prompts = [[{"role": "user", "content": q}] if conversational else q for q in questions]
    judge = Larger()
    trainer = trl.GRPOTrainer(
        model=str(BUNDLED / "tiny-policy"),
        reward_funcs=TournamentReward(judge),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=8,
            max_steps=2,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=from_columns({"prompt": prompts}),
    )
    trainer.train()
    logged = [
        entry for entry in trainer.state.log_history if "rewards/tournament_reward/mean" in entry
    ]
    assert len(logged) == 2
    assert judge.calls


@pytest.mark.filterwarnings("ignore")
def test_trl_has_the_same_interface_for_pairwise_judges() -> None:
    judges = pytest.importorskip(
        "trl.experimental.judges", reason="TRL 1.0 or older is not installed"
    )
    theirs = inspect.signature(judges.BasePairwiseJudge.judge).parameters
    ours = inspect.signature(TournamentJudge.judge).parameters
    assert list(ours) == list(theirs)
    assert ours["shuffle_order"].default == theirs["shuffle_order"].default


@pytest.mark.filterwarnings("ignore")
def test_a_langchain_chain_needs_no_adapter() -> None:
    prompts, models, parsers = (
        pytest.importorskip(f"langchain_core.{part}", reason="LangChain is not installed")
        for part in ("prompts", "language_models", "output_parsers")
    )
    asked = prompts.PromptTemplate.from_template("Q: {question}")
    model = models.FakeListChatModel(responses=["3", "9", "5"])
    chain = asked | model | parsers.StrOutputParser()
    assert BestOfN(chain.invoke, judge=Larger(), n=3)("A number?").text == "9"
    best = BestOfN(chain.ainvoke, judge=Larger(), n=3)
    assert asyncio.run(best.acall("A number?")).text == "9"


@pytest.mark.filterwarnings("ignore")
def test_a_dspy_program_needs_no_adapter() -> None:
    dspy = pytest.importorskip("dspy", reason="DSPy is not installed")
    program = dspy.Predict("question -> answer")
    best = BestOfN(lambda question: program(question=question).answer, judge=Larger(), n=3)
    model = dspy.utils.DummyLM([{"answer": text} for text in ("3", "9", "5")])
    with dspy.context(lm=model):
        assert best("A number?").text == "9"
