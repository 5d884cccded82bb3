"""Results as JSON objects and back: the one place that knows the output format.

The format is documented in the README. `SCHEMA` goes up when a reader of the old format would go wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from bon.types import (
    BonError,
    Candidate,
    Comparison,
    Decision,
    Match,
    Message,
    Outcome,
    Prompt,
    Result,
    Standing,
    Verdict,
    VoidReason,
)

SCHEMA = 1


def result_to_json(result: Result) -> dict[str, Any]:
    """The result as JSON-ready data. Matches name their comparisons by place in `comparisons`."""
    place = {id(c): i for i, c in enumerate(result.comparisons)}
    return {
        "schema": SCHEMA,
        "id": result.prompt.id,
        "prompt": [{"role": m.role, "content": m.content} for m in result.prompt.messages],
        "answer": result.prompt.answer,
        "candidates": [
            {**_candidate_to_json(candidate), "group": group}
            for candidate, group in zip(result.candidates, result.groups, strict=True)
        ],
        "winner": result.winner,
        "ranking": [_standing_to_json(standing) for standing in result.ranking],
        "matches": [
            {
                "a": match.a,
                "b": match.b,
                "winner": match.winner,
                "decision": match.decision.value,
                "stage": match.stage,
                "comparisons": [place[id(c)] for c in match.comparisons],
            }
            for match in result.matches
        ],
        "comparisons": [_comparison_to_json(c) for c in result.comparisons],
        "totals": totals(result),
        "provenance": dict(result.provenance),
        "error": result.error,
        "cut_short": result.cut_short,
    }


def result_from_json(row: Mapping[str, Any]) -> Result:
    """Read what `result_to_json` wrote; raises `BonError` for a newer schema or a row that is no result."""
    schema = row.get("schema")
    if not isinstance(schema, int):
        raise BonError("this is no result of bon: the field `schema` is missing")
    if schema > SCHEMA:
        raise BonError(
            f"this result has schema {schema}, newer than {SCHEMA}: upgrade bon to read it"
        )
    try:
        return _result_from_json(row)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BonError(f"this result is damaged: {type(error).__name__} at {error}") from error


def totals(result: Result) -> dict[str, Any]:
    """What the result cost, from its own record."""
    verdicts = [c.verdict for c in result.comparisons]
    return {
        "comparisons": len(verdicts),
        "matches": len(result.matches),
        "voids": sum(v.outcome is Outcome.VOID for v in verdicts),
        "coin_matches": sum(m.decision is not Decision.VERDICTS for m in result.matches),
        "stages": max((c.stage for c in result.comparisons), default=0),
        "policy_prompt_tokens": max((c.prompt_tokens for c in result.candidates), default=0),
        "policy_tokens": sum(c.tokens for c in result.candidates),
        "judge_prompt_tokens": sum(v.prompt_tokens for v in verdicts),
        "judge_cached_tokens": sum(v.cached_tokens for v in verdicts),
        "judge_output_tokens": sum(v.output_tokens for v in verdicts),
    }


def _flat(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
    """`dataclasses.asdict` for a class whose fields hold plain values, without looking into them."""
    names = tuple(field.name for field in fields(kind))
    values = attrgetter(*names)
    return lambda instance: dict(zip(names, values(instance), strict=True))


_candidate_to_json = _flat(Candidate)
_standing_to_json = _flat(Standing)


def _comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    verdict = comparison.verdict
    return {
        "first": comparison.first,
        "second": comparison.second,
        "repeat": comparison.repeat,
        "attempt": comparison.attempt,
        "stage": comparison.stage,
        "outcome": verdict.outcome.value,
        "p_first": verdict.p_first,
        "reasoning": verdict.reasoning,
        "text": verdict.text,
        "void_reason": verdict.void_reason and verdict.void_reason.value,
        "detail": verdict.detail,
        "prompt_tokens": verdict.prompt_tokens,
        "cached_tokens": verdict.cached_tokens,
        "output_tokens": verdict.output_tokens,
    }


def _result_from_json(row: Mapping[str, Any]) -> Result:
    comparisons = tuple(_comparison_from_json(c) for c in row["comparisons"])
    return Result(
        prompt=Prompt(
            row["id"],
            tuple(Message(m["role"], m["content"]) for m in row["prompt"]),
            row["answer"],
        ),
        candidates=tuple(
            Candidate(
                c["text"],
                c["thinking"],
                c["finish_reason"],
                c["tokens"],
                c.get("score"),
                c.get("correct"),
                c.get("prompt_tokens", 0),
            )
            for c in row["candidates"]
        ),
        groups=tuple(c["group"] for c in row["candidates"]),
        winner=row["winner"],
        ranking=tuple(Standing(**standing) for standing in row["ranking"]),
        matches=tuple(
            Match(
                m["a"],
                m["b"],
                m["winner"],
                Decision(m["decision"]),
                m["stage"],
                tuple(comparisons[i] for i in m["comparisons"]),
            )
            for m in row["matches"]
        ),
        comparisons=comparisons,
        provenance=row["provenance"],
        error=row["error"],
        cut_short=row["cut_short"],
    )


def _comparison_from_json(row: Mapping[str, Any]) -> Comparison:
    return Comparison(
        row["first"],
        row["second"],
        row["repeat"],
        row["attempt"],
        row["stage"],
        Verdict(
            Outcome(row["outcome"]),
            row["p_first"],
            row["reasoning"],
            row["text"],
            row["void_reason"] and VoidReason(row["void_reason"]),
            row["detail"],
            row["prompt_tokens"],
            row["cached_tokens"],
            row["output_tokens"],
        ),
    )
