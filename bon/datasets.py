"""Readers and writers: prompts in, results out, a line each."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from bon.schema import result_from_json, result_to_json
from bon.types import BonError, Message, Prompt, Result


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that gave no prompt, and why."""

    line: int
    reason: str


def read_prompts(path: str) -> Iterator[Prompt | BadRow]:
    """Prompts of a JSONL file (`-`: standard input), bad lines in their places; blank lines are skipped.

    A row has `prompt` (text or chat messages) and may have `id`, `system` and `answer`. Raises `BonError`
    where the file cannot be read.
    """
    seen: set[str] = set()
    for number, line in _lines(path):
        try:
            prompt = prompt_from_json(_object(line), default_id=str(number))
            if prompt.id in seen:
                raise BonError(f"the id {prompt.id!r} was used before")
            seen.add(prompt.id)
            yield prompt
        except BonError as error:
            yield BadRow(number, str(error))


def prompt_from_json(row: Mapping[str, Any], default_id: str) -> Prompt:
    """A prompt from a row; raises `BonError` that says which field is wrong."""
    if "prompt" not in row:
        raise BonError(f"the field `prompt` is missing; there is {', '.join(row) or 'nothing'}")
    messages = _messages(row["prompt"])
    if system := row.get("system"):
        messages = (Message("system", str(system)), *messages)
    answer = row.get("answer")
    identity = default_id if row.get("id") is None else str(row["id"])
    return Prompt(identity, messages, None if answer is None else str(answer))


def prompt_from_text(text: str, identity: str = "1") -> Prompt:
    """A prompt of one user turn; raises `BonError` where it is empty."""
    return Prompt(identity, _messages(text))


class ResultWriter:
    """Writes results as JSONL in input order, each as soon as all before it are there.

    `position` counts every input row from 0; a row without a result is passed as None.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._next = 0
        self._early: list[tuple[int, bytes]] = []

    def write(self, position: int, result: Result | None) -> None:
        data = b"" if result is None else orjson.dumps(result_to_json(result)) + b"\n"
        heapq.heappush(self._early, (position, data))
        while self._early and self._early[0][0] == self._next:
            self._stream.write(heapq.heappop(self._early)[1])
            self._next += 1
        self._stream.flush()


def read_results(path: str | Path) -> Iterator[Result]:
    """Results of a JSONL file, one at a time.

    Raises `BonError` with the line's number for a torn or broken line, a newer schema or a row that is
    no result.
    """
    for number, line in _lines(str(path)):
        try:
            yield result_from_json(_object(line))
        except BonError as error:
            torn = "" if line.endswith(b"\n") else " (the last line is torn: its run was cut off)"
            raise BonError(f"{path}, line {number}: {error}{torn}") from None


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    try:
        stream = sys.stdin.buffer if path == "-" else Path(path).expanduser().open("rb")
        with stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise BonError(f"cannot read {path}: {error.strerror or error}") from error


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BonError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise BonError(f"not a JSON object but a {type(row).__name__}")
    return row


def _messages(prompt: Any) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise BonError("the prompt is empty")
        return (Message("user", prompt),)
    if not isinstance(prompt, list) or not prompt:
        raise BonError("`prompt` is neither text nor a list of chat messages")
    for message in prompt:
        fields = message if isinstance(message, dict) else {}
        if not all(isinstance(fields.get(field), str) for field in ("role", "content")):
            raise BonError("a chat message needs `role` and `content`, both text")
    if not any(message["content"].strip() for message in prompt):
        raise BonError("the prompt is empty")
    return tuple(Message(message["role"], message["content"]) for message in prompt)
