"""From rows to prompts: which field is what, also in the rows that other tools write.

Without fields named by the user, a row is read as the first of these that it looks like:

- `prompt`, and, where there are any, `candidates`: this project's own rows
- RewardBench 2 and its like: `prompt`, `chosen` and `rejected`, each a text, a list of texts, or a chat;
  those chosen are `correct`
- UltraFeedback: `instruction` and `completions` with a `response` each
- `lm-eval --log_samples`: `arguments` and `resps`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from bon.datasets.files import BadRow, Row, is_unicode, read_rows
from bon.types import BonError, Candidate, Message, Prompt

TEXT_FIELDS = ("text", "response", "content", "completion", "output", "generated_text")
"""Where the text of a candidate may stand, when it is an object; the first that is there counts."""


DEPTH = 100
"""Levels of lists and objects in a row: what goes much deeper, no writer takes."""


@dataclass(frozen=True)
class Fields:
    """Which fields hold what: a name, or a dotted path (`doc.question`, `completions.response`).

    A path through a list takes the field of every element, a number one of them. `candidates` may name
    several fields, with commas between them. None leaves it to the row's looks.
    """

    prompt: str | None = None
    candidates: str | None = None
    id: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """A prompt with the row that it was read from."""

    row: Row
    prompt: Prompt
    used: frozenset[str]
    """Columns that went into the prompt; the others are kept beside its result."""
    numbered: bool = False
    """Whether its id is the row's place, for want of one of its own."""


ANY = Fields()


def read_prompts(path: str, fields: Fields = ANY) -> Iterator[Prompt | BadRow]:
    """Prompts of a file of any format (`bon.datasets.files`), bad rows in their places.

    A row has `prompt` (text or chat messages) and may have `id`, `system`, `answer` and `candidates` (texts,
    or objects with `text`, as `bon sample` writes them, and `score` or `correct` where known).
    An id that was used before makes a row bad; a row without one is called by its place, or,
    where another row has that name, by one that is free. Raises `BonError` where the file cannot be read.
    """
    for found in distinct(read_inputs(path, fields)):
        yield found if isinstance(found, BadRow) else found.prompt


def distinct(inputs: Iterable[Input | BadRow]) -> Iterator[Input | BadRow]:
    """The same with every id once: a row whose id was used before is a bad one, a place gives way."""
    rows = list(inputs)
    given = {row.prompt.id for row in rows if isinstance(row, Input) and not row.numbered}
    seen: set[str] = set()
    for found in rows:
        if isinstance(found, Input):
            identity = found.prompt.id
            while found.numbered and identity in given:
                identity += "'"
            found = replace(found, prompt=replace(found.prompt, id=identity))
            if identity in seen:
                reason = f"the id {identity!r} was used before"
                found = BadRow(found.row.line, reason, found.row.file)
            seen.add(identity)
        yield found


def read_inputs(path: str, fields: Fields = ANY) -> Iterator[Input | BadRow]:
    """As `read_prompts`, with the whole rows, and without a memory of ids: for inputs of any length."""
    first_file: str | None = None
    for row in read_rows(path):
        first_file = row.file if first_file is None else first_file
        place = str(row.line) if row.file == first_file else f"{row.file}:{row.line}"
        if isinstance(row, BadRow):
            yield row
            continue
        if _depth(row.data) > DEPTH:
            yield BadRow(row.line, f"nested more than {DEPTH} levels deep", row.file)
            continue
        try:
            yield prompt_of(row, fields, place)
        except BonError as error:
            yield BadRow(row.line, str(error), row.file)


def _depth(value: Any) -> int:
    """Levels of lists and objects, looked at level by level as recursion has a limit."""
    depth, level = 0, [value]
    while level and depth <= DEPTH:
        below: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                below += one.values()
            elif isinstance(one, list):
                below += one
        depth, level = depth + 1, below
    return depth


def prompt_from(asked: str | Sequence[Mapping[str, str]], identity: str = "1") -> Prompt:
    """A prompt of one user turn, or of chat messages; raises `BonError` where it is neither or empty."""
    return Prompt(identity, _messages(asked if isinstance(asked, str) else list(asked)))


