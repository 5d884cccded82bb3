"""What a ledger keeps: keys from content, verdicts and candidates as JSON and back."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from bon.types import Candidate, Message, Outcome, Verdict, VoidReason

_COUNTS = struct.Struct("<QQ")
CACHED_TEXTS = 2048
"""A candidate is met in many comparisons; its hash is kept at hand."""


def verdict_key(
    judge: str, query: str, first: str, second: str, repeat: int, attempt: int
) -> bytes:
    """Key of one judge call: the judge's identity stands for model, template and sampling."""
    parts = (_digest(judge), _digest(query), _digest(first), _digest(second))
    return blake2b(
        b"".join(parts) + _COUNTS.pack(repeat, attempt), digest_size=16, person=b"bon verdict"
    ).digest()


def candidates_key(policy: str, settings: Sequence[Any], messages: Sequence[Message]) -> bytes:
    """Key of one request to a policy: its identity, the settings of the draw, the conversation."""
    text = repr((policy, tuple(settings), tuple((m.role, m.content) for m in messages)))
    return blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"bon candidates"
    ).digest()


def verdict_to_bytes(
    verdict: Verdict, judge: str, query: str, first: str, second: str, repeat: int, attempt: int
) -> bytes:
    """A verdict with what it is about: texts by their hashes, which export and comparison can join on."""
    return _dump(
        {
            "judge": judge,
            "query": _digest(query)[:8].hex(),
            "first": _digest(first)[:8].hex(),
            "second": _digest(second)[:8].hex(),
            "repeat": repeat,
            "attempt": attempt,
            "verdict": verdict,
        }
    )


def verdict_from_bytes(data: bytes) -> Verdict:
    """Read what `verdict_to_bytes` wrote."""
    fields = load(data)["verdict"]
    reason = fields["void_reason"]
    return Verdict(
        **{
            **fields,
            "outcome": Outcome(fields["outcome"]),
            "void_reason": reason and VoidReason(reason),
        }
    )


def candidates_to_bytes(candidates: Sequence[Candidate], policy: str) -> bytes:
    """The candidates of one prompt."""
    return _dump({"policy": policy, "candidates": list(candidates)})


def candidates_from_bytes(data: bytes) -> tuple[Candidate, ...]:
    """Read what `candidates_to_bytes` wrote."""
    return tuple(Candidate(**fields) for fields in load(data)["candidates"])


def load(data: bytes) -> Mapping[str, Any]:
    """A payload as data."""
    fields: Mapping[str, Any]
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:  # text that is not Unicode; see `_dump`
        fields = json.loads(data)
    return fields


def _dump(fields: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields)
    except TypeError:  # a lone surrogate, which only the standard library lets through
        from dataclasses import asdict

        return json.dumps(fields, default=asdict).encode()


@lru_cache(CACHED_TEXTS)
def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
