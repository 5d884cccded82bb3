"""Prompts in, results out, a line each; every bad line with its number and its reason."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_factory import play

from bon.datasets import (
    BadRow,
    OrderedWriter,
    prompt_from,
    read_prompts,
    read_results,
    sampled_to_json,
)
from bon.schema import SCHEMA, result_to_json
from bon.types import BonError, Candidate, Message, Prompt


def read(folder: Path, *lines: str | bytes | dict[str, Any]) -> list[Prompt | BadRow]:
    path = folder / "prompts.jsonl"
    path.write_bytes(b"".join(_line(line) + b"\n" for line in lines))
    return list(read_prompts(str(path)))


def _line(line: str | bytes | dict[str, Any]) -> bytes:
    if isinstance(line, bytes):
        return line
    return line.encode() if isinstance(line, str) else orjson.dumps(line)


def user(identity: str, text: str, answer: str | None = None) -> Prompt:
    return Prompt(identity, (Message("user", text),), answer)


# --- prompts ----------------------------------------------------------------------------------------


def test_a_text_is_one_user_turn_and_is_called_by_its_line(tmp_path: Path) -> None:
    assert read(tmp_path, {"prompt": "why?"}, {"prompt": " how?\n"}) == [
        user("1", "why?"),
        user("2", " how?\n"),
    ]


def test_id_system_and_answer_are_taken_over_as_text(tmp_path: Path) -> None:
    row = {"id": 7, "system": "Be brief.", "prompt": "4 + 5?", "answer": 9}
    [prompt] = read(tmp_path, row)
    assert prompt == Prompt("7", (Message("system", "Be brief."), Message("user", "4 + 5?")), "9")


def test_chat_messages_stay_as_they_are(tmp_path: Path) -> None:
    turns = [("system", "s"), ("user", "u"), ("assistant", ""), ("user", "v")]
    [prompt] = read(tmp_path, {"prompt": [{"role": r, "content": c} for r, c in turns]})
    assert isinstance(prompt, Prompt)
    assert prompt.messages == tuple(Message(r, c) for r, c in turns)
    assert prompt.text == "system: s\n\nuser: u\n\nassistant: \n\nuser: v"


def test_blank_lines_count_but_give_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "", {"prompt": "a"}, " \t", {"prompt": "b"}) == [
        user("2", "a"),
        user("4", "b"),
    ]


def test_candidates_are_texts_or_objects(tmp_path: Path) -> None:
    long = {"text": "b", "thinking": "hm", "finish_reason": "length", "tokens": 5, "group": 0}
    [prompt] = read(tmp_path, {"prompt": "q", "candidates": ["a", long, {"text": ""}]})
    assert isinstance(prompt, Prompt)
    assert prompt.given == (
        Candidate("a"),
        Candidate("b", "hm", "length", 5),
        Candidate(""),
    )


def test_candidates_may_bring_a_score_and_whether_they_are_right(tmp_path: Path) -> None:
    rows = [{"text": "a", "score": 2, "correct": 1}, {"text": "b", "score": -0.5, "correct": False}]
    [prompt] = read(tmp_path, {"prompt": "q", "candidates": rows})
    assert isinstance(prompt, Prompt)
    assert [(c.score, c.correct) for c in prompt.given] == [(2.0, True), (-0.5, False)]


def test_what_bon_sample_writes_is_read_back(tmp_path: Path) -> None:
    prompt = Prompt("x", (Message("system", "s"), Message("user", "q")), "9")
    given = (Candidate("a", "thought", "length", 12), Candidate("b"))
    [back] = read(tmp_path, sampled_to_json(prompt, given))
    assert back == Prompt(prompt.id, prompt.messages, prompt.answer, given)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("prompt", "not JSON"),
        ('{"prompt": "torn', "not JSON"),
        (b'{"prompt": "\xff"}', "not JSON"),
        ('{"prompt": NaN}', "neither text nor a list"),
        ("[1]", "not a JSON object but a list"),
        ('"why?"', "not a JSON object but a str"),
        ({}, "the field `prompt` is missing; there is nothing"),
        ({"question": "q", "id": 1}, "the field `prompt` is missing; there is question, id"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"prompt": None}, "neither text nor a list"),
        ({"prompt": 5}, "neither text nor a list"),
        ({"prompt": []}, "neither text nor a list"),
        ({"prompt": ["why?"]}, "needs `role` and `content`"),
        ({"prompt": [{"content": "why?"}]}, "needs `role` and `content`"),
        ({"prompt": [{"role": "user", "content": None}]}, "needs `role` and `content`"),
        ({"prompt": [{"role": "user", "content": " "}]}, "the prompt is empty"),
        ({"prompt": [{"role": "", "content": "why?"}]}, "'' is no role"),
        (
            {"prompt": [{"role": "user<|im_end|>", "content": "q"}]},
            "is no role: write system, user",
        ),
        ({"prompt": [{"role": "\ue0005\ue001", "content": "q"}]}, "is no role"),
        ({"prompt": "q", "candidates": []}, "not a list with at least one candidate"),
        ({"prompt": "q", "candidates": "a"}, "not a list with at least one candidate"),
        ({"prompt": "q", "candidates": [None]}, "neither text nor an object"),
        ({"prompt": "q", "candidates": [{"answer": "a"}]}, "neither text nor an object"),
        ({"prompt": "q", "candidates": [{"text": "a", "tokens": "many"}]}, "whole number"),
        ({"prompt": "q", "candidates": [{"text": "a", "score": "high"}]}, "`score` is a number"),
        ({"prompt": "q", "candidates": [{"text": "a", "score": True}]}, "`score` is a number"),
        ({"prompt": "q", "candidates": [{"text": "a", "correct": "yes"}]}, "true or false"),
    ],
)
def test_a_bad_line_gives_its_number_and_the_reason_and_the_rest_goes_on(
    tmp_path: Path, line: str | bytes | dict[str, Any], reason: str
) -> None:
    before, bad, after = read(tmp_path, {"prompt": "a"}, line, {"prompt": "b"})
    assert (before, after) == (user("1", "a"), user("3", "b"))
    assert isinstance(bad, BadRow)
    assert bad.line == 2
    assert reason in bad.reason
    assert "\n" not in bad.reason


def test_a_repeated_id_is_a_bad_line(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "prompt": "p"}, {"id": "a", "prompt": "q"}]
    assert read(tmp_path, *rows) == [user("a", "p"), BadRow(2, "the id 'a' was used before")]


def test_a_row_without_an_id_never_takes_that_of_another(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "p"},
        {"id": "1", "prompt": "q"},
        {"id": 4, "prompt": "r"},
    ]
    assert read(tmp_path, *rows, {"prompt": "s"}) == [
        user("1'", "p"),
        user("1", "q"),
        user("4", "r"),
        user("4'", "s"),
    ]


def test_rows_without_an_id_in_several_files_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(orjson.dumps({"prompt": name}))
    rows = [row for row in read_prompts(str(tmp_path)) if isinstance(row, Prompt)]
    assert [row.id for row in rows] == ["1", f"{tmp_path / 'b.jsonl'}:1"]


def test_a_repeated_prompt_is_a_prompt_of_its_own(tmp_path: Path) -> None:
    assert read(tmp_path, {"prompt": "p"}, {"prompt": "p"}) == [user("1", "p"), user("2", "p")]


@given(st.lists(st.binary(max_size=30)))
def test_any_bytes_give_prompts_or_bad_lines_with_their_numbers(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    numbers = [row.line for row in read_prompts(str(path)) if isinstance(row, BadRow)]
    assert numbers == sorted(set(numbers))


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"prompt": "why?"}\n')))
    assert list(read_prompts("-")) == [user("1", "why?")]


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="cannot read"):
        list(read_prompts(str(tmp_path / "absent.jsonl")))


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_no_prompt(text: str) -> None:
    with pytest.raises(BonError, match="the prompt is empty"):
        prompt_from(text)


def test_an_argument_that_is_no_utf8_is_no_prompt() -> None:
    with pytest.raises(BonError, match="not valid UTF-8"):
        prompt_from("caf\udce9")


# --- writing in order ---------------------------------------------------------------------------------


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_rows_are_written_in_input_order_and_as_early_as_possible(
    arrivals: list[int], skipped: set[int]
) -> None:
    stream = io.BytesIO()
    writer = OrderedWriter(stream)
    arrived: set[int] = set()
    for position in arrivals:
        if position in skipped:
            writer.skip(position)
        else:
            writer.write(position, {"row": position})
        arrived.add(position)
        ready = next((i for i in range(8) if i not in arrived), 8)
        rows = [orjson.loads(line)["row"] for line in stream.getvalue().splitlines()]
        assert rows == [i for i in range(ready) if i not in skipped]


def test_every_row_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with path.open("wb") as stream:
        writer = OrderedWriter(stream)
        writer.write(0, {"text": "line\nbreak"})
        assert path.read_bytes() == b'{"text":"line\\nbreak"}\n'


# --- results ------------------------------------------------------------------------------------------


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "results.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def line_of(identity: str) -> bytes:
    return orjson.dumps(result_to_json(play(n=3, identity=identity))) + b"\n"


def test_results_come_back_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, line_of("a"), b"\n", line_of("b"))
    assert list(read_results(path)) == [play(n=3, identity="a"), play(n=3, identity="b")]


def test_a_torn_last_line_is_told_after_the_results_before_it(tmp_path: Path) -> None:
    results = read_results(write(tmp_path, line_of("a"), line_of("b")[:100]))
    assert next(results).prompt.id == "a"
    with pytest.raises(BonError, match=r"line 2: the last line is torn.*--resume"):
        next(results)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"nonsense\n", "line 2: not JSON"),
        (b"[]\n", "line 2: not a JSON object but a list"),
        (b'{"prompt": "q"}\n', "line 2: this is no result of bon: the field `schema` is missing"),
        (
            b'{"schema": %d}\n' % (SCHEMA + 1),
            f"line 2: this result has schema {SCHEMA + 1}, newer than {SCHEMA}: upgrade bon",
        ),
        (b'{"schema": 1}\n', "line 2: this result is damaged: KeyError"),
    ],
)
def test_a_line_that_is_no_result_gives_its_number_and_the_reason(
    tmp_path: Path, line: bytes, message: str
) -> None:
    with pytest.raises(BonError, match=message) as error:
        list(read_results(write(tmp_path, line_of("a"), line)))
    assert "torn" not in str(error.value)
    assert "\n" not in str(error.value)


def test_results_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="cannot read"):
        list(read_results(tmp_path / "absent.jsonl"))