def sampled_to_json(prompt: Prompt, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """A row of `bon sample`, which `read_prompts` takes as a prompt with its candidates."""
    return {
        "id": prompt.id,
        "prompt": [asdict(message) for message in prompt.messages],
        "answer": prompt.answer,
        "candidates": [asdict(candidate) for candidate in candidates],
    }


def prompt_of(row: Row, fields: Fields = ANY, place: str | None = None) -> Input:
    """The prompt of a row, called by its place if it has no id; raises `BonError` that says which field is wrong."""
    data, named = row.data, fields.candidates
    fields = _by_looks(data, fields)
    assert fields.prompt is not None
    asked = _at(data, fields.prompt)
    if asked is _ABSENT:
        raise _missing(fields.prompt, data, "--prompt-field names another")
    if fields.prompt == _LM_EVAL_PROMPT or row.as_text:
        asked = _unpacked(asked, dict)
    messages = _messages(asked)
    if system := data.get("system"):
        messages = (Message("system", str(system)), *messages)
    identity = _text(row, fields.id or "id")
    prompt = Prompt(
        identity or place or str(row.line),
        messages,
        _text(row, fields.answer or "answer"),
        _given(row, fields, optional=named is None),
    )
    return Input(row, prompt, _used(data, fields), numbered=not identity)


# --- which field is what ------------------------------------------------------------------------

_LM_EVAL_PROMPT = "arguments"
_CANDIDATE_FIELDS = frozenset(
    {
        *TEXT_FIELDS,
        "thinking",
        "finish_reason",
        "tokens",
        "prompt_tokens",
        "score",
        "correct",
        "group",
        "role",
    }
)


def _by_looks(data: Mapping[str, Any], fields: Fields) -> Fields:
    """The fields as the user named them, the rest by what the row looks like."""
    prompt, candidates, identity, answer = (
        fields.prompt,
        fields.candidates,
        fields.id,
        fields.answer,
    )
    if "prompt" not in data and {"arguments", "resps"} <= data.keys():
        prompt, candidates = prompt or _LM_EVAL_PROMPT, candidates or "resps"
        identity = identity or "doc_id"
        answer = answer or "target"
    elif "prompt" not in data and {"instruction", "completions"} <= data.keys():
        prompt, candidates = prompt or "instruction", candidates or "completions"
    elif "candidates" not in data and {"chosen", "rejected"} <= data.keys():
        candidates = candidates or "chosen,rejected"
        identity = identity or ("prompt_id" if "prompt_id" in data else None)
    return Fields(prompt or "prompt", candidates or "candidates", identity, answer)


def _used(data: Mapping[str, Any], fields: Fields) -> frozenset[str]:
    """Columns of which nothing is lost when they are left out beside the prompt made of them."""
    names = {"system", fields.prompt or "prompt", fields.id or "id", fields.answer or "answer"}
    for name in (fields.candidates or "").split(","):
        value = data.get(name)
        elements = value if isinstance(value, list) else []
        if all(not isinstance(e, dict) or e.keys() <= _CANDIDATE_FIELDS for e in elements):
            names.add(name)
    return frozenset(name for name in names if name in data)


def _text(row: Row, path: str) -> str | None:
    """What stands at a path, as text; None where there is nothing."""
    value = _at(row.data, path)
    if value is _ABSENT or value is None or (row.as_text and value == ""):
        return None
    return str(value)


_ABSENT: Any = object()


def _at(data: Any, path: str) -> Any:
    """What stands at a dotted path, or `_ABSENT`. A field whose name holds the dots comes first."""
    if isinstance(data, Mapping):
        if path in data:
            return data[path]
        head, dot, rest = path.partition(".")
        return _at(data[head], rest) if dot and head in data else _ABSENT
    if isinstance(data, list):
        head, dot, rest = path.partition(".")
        if head.isdecimal():
            inner = data[int(head)] if int(head) < len(data) else _ABSENT
            return _at(inner, rest) if dot and inner is not _ABSENT else inner
        found = [_at(element, path) for element in data]
        return _ABSENT if _ABSENT in found else found
    return _ABSENT


def _missing(field: str, data: Mapping[str, Any], remedy: str) -> BonError:
    known = ", ".join(data) or "nothing"
    return BonError(f"the field `{field}` is missing; there is {known} ({remedy})")


def _given(row: Row, fields: Fields, *, optional: bool) -> tuple[Candidate, ...]:
    """The candidates of a row; several fields, and lists in them, one after another.

    A field that the user named has to be there: without it, answers at hand would be sampled anew.
    """
    names = (fields.candidates or "candidates").split(",")
    if len(names) == 1 and names != ["resps"]:
        value = _at(row.data, names[0])
        if value is _ABSENT and not optional:
            raise _missing(names[0], row.data, "--candidates-field names another")
        if value is _ABSENT or value is None or (row.as_text and value == ""):
            return ()
        if row.as_text and isinstance(value := _unpacked(value, object), str):
            raise BonError(f'`{names[0]}` is no JSON list of candidates, such as ["one", "two"]')
        return _candidates(value, names[0])
    found: list[Candidate] = []
    if names == ["resps"] and _asks_for_likelihoods(row.data.get(_LM_EVAL_PROMPT)):
        raise BonError("these responses are log-likelihoods: there are no texts to choose from")
    for name in names:
        value = _at(row.data, name)
        if value is _ABSENT:
            raise _missing(name, row.data, "--candidates-field names others")
        texts = _flat(_unpacked(value, str) if row.as_text else value)
        right = {"chosen": True, "rejected": False}.get(name)
        found += [replace(_candidate(text), correct=right) for text in texts]
    return tuple(found)


def _asks_for_likelihoods(arguments: Any) -> bool:
    """Whether these arguments of `lm-eval` are a text and its continuation, or a text alone, to be rated.

    Those of a text to be written are a prompt and the settings of the draw, an object.
    """
    while isinstance(arguments, list | dict) and arguments and not _is_chat(arguments):
        inner = list(arguments.values()) if isinstance(arguments, dict) else arguments
        if not isinstance(inner[0], list | dict):
            return len(inner) == 2 and isinstance(inner[1], str)
        arguments = inner[0]
    return False


def _flat(value: Any) -> list[Any]:
    """Texts of a text, a list of texts or of lists of them; a chat stays one."""
    if not isinstance(value, list):
        return [value]
    if _is_chat(value):
        return [value]
    return [one for part in value for one in _flat(part)]


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and "role" in turn and "content" in turn for turn in value)
    )


