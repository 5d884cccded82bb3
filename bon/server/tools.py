"""Tool calls: how a policy's text becomes one, and how one becomes text again.

Calls are read in the two forms that most open models are trained on: JSON in `<tool_call>` marks
(Hermes, Qwen), and a response that is nothing but the JSON of a call, or a list of them (Llama 3). A
call is an object with `name` and `arguments` (or `parameters`). Anything else is text; so is a call of
a function that was not on offer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from bon.server.wire import ChatMessage, Tool

_MARKED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments as JSON text, keys in order."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a response says, and what it calls."""

    text: str
    calls: tuple[Call, ...] = ()


def offered(tools: Sequence[Tool]) -> str:
    """The tools as JSON text, in OpenAI's form, for the policy's chat template."""
    if not tools:
        return ""
    return json.dumps([tool.model_dump(exclude_none=True) for tool in tools])


def read_calls(text: str, names: Collection[str]) -> Said:
    """The calls in a response, of the functions in `names` alone."""
    if not names:
        return Said(text)
    marked = _MARKED.findall(text)
    pieces = marked or [text]
    calls: list[Call] = []
    for piece in pieces:
        found = _calls(piece, names)
        if not found:
            return Said(text)
        calls += found
    return Said(_MARKED.sub("", text).strip() if marked else "", tuple(calls))


def said_again(said: Said) -> str:
    """The one spelling of what was said, in which equal calls are equal texts: what judges compare."""
    return "\n".join(filter(None, [said.text, *map(_marked, said.calls)]))


def as_text(message: ChatMessage) -> str:
    """A turn of the conversation as text, the calls that it made included."""
    made = [Call(c.function.name, c.function.arguments) for c in message.tool_calls or ()]
    return said_again(Said(message.text, tuple(made)))


def call_schema(tools: Sequence[Tool]) -> str:
    """A JSON schema for a call of one of these functions, for a policy that has to make one."""
    choices = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                "arguments": tool.function.parameters or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return json.dumps(choices[0] if len(choices) == 1 else {"anyOf": choices})


def _calls(text: str, names: Collection[str]) -> list[Call]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return []
    rows = data if isinstance(data, list) else [data]
    calls = [_call(row) for row in rows]
    known = [call for call in calls if call is not None and call.name in names]
    return known if len(known) == len(rows) else []


def _call(row: Any) -> Call | None:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        return None
    arguments = row.get("arguments", row.get("parameters"))
    if not isinstance(arguments, dict):
        return None
    return Call(row["name"], json.dumps(arguments, sort_keys=True, ensure_ascii=False))


def _marked(call: Call) -> str:
    return (
        f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n'
        "</tool_call>"
    )
