"""The Python interface: wrapped functions and models, from scripts, threads and running event loops.

Functions are real, the judge is an object of the user's own; where models are asked for, their engines
are fake ones.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from fakes import Engines, FakeBackend, Larger, larger_number, numbers_from_the_seed, some_turns

import bon
from bon import BestOfN, BonError, Candidate, Judge, Policy, Prompt, api
from bon.generation import PromptTooLong, Reply, Request
from bon.grouping import last_number
from bon.tournament import Table
from bon.types import Message, Verdict

QUESTION = "Which number?"


@dataclass
class Counter:
    """A function that gives another number each time."""

    asked: list[Any] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def __call__(self, prompt: Any) -> str:
        self.asked.append(prompt)
        self.threads.add(threading.current_thread().name)
        return f"the answer is {len(self.asked)}"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    bon.close()


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    fakes = Engines(
        {"tiny-policy": FakeBackend(numbers_from_the_seed), "tiny-rrm": FakeBackend(larger_number)}
    )
    monkeypatch.setattr(api, "engine", fakes)
    return fakes


def wrapped(generate: Any, n: int = 4, **settings: Any) -> BestOfN:
    return BestOfN(generate, judge=Larger(), n=n, **settings)


# --- a function that generates ------------------------------------------------------------------------


def test_a_function_that_returns_a_text_is_called_n_times_in_the_callers_thread() -> None:
    counter = Counter()
    answer = wrapped(counter, 5)(QUESTION)
    assert counter.asked == [QUESTION] * 5
    assert counter.threads == {threading.current_thread().name}
    assert (answer.text, str(answer)) == ("the answer is 5", "the answer is 5")


def test_a_function_that_returns_a_list_is_called_once() -> None:
    asked: list[Any] = []

    def several(prompt: Any) -> list[str]:
        asked.append(prompt)
        return ["1", "30", "2"]

    answer = wrapped(several, 8)(QUESTION)
    assert asked == [QUESTION]
    assert [c.text for c in answer.candidates] == ["1", "30", "2"]
    assert answer.text == "30"


def test_an_async_function_is_awaited_n_times_at_once() -> None:
    running = most = 0

    async def slowly(prompt: Any) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await some_turns(5)
        running -= 1
        return f"{most}"

    best = wrapped(slowly, 6)
    best(QUESTION)
    assert most == 5  # the first call ever shows that it returns one text
    best(QUESTION)
    assert most == 6


def test_an_async_function_may_return_a_list_and_hide_in_a_lambda() -> None:
    async def several(prompt: str) -> list[str]:
        return [prompt, "7", "40"]

    assert wrapped(lambda prompt: several(prompt))(QUESTION).text == "40"


def test_a_conversation_reaches_the_function_as_chat_messages() -> None:
    chat = [{"role": "system", "content": "Count."}, {"role": "user", "content": "1, 2"}]
    counter = Counter()
    wrapped(counter, 1)(chat)
    assert counter.asked == [chat]


def test_candidates_of_a_prompt_at_hand_are_not_generated() -> None:
    counter = Counter()
    given = (Candidate("3"), Candidate("9"))
    answer = wrapped(counter)(Prompt("mine", (Message("user", QUESTION),), given=given))
    assert (answer.text, counter.asked, answer.result.prompt.id) == ("9", [], "mine")


class MyError(Exception):
    pass


ERROR = MyError("out of coffee")


def raises(prompt: Any) -> str:
    raise ERROR


async def araises(prompt: Any) -> str:
    raise ERROR


@dataclass
class LaterRaises:
    calls: int = 0

    async def __call__(self, prompt: Any) -> str:
        self.calls += 1
        if self.calls > 2:
            raise ERROR
        return "1"


@pytest.mark.parametrize("generate", [raises, araises, LaterRaises()])
def test_what_the_function_raises_comes_out_as_it_is(generate: Any) -> None:
    best = wrapped(generate)
    with pytest.raises(MyError) as caught:
        best(QUESTION)
    assert caught.value is ERROR
    with pytest.raises(MyError):
        asyncio.run(best.acall(QUESTION))
    with pytest.raises(MyError):
        list(best.map([QUESTION]))


@pytest.mark.parametrize(
    ("returned", "says"),
    [(3, "not int"), (None, "not NoneType"), (["1", 2], "not int"), ([], "no candidate")],
)
def test_what_is_no_text_is_one_clear_error(returned: Any, says: str) -> None:
    with pytest.raises(BonError, match=says):
        wrapped(lambda prompt: returned)(QUESTION)


# --- what comes out -----------------------------------------------------------------------------------


def test_an_answer_shows_how_it_was_found() -> None:
    texts = ["1", "30", "2", "30"]
    answer = wrapped(lambda prompt: texts, strategy="round-robin")(QUESTION)
    assert answer.text == "30"
    assert answer.order == (1, 3, 2, 0)
    assert [standing.candidate for standing in answer.ranking] == [1, 2, 0]
    assert len(answer.comparisons) == answer.usage["comparisons"] == 3
    assert answer.comparisons[0].verdict.reasoning == "I counted."
    assert isinstance(answer.graph, nx.MultiDiGraph)
    assert sorted(answer.graph.nodes) == [0, 1, 2]
    assert (answer.error, answer.cut_short) == (None, None)
    provenance = answer.result.provenance
    assert (provenance["judge"], provenance["template"]) == ("larger", None)
    assert provenance["strategy"] == "round-robin"
    assert provenance["policy"].startswith("test_best_of_n.")


def test_a_judge_of_ones_own_is_not_played_by_the_profile_of_a_model() -> None:
    best = BestOfN(lambda prompt: ["1", "9", "3"], judge=Larger(), strategy="adaptive")
    answer = best(QUESTION)
    assert "profile" not in answer.result.provenance
    unknown = BestOfN(
        lambda prompt: ["1", "9", "3"], judge=Larger(), strategy="adaptive:profile=unknown"
    )
    assert answer.comparisons == unknown(QUESTION).comparisons


def test_a_deadline_gives_the_best_so_far() -> None:
    class Stuck(Larger):
        async def compare(self, *call: Any, **settings: Any) -> Verdict:
            if len(self.calls) == 1:
                await asyncio.Event().wait()
            return await super().compare(*call, **settings)

    best = BestOfN(lambda prompt: ["1", "2", "3"], judge=Stuck(), deadline=0.2)
    answer = best(QUESTION)
    assert answer.cut_short == "the deadline of 0.2 s passed"
    assert len(answer.comparisons) == 1


def test_a_strategy_may_be_a_name_with_settings_or_a_function() -> None:
    async def last_place(table: Table) -> int:
        return table.places.index(table.n - 1)

    for strategy, winner in (
        ("knockout:rule=both", "9"),
        (bon.strategy("knockout", rule="escalate"), "9"),
        (last_place, "3"),
    ):
        answer = wrapped(lambda prompt: ["1", "9", "3"], strategy=strategy)(QUESTION)
        assert answer.text == winner
    assert answer.result.provenance["strategy"] == "last_place"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n": 0}, "N is 0"),
        ({"strategy": "nope"}, "unknown strategy"),
        ({"group_by": "nope"}, "unknown grouping"),
        ({"policy": "tiny-policy"}, "either a function"),
        ({"generate": None}, "either a function"),
        ({"judge": Judge("tiny-rrm", template="nope")}, "nope"),
    ],
)
def test_settings_that_make_no_sense_are_told_at_once(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BonError, match=says):
        BestOfN(**{"generate": Counter(), "judge": Larger(), **settings})


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(BonError, match="empty"):
        wrapped(Counter())("  ")


# --- models -------------------------------------------------------------------------------------------


def test_a_model_samples_and_a_model_judges(engines: Engines) -> None:
    with BestOfN(policy="tiny-policy", judge="tiny-rrm", n=6) as best:
        assert engines.log == []  # nothing is started before it is needed
        answer = best(QUESTION)
    assert len(answer.candidates) == 6
    largest = max(int(last_number(c.text) or 0) for c in answer.candidates)
    assert int(last_number(answer.text) or 0) == largest
    assert engines.log == [
        "start tiny-policy",
        "start tiny-rrm",
        "stop tiny-rrm",
        "stop tiny-policy",
    ]


def test_settings_of_models_reach_them(engines: Engines) -> None:
    policy = Policy("tiny-policy", temperature=0.3, max_tokens=9, system="Be brief.")
    judge = Judge("tiny-rrm", temperature=0.1, criteria="Brevity.")
    BestOfN(policy=policy, judge=judge, n=2, group_by="none")(QUESTION)
    sampled = engines.backends["tiny-policy"].requests[0]
    assert (sampled.sampling.temperature, sampled.sampling.max_tokens) == (0.3, 9)
    assert "Be brief." in sampled.chat.quoted
    assert engines.backends["tiny-rrm"].requests[0].sampling.temperature == 0.1


def test_objects_that_name_the_same_model_share_its_engine(engines: Engines) -> None:
    with BestOfN(policy="tiny-policy", judge="tiny-rrm", n=2) as one:
        one(QUESTION)
        with BestOfN(Counter(), judge=Judge("tiny-rrm", criteria="Brevity.")) as two:
            two(QUESTION)
        bon.rank(QUESTION, ["1", "2"], judge="tiny-rrm")
    assert engines.log == ["start tiny-policy", "start tiny-rrm", "stop tiny-policy"]
    bon.close()
    assert engines.log[-1] == "stop tiny-rrm"


def test_closed_it_starts_again_when_asked_again(engines: Engines) -> None:
    best = BestOfN(Counter(), judge="tiny-rrm")
    for close in (best.close, bon.close, best.close):
        best(QUESTION)
        close()
        assert engines.log[-1] == "stop tiny-rrm"
    assert engines.log.count("start tiny-rrm") == 3
    best.close()


def test_a_prompt_that_cannot_be_sampled_raises_and_in_a_map_is_an_answer_with_an_error(
    engines: Engines,
) -> None:
    def refuses(request: Request) -> Reply:
        if "long" in request.chat.quoted:
            raise PromptTooLong("too long by far")
        return numbers_from_the_seed(request)

    engines.backends["tiny-policy"].answer = refuses
    best = BestOfN(policy="tiny-policy", judge="tiny-rrm", n=2)
    with pytest.raises(BonError, match="too long by far"):
        best("long")
    first, second, third = best.map(["short", "long", "short too"])
    assert second.error == "cannot sample: too long by far"
    with pytest.raises(BonError, match="too long by far"):
        str(second)
    assert first.text
    assert third.text


def test_a_start_that_fails_is_tried_again_by_the_next_call(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = BestOfN(Counter(), judge="tiny-rrm")
    monkeypatch.setattr(api, "engine", lambda *asked: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        best(QUESTION)
    monkeypatch.setattr(api, "engine", engines)
    assert best(QUESTION).text


def test_with_a_ledger_nothing_is_sampled_or_judged_twice(engines: Engines, tmp_path: Path) -> None:
    def ask() -> bon.Answer:
        with BestOfN(policy="tiny-policy", judge="tiny-rrm", n=4, ledger=tmp_path) as best:
            return best(QUESTION)

    assert ask().result == ask().result
    assert len(engines.backends["tiny-policy"].requests) == 1
    assert len(engines.backends["tiny-rrm"].requests) == len(ask().comparisons)


# --- many prompts -------------------------------------------------------------------------------------


def test_a_map_answers_in_order_while_it_reads_on() -> None:
    read: list[int] = []

    def prompts() -> Iterator[str]:
        for i in range(1000):
            read.append(i)
            yield f"question {i}"

    answers = wrapped(lambda prompt: [prompt, f"{prompt} 2000"], n=64).map(prompts())
    assert [next(answers).text for _ in range(3)] == [f"question {i} 2000" for i in range(3)]
    assert len(read) < 50
    assert sum(1 for _ in answers) == 997


def test_a_map_keeps_many_prompts_under_way(engines: Engines) -> None:
    best = BestOfN(policy="tiny-policy", judge="tiny-rrm", n=8)
    answers = list(best.map(f"question {i}" for i in range(40)))
    assert [a.result.prompt.text for a in answers] == [f"question {i}" for i in range(40)]
    assert engines.backends["tiny-policy"].most > 8


def test_leaving_a_map_aborts_what_is_under_way(engines: Engines) -> None:
    policy = engines.backends["tiny-policy"]
    policy.turns = lambda request: 1 if "question 0" in request.chat.quoted else 10**9
    answers = BestOfN(policy="tiny-policy", judge="tiny-rrm", n=64).map(
        f"question {i}" for i in range(4)
    )
    next(answers)
    answers.close()
    bon.close()
    assert policy.running == 0


# --- from anywhere --------------------------------------------------------------------------------------


def test_inside_a_running_loop_both_forms_work() -> None:
    async def notebook() -> list[str]:
        best = wrapped(lambda prompt: ["1", "2"])
        return [best(QUESTION).text, (await best.acall(QUESTION)).text]

    assert asyncio.run(notebook()) == ["2", "2"]


def test_awaited_an_async_function_runs_on_the_callers_loop_and_a_sync_one_in_a_thread() -> None:
    async def main() -> None:
        here = asyncio.get_running_loop()
        seen: list[object] = []

        async def generate(prompt: Any) -> str:
            seen.append(asyncio.get_running_loop())
            return "1"

        await wrapped(generate, 3).acall(QUESTION)
        assert seen == [here] * 3

        counter = Counter()
        await wrapped(counter, 3).acall(QUESTION)
        assert threading.current_thread().name not in counter.threads

    asyncio.run(main())


def test_many_awaited_at_once_fill_each_others_batches(engines: Engines) -> None:
    async def server() -> list[bon.Answer]:
        async with BestOfN(policy="tiny-policy", judge="tiny-rrm", n=4) as best:
            return await asyncio.gather(*(best.acall(f"question {i}") for i in range(20)))

    assert len(asyncio.run(server())) == 20
    assert engines.backends["tiny-policy"].most > 4
    assert engines.log[-1] == "stop tiny-policy"


def test_cancelling_the_awaited_call_aborts_it_in_the_engine(engines: Engines) -> None:
    policy = engines.backends["tiny-policy"]
    begun = threading.Event()

    def never(request: Request) -> int:
        begun.set()
        return 10**9

    policy.turns = never

    async def client_goes_away() -> None:
        best = BestOfN(policy="tiny-policy", judge="tiny-rrm")
        call = asyncio.create_task(best.acall(QUESTION))
        await asyncio.to_thread(begun.wait, 20)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(client_goes_away())
    bon.close()
    assert (policy.aborted, policy.running) == (1, 0)


def test_threads_may_share_one_object() -> None:
    best = wrapped(lambda prompt: [prompt, "0"])
    with ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(lambda i: best(f"question {i + 1}").text, range(40)))
    assert texts == [f"question {i + 1}" for i in range(40)]


# --- candidates at hand -----------------------------------------------------------------------------------


def test_rank_orders_candidates_at_hand() -> None:
    order = bon.rank(QUESTION, ["2", "50", "7", "50"], judge=Larger())
    assert order.text == "50"
    assert order.order == (1, 3, 2, 0)
    assert [s.elo for s in order.ranking] == sorted((s.elo for s in order.ranking), reverse=True)  # type: ignore[type-var]


def test_rank_can_be_awaited() -> None:
    order = asyncio.run(bon.arank(QUESTION, ["2", "50"], judge=Larger()))
    assert order.text == "50"


def test_rank_keeps_the_judge_for_the_next_call(engines: Engines) -> None:
    for texts in (["1", "2"], ["3", "4"]):
        bon.rank(QUESTION, texts, judge=Judge("tiny-rrm", criteria=texts[0]))
    assert engines.log == ["start tiny-rrm"]


@pytest.mark.parametrize("candidates", [[], [1], "text"])
def test_rank_refuses_what_is_no_list_of_texts(candidates: Any) -> None:
    with pytest.raises(BonError, match="candidate"):
        bon.rank(QUESTION, candidates, judge=Larger())


# --- the package ----------------------------------------------------------------------------------------


def test_importing_it_loads_nothing_heavy() -> None:
    script = (
        "import sys, bon; print(*{'numpy', 'asyncio', 'torch', 'vllm', 'click'} & set(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == ""


def test_everything_that_it_names_is_there() -> None:
    assert all(getattr(bon, name) is not None for name in bon.__all__)
    assert set(bon.__all__) <= set(dir(bon))
    with pytest.raises(AttributeError, match="nothing_like_it"):
        bon.nothing_like_it  # noqa: B018