def _unpacked(value: Any, element: type) -> Any:
    """A list (of such elements) that was written as JSON in a text, also inside `lm-eval`'s arguments."""
    while isinstance(value, list | dict) and not _is_chat(value):
        inner = list(value.values()) if isinstance(value, dict) else value
        if element is not dict or not inner:
            return value
        value = inner[0]
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        if isinstance(parsed, list) and all(isinstance(one, element) for one in parsed):
            return parsed if element is not dict or _is_chat(parsed) else value
    return value


# --- what stands in a field -----------------------------------------------------------------------


def _messages(prompt: Any) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise BonError("the prompt is empty")
        if not is_unicode(prompt):  # an argument of the command line in another encoding
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


def _candidates(rows: Any, name: str) -> tuple[Candidate, ...]:
    if not isinstance(rows, list) or not rows:
        raise BonError(f"`{name}` is not a list with at least one candidate")
    return tuple(_candidate(row) for row in rows)


def _candidate(row: Any) -> Candidate:
    text: Any = None
    if isinstance(row, str):
        text, row = row, {}
    elif _is_chat(row):
        text, row = row[-1]["content"], {}
    elif isinstance(row, dict):
        text = next((row[name] for name in TEXT_FIELDS if name in row), None)
    if not isinstance(text, str):
        raise BonError("a candidate is neither text nor an object with the field `text`")
    if not is_unicode(text):
        raise BonError("a candidate is not valid UTF-8")
    return Candidate(
        text,
        str(row.get("thinking") or ""),
        str(row.get("finish_reason") or "stop"),
        _count(row, "tokens"),
        _number(row, "score"),
        _yes_or_no(row, "correct"),
        _count(row, "prompt_tokens"),
    )


def _count(row: Mapping[str, Any], field: str) -> int:
    value = row.get(field) or 0
    if not isinstance(value, int):
        raise BonError(f"a candidate's `{field}` is a whole number, not {value!r}")
    return value


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
