"""Whole commands with models behind HTTP: results, failures, keys, and who works while who else does."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from http_server import Asked, Server, chat, error, reset_at_once, say

from bon.cli import main
from bon.generation.openai import backend as backends
from bon.generation.openai import pool as pools
from bon.job import Job, Judge, Policy
from bon.types import BonError

KEY = "sk-test-0123456789"


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs `bon` in this process, in a folder of its own, on two servers."""

    def __init__(
        self,
        policy: Server,
        judge: Server,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.policy = policy
        self.judge = judge
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["bon", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = self._capsys.readouterr()
        code = stop.value.code
        return Done(0 if code is None else int(code), out, err)

    def run(self, *arguments: str) -> Done:
        models = ("--policy", self.policy.address, "--judge", self.judge.address)
        return self("run", *arguments, *models, "-n", "4", "--strategy", "knockout", "--json")


@pytest.fixture
def bon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backends, "BACKOFF", 0.01)
    monkeypatch.setattr(pools, "SHORTEST", 0.01)
    monkeypatch.setattr(pools, "LONGEST", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(numbers, "policy") as policy, Server(larger, "judge") as judge:
        yield Shell(policy, judge, monkeypatch, capsys)


def numbers(asked: Asked) -> Mapping[str, Any]:
    """A policy that answers with numbers."""
    return chat(*(f"The answer is {i}." for i in range(asked.body["n"])), tokens=24)


def larger(asked: Asked) -> Mapping[str, Any]:
    """A judge that prefers the larger number, and thinks where the server splits that off."""
    first, second = map(int, re.findall(r"The answer is (\d+)", shown(asked)))
    label = 1 if first > second else 2
    return chat(f"\\boxed{{Assistant {label}}}", tokens=9, reasoning_content="Which is larger?")


def shown(asked: Asked) -> str:
    """What the model is shown, as one text."""
    return "\n".join(message["content"] for message in asked.body["messages"])


def test_a_run_on_two_servers_finds_the_winner_with_its_reasoning(bon: Shell) -> None:
    done = bon.run("question")
    assert done.code == 0
    [row] = done.rows
    assert row["candidates"][row["winner"]]["text"] == "The answer is 3."
    assert sum(candidate["tokens"] for candidate in row["candidates"]) == 24
    assert {c["reasoning"] for c in row["comparisons"]} == {"Which is larger?"}
    assert {c["output_tokens"] for c in row["comparisons"]} == {9}
    assert row["provenance"]["judge"] == bon.judge.address


def test_the_judge_works_while_the_policy_still_samples(bon: Shell) -> None:
    judged = threading.Event()

    async def wait_for_the_judge(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "last" in shown(asked):
            assert await asyncio.to_thread(judged.wait, 60)
        await say(200, numbers(asked))(asked, writer)

    def tell(asked: Asked) -> Mapping[str, Any]:
        judged.set()
        return larger(asked)

    bon.policy.always, bon.judge.answer = wait_for_the_judge, tell
    Path("prompts.jsonl").write_text('{"prompt": "first"}\n{"prompt": "last"}\n')
    done = bon.run("-f", "prompts.jsonl")
    assert done.code == 0
    assert len(done.rows) == 2


def test_every_attempt_is_told_at_the_end(bon: Shell) -> None:
    bon.judge.faults.extend([error(500, "oh no"), reset_at_once])
    done = bon.run("question")
    assert done.code == 0
    assert "policy: 1 answers in 1 attempts" in done.err
    assert f"judge: 3 answers in {len(bon.judge.asked)} attempts" in done.err
    assert "1 broken (500), 1 lost connection" in done.err


def test_a_failure_is_void_with_its_reason_and_never_a_tie(bon: Shell) -> None:
    bon.judge.always = say(200, {"choices": []})
    done = bon.run("question", "--judge-engine-arg", "attempts=2")
    [row] = done.rows
    assert {c["outcome"] for c in row["comparisons"]} == {"void"}
    assert {c["void_reason"] for c in row["comparisons"]} == {"failed"}
    assert all("given up after 2 attempts" in c["detail"] for c in row["comparisons"])
    assert {standing["wins"] for standing in row["ranking"]} == {0}
    assert len(bon.judge.asked) == 2 * len(row["comparisons"])


def test_a_prompt_that_the_policy_refuses_is_a_result_with_its_error(bon: Shell) -> None:
    bon.policy.always = error(400, "this prompt offends me")
    done = bon.run("question")
    assert done.code == 3
    [row] = done.rows
    assert "this prompt offends me" in row["error"]


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("openai:m", 2, "write openai:NAME@http://host:8000/v1"),
        ("openai:m@http://user:sekret@127.0.0.1/v1", 2, "keys belong into OPENAI_API_KEY"),
        ("openai:m@http://127.0.0.1:9/v1", 1, "no server answers for m"),
    ],
)
def test_what_cannot_work_is_one_line_and_an_exit_code(
    bon: Shell, address: str, code: int, words: str
) -> None:
    done = bon("run", "question", "--policy", bon.policy.address, "--judge", address, "-q")
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert "sekret" not in done.err


def test_a_wrong_key_is_one_line_and_exit_code_1(bon: Shell) -> None:
    bon.judge.models = error(401, f"Incorrect API key provided: {KEY}")
    done = bon.run("question", "-q")
    assert (done.code, done.out) == (1, "")
    [line] = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert "Incorrect API key provided: ***" in line
    assert "or else OPENAI_API_KEY" in line


def test_the_key_is_in_no_output_and_no_file(bon: Shell) -> None:
    bon.judge.faults.append(error(500, f"your key is {KEY}"))
    bon.policy.faults.append(error(400, f"your key is {KEY}"))
    Path("prompts.jsonl").write_text('{"prompt": "first"}\n{"prompt": "last"}\n')
    done = bon.run("-f", "prompts.jsonl", "-o", "results.jsonl", "--ledger", "ledger")
    assert {asked.headers["authorization"] for asked in bon.judge.asked} == {f"Bearer {KEY}"}
    assert KEY not in done.out + done.err
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert all(KEY.encode() not in path.read_bytes() for path in files)


def test_with_a_ledger_nothing_is_asked_twice_and_failures_are_asked_again(bon: Shell) -> None:
    bon.judge.always = error(500, "oh no")
    first = bon.run("question", "--ledger", "ledger", "--judge-engine-arg", "attempts=1")
    assert {c["outcome"] for c in first.rows[0]["comparisons"]} == {"void"}
    bon.judge.always = None
    second = bon.run("question", "--ledger", "ledger", "--judge-engine-arg", "attempts=1")
    assert {c["outcome"] for c in second.rows[0]["comparisons"]} <= {"first", "second"}
    assert len(bon.policy.asked) == 1
    calls = len(bon.judge.asked)
    assert bon.run("question", "--ledger", "ledger").rows == second.rows
    assert len(bon.judge.asked) == calls


def test_one_model_in_both_roles_is_one_back_end(bon: Shell) -> None:
    def both(asked: Asked) -> Mapping[str, Any]:
        return numbers(asked) if "n" in asked.body else larger(asked)

    with Server(both, "both") as server:
        models = ("--policy", server.address, "--judge", server.address)
        done = bon("run", "question", *models, "--strategy", "knockout")
        assert done.code == 0
        assert "policy: 8 answers in 8 attempts" in done.err
        assert "judge: " not in done.err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"thinking_budget": 99}, "--judge-engine-arg tokenizer=NAME"),
        ({"engine_args": {"max_inflight": 3}}, "known: max_in_flight"),
    ],
)
def test_settings_that_cannot_work_make_no_job(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BonError, match=words):
        Judge("openai:m@http://a/v1", **settings)


def test_models_behind_http_are_up_together() -> None:
    elsewhere = "openai:m@http://a/v1"
    assert Job(Policy(elsewhere), Judge()).side_by_side
    assert Job(Policy(), Judge(elsewhere)).side_by_side
    assert not Job().side_by_side


def test_without_the_client_it_is_told_what_to_install(
    bon: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "bon.generation.openai.backend")
    monkeypatch.delattr("bon.generation.openai.backend")
    monkeypatch.setitem(sys.modules, "tenacity", None)
    done = bon.run("question", "-q")
    assert done.code == 2
    assert "pip install 'bon[openai]'" in done.err
