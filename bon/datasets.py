"""Readers and writers: prompts in, results out, a line each."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from bon.schema import result_from_json
from bon.types import BonError, Candidate, Message, Prompt, Result


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that gave no prompt, and why."""

    line: int
    reason: str


def read_prompts(path: str) -> Iterator[Prompt | BadRow]:
    """Prompts of a JSONL file (`-`: standard input), bad lines in their places; blank lines are skipped.

    A row has `prompt` (text or chat messages) and may have `id`, `system`, `answer` and `candidates` (texts,
    or objects with `text`, as `bon sample` writes them, and `score` or `correct` where known).
    Raises `BonError` where the file cannot be read.
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
    given = _candidates(row.get("candidates"))
    return Prompt(identity, messages, None if answer is None else str(answer), given)


def prompt_from_text(text: str, identity: str = "1") -> Prompt:
    """A prompt of one user turn; raises `BonError` where it is empty."""
    return Prompt(identity, _messages(text))


class OrderedWriter:
    """Writes rows as JSONL in the order of their positions, each as soon as all before it are there."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._next = 0
        self._early: list[tuple[int, bytes]] = []

    def write(self, position: int, row: Mapping[str, Any]) -> None:
        """Take the row for this place in the output, counted from 0."""
        self._place(position, orjson.dumps(row) + b"\n")

    def skip(self, position: int) -> None:
        """Leave this place empty."""
        self._place(position, b"")

    def _place(self, position: int, data: bytes) -> None:
        heapq.heappush(self._early, (position, data))
        while self._early and self._early[0][0] == self._next:
            self._stream.write(heapq.heappop(self._early)[1])
            self._next += 1
        self._stream.flush()


def sampled_to_json(prompt: Prompt, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """A row of `bon sample`, which `read_prompts` takes as a prompt with its candidates."""
    return {
        "id": prompt.id,
        "prompt": [asdict(message) for message in prompt.messages],
        "answer": prompt.answer,
        "candidates": [asdict(candidate) for candidate in candidates],
    }


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
        if not _is_unicode(prompt):  # an argument of the command line in another encoding
            raise BonError("the prompt is not valid UTF-8")
        return (Message("user", prompt),)
    if not isinstance(prompt, list) or not prompt:
        raise BonError("`prompt` is neither text nor a list of chat messages")
    for message in prompt:
        fields = message if isinstance(message, dict) else {}
        if not all(isinstance(fields.get(field), str) for field in ("role", "content")):
            raise BonError("a chat message needs `role` and `content`, both text")
        if not fields["role"].isidentifier():  # it stands bare in the chat template
            raise BonError(f"{fields['role']!r} is no role: write system, user or assistant")
    if not any(message["content"].strip() for message in prompt):
        raise BonError("the prompt is empty")
    return tuple(Message(message["role"], message["content"]) for message in prompt)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _candidates(rows: Any) -> tuple[Candidate, ...]:
    if rows is None:
        return ()
    if not isinstance(rows, list) or not rows:
        raise BonError("`candidates` is not a list with at least one candidate")
    return tuple(_candidate(row) for row in rows)


def _candidate(row: Any) -> Candidate:
    if isinstance(row, str):
        return Candidate(row)
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise BonError("a candidate is neither text nor an object with the field `text`")
    tokens = row.get("tokens") or 0
    if not isinstance(tokens, int):
        raise BonError(f"a candidate's `tokens` is a whole number, not {tokens!r}")
    return Candidate(
        row["text"],
        str(row.get("thinking") or ""),
        str(row.get("finish_reason") or "stop"),
        tokens,
        _number(row, "score"),
        _yes_or_no(row, "correct"),
    )


def _number(row: Mapping[str, Any], field: str) -> float | None:
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BonError(f"a candidate's `{field}` is a number, not {value!r}")
    return float(value)


def _yes_or_no(row: Mapping[str, Any], field: str) -> bool | None:
    value = row.get(field)
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise BonError(f"a candidate's `{field}` is true or false, not {value!r}")
