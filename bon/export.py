"""Results as training data.

- preference: `prompt`, `chosen` and `rejected` as chat messages, the conversational form of TRL's DPO and
  reward trainers (axolotl: `type: chat_template.default` with `field_messages: prompt`); and `margin`, the
  difference in strength
- best-of-n: `messages`, the prompt with the winner as its answer, for supervised fine-tuning (TRL's SFT
  trainer, axolotl's `type: chat_template`)
- rewards: a row a candidate with its strength, rank, wins and losses

Nothing is made up: a result without a winner gives no row, nor does a winner that no verdict named give a
pair, and two candidates with the same text are never a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bon.types import BonError, Decision, Result

Row = dict[str, Any]


def preference(result: Result, pairs: str = "best-worst") -> Iterator[Row]:
    """Pairs of a better and a worse candidate, chosen as `PAIRS` says."""
    places = {standing.candidate: standing for standing in result.ranking}
    for better, worse in PAIRS[pairs](result):
        chosen, rejected = result.candidates[better].text, result.candidates[worse].text
        if chosen == rejected:
            continue
        yield {
            "id": result.prompt.id,
            "prompt": _chat(result),
            "chosen": [_answer(chosen)],
            "rejected": [_answer(rejected)],
            "margin": places[better].strength - places[worse].strength,
        }


def best_of_n(result: Result) -> Iterator[Row]:
    """The prompt with its winner."""
    if result.winner is not None:
        answer = _answer(result.candidates[result.winner].text)
        yield {"id": result.prompt.id, "messages": [*_chat(result), answer]}


def rewards(result: Result) -> Iterator[Row]:
    """Every candidate with what the tournament made of it; one that did not play has its player's."""
    places = {standing.candidate: standing for standing in result.ranking}
    for candidate, player in zip(result.candidates, result.groups, strict=True):
        if player not in places:
            continue
        place = places[player]
        yield {
            "id": result.prompt.id,
            "prompt": _chat(result),
            "completion": [_answer(candidate.text)],
            "reward": place.strength,
            "reward_se": place.strength_se,
            "rank": place.rank,
            "wins": place.wins,
            "losses": place.losses,
        }


def _best_worst(result: Result) -> Iterator[tuple[int, int]]:
    ranked = _ranked(result)
    if len(ranked) > 1:
        yield ranked[0], ranked[-1]


def _best_rest(result: Result) -> Iterator[tuple[int, int]]:
    ranked = _ranked(result)
    return ((ranked[0], other) for other in ranked[1:])


def _decided(result: Result) -> Iterator[tuple[int, int]]:
    for match in result.matches:
        if match.decision is Decision.VERDICTS:
            yield match.winner, match.b if match.winner == match.a else match.a


PAIRS: Mapping[str, Callable[[Result], Iterator[tuple[int, int]]]] = {
    "best-worst": _best_worst,
    "best-rest": _best_rest,
    "decided": _decided,
}
"""Winner against last, winner against each other, or both sides of every match that verdicts decided."""

FORMATS: Mapping[str, Callable[[Result], Iterator[Row]]] = {
    "preference": preference,
    "best-of-n": best_of_n,
    "rewards": rewards,
}


def exporter(name: str, pairs: str = "best-worst") -> Callable[[Result], Iterator[Row]]:
    """The rows that a result gives in this format. Raises `BonError` for names nobody knows."""
    if name not in FORMATS:
        raise BonError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
    if pairs not in PAIRS:
        raise BonError(f"unknown pairs {pairs!r}; known: {', '.join(PAIRS)}")
    if name == "preference":
        return lambda result: preference(result, pairs)
    return FORMATS[name]


def _ranked(result: Result) -> list[int]:
    """Candidates from best to worst, where a verdict named the best of them."""
    if not any(c.winner == result.winner for c in result.comparisons if c.winner is not None):
        return []
    return [standing.candidate for standing in result.ranking]


def _chat(result: Result) -> list[Row]:
    return [{"role": m.role, "content": m.content} for m in result.prompt.messages]


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}
