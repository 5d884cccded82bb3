"""The live world: sampled once, judged once, whoever asks; with fake engines, and one run of the real one."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from fakes import Engines, FakeBackend, larger_number, numbers_from_the_seed

import bon.api
import bon.bench.live
from bon.api import Observer
from bon.bench.live import no_limit, play_live, with_truth
from bon.bench.report import Row, rows
from bon.catalog import parse_strategy
from bon.job import Job
from bon.ledger import Ledger
from bon.types import BonError, Candidate, Message, Prompt

TEXTS = ["random", "majority", "knockout", "round-robin:rule=both", "oracle", "pivot"]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    fakes = Engines(
        {"tiny-policy": FakeBackend(numbers_from_the_seed), "tiny-rrm": FakeBackend(larger_number)}
    )
    monkeypatch.setattr(bon.api, "engine", fakes)
    monkeypatch.setattr(bon.bench.live, "engine", fakes)
    return fakes


def prompt(number: int, *, given: bool) -> Prompt:
    """Of the given candidates the one that ends in the largest number is right."""
    candidates = [Candidate(f"it is {i}", correct=i == 5) for i in range(6)] if given else []
    message = Message("user", f"question {number}")
    return Prompt(str(number), (message,), None if given else "7", tuple(candidates))


def measure(count: int, *, given: bool, ledger: Ledger | None = None) -> dict[str, Row]:
    prompts = [prompt(i, given=given) for i in range(count)]
    entrants = {text: parse_strategy(text) for text in TEXTS}
    job = Job(n=4, group_by="none")
    played = asyncio.run(play_live(with_truth(prompts), entrants, job, Observer(), ledger))
    return {row.strategy: row for row in rows(no_limit, played, "random")}


def test_the_right_one_of_given_candidates_is_found_without_a_policy(engines: Engines) -> None:
    found = measure(12, given=True)
    assert all(found[t].accuracy == 1.0 for t in ("knockout", "round-robin:rule=both", "oracle"))
    assert found["random"].accuracy < 0.9
    assert engines.log == ["start tiny-rrm", "stop tiny-rrm"]


def test_tokens_stages_and_latency_are_counted(engines: Engines) -> None:
    found = measure(3, given=True)
    knockout = found["knockout"]
    assert (knockout.comparisons, knockout.stages) == (5.0, 3.0)
    assert (knockout.judge_tokens, knockout.judge_prompt_tokens) == (15.0, 50.0)
    assert knockout.latency == 9.0
    assert found["round-robin:rule=both"].flip_rate == 0.0
    assert knockout.difference is not None


def test_each_request_is_made_once_whoever_asks(engines: Engines) -> None:
    measure(5, given=False)
    judged = Counter(engines.backends["tiny-rrm"].requests)
    assert set(judged.values()) == {1}
    assert len(engines.backends["tiny-policy"].requests) == 5


def test_what_a_ledger_holds_is_not_asked_again(engines: Engines, tmp_path: Path) -> None:
    figures, asked = [], []
    for _ in range(2):
        with Ledger(str(tmp_path / "ledger")) as ledger:
            figures.append(measure(4, given=False, ledger=ledger))
        asked.append([len(backend.requests) for backend in engines.backends.values()])
    assert figures[0] == figures[1]
    assert asked[0] == asked[1]


def test_a_prompt_that_does_not_say_what_is_right_is_one_clear_line() -> None:
    bare = Prompt("x", (Message("user", "?"),))
    with pytest.raises(BonError, match="prompt x does not say what is right: give it `answer`"):
        with_truth([bare])
    with pytest.raises(BonError, match="no prompt"):
        with_truth([])
