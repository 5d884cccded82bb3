"""For TRL: a reward function for its online trainers, and a pairwise judge.

    from bon.hooks.trl import TournamentReward

    reward = TournamentReward("tiny-rrm")  # trainer = GRPOTrainer(model, reward_funcs=reward, ...)
    reward(prompts=["2 + 2 =", "2 + 2 ="], completions=["4", "5"])  # a float for each completion

Prompts and completions are text or chat messages, as the data set has them. A completion is judged
without its thinking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from bon.best_of_n import job_of
from bon.catalog import entrant
from bon.datasets import prompt_from
from bon.generation.thinking import THINK_CLOSE, split_thinking
from bon.job import Job, Judge
from bon.judge import PairwiseJudge
from bon.match import decide
from bon.remote import Remote, Work
from bon.tournament import Strategy, Table
from bon.types import BonError, Candidate, Decision, Match, Prompt, Result

Text: TypeAlias = str | Sequence[Mapping[str, Any]]
"""A text, or chat messages."""


class TournamentReward:
    """Rewards from the ratings of a tournament among the completions of one prompt.

    A reward is a Bradley-Terry log-strength: 0 is the mean of the prompt's completions, a difference of 1
    means odds of 2.7 to 1 of being preferred. Equal completions have equal rewards. A completion of which
    the judge has said nothing, because every comparison was VOID, has None, which TRL leaves out.

    Completions meet those of the same prompt in the same call. Where several processes train, have each
    see whole groups: `per_device_train_batch_size` a multiple of `num_generations`.

    The arguments are those of `bon.BestOfN`. A round robin rates everybody at n (n - 1) / 2 comparisons a
    prompt; `swiss` takes fewer.
    """

    def __init__(
        self,
        judge: str | Judge | PairwiseJudge,
        *,
        strategy: str | Strategy = "round-robin",
        group_by: str = "exact",
        seed: int = 0,
        ledger: str | Path | None = None,
    ) -> None:
        self.__name__ = "tournament_reward"  # TRL logs it under this name
        self._job = job_of(judge, strategy, group_by, seed)
        self._session = _session(self._job, judge, ledger)

    def __call__(
        self, prompts: Sequence[Text], completions: Sequence[Text], **_: Any
    ) -> list[float | None]:
        """A reward for each completion, in their order."""
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for place, prompt in enumerate(prompts):
            groups[repr(prompt)].append(place)
        asked = [
            _asked(prompts[places[0]], [completions[place] for place in places])
            for places in groups.values()
        ]
        rewards: list[float | None] = [None] * len(prompts)
        results = _play(self._session, asked, self._job)
        for places, result in zip(groups.values(), results, strict=True):
            for place, reward in zip(places, _rewards(result), strict=True):
                rewards[place] = reward
        return rewards

    def close(self) -> None:
        """Stop the judge's engine, unless other objects use it."""
        self._session.close()


class TournamentJudge:
    """A pairwise judge with the interface of TRL's `BasePairwiseJudge` (TRL up to 1.0).

    The arguments are those of `bon.BestOfN`; `rule` is a match rule such as "both" or "votes:3".
    """

    def __init__(
        self,
        judge: str | Judge | PairwiseJudge,
        *,
        rule: str = "single",
        seed: int = 0,
        ledger: str | Path | None = None,
    ) -> None:
        self._shuffled = job_of(judge, f"knockout:rule={rule}", "exact", seed)
        self._session = _session(self._shuffled, judge, ledger)

    def judge(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Sequence[Text]],
        shuffle_order: bool = True,
    ) -> list[int]:
        """The place of the better completion of each pair, 0 or 1; -1 where the judge names neither.

        With `shuffle_order` the match rule says who is shown first, by a seeded coin; without, it is one
        comparison in the order in which they came. Two equal completions give 0.
        """
        job = self._shuffled
        if not shuffle_order:
            job = replace(job, strategy=entrant(_as_they_came))
        asked = [_asked(*pair) for pair in zip(prompts, completions, strict=True)]
        for prompt in asked:
            if len(prompt.given) != 2:
                raise BonError(f"a pairwise judge compares 2 completions, not {len(prompt.given)}")
        return [_better(result) for result in _play(self._session, asked, job)]

    def close(self) -> None:
        """Stop the judge's engine, unless other objects use it."""
        self._session.close()


async def _as_they_came(table: Table) -> int:
    if table.n == 1:
        return 0
    first, second = sorted(table.seats, key=table.places.__getitem__)
    return await table.duel(first, second, _first_shown_first)


async def _first_shown_first(table: Table, a: int, b: int) -> Match:
    return decide(table, a, b, [await table.compare(a, b)])


def _better(result: Result) -> int:
    if not result.matches:
        return 0
    match = result.matches[0]
    return match.winner if match.decision is Decision.VERDICTS else -1


def _rewards(result: Result) -> list[float | None]:
    """A reward a candidate: the strength of the one that plays for it, None where it had no verdict."""
    alone = len(result.ranking) == 1
    strengths = {
        standing.candidate: standing.strength
        for standing in result.ranking
        if alone or standing.wins + standing.losses > 0
    }
    return [strengths.get(player) for player in result.groups]


def _session(job: Job, judge: str | Judge | PairwiseJudge, ledger: str | Path | None) -> Remote:
    return Remote(job, judge if isinstance(judge, PairwiseJudge) else None, ledger)


def _play(session: Remote, prompts: Sequence[Prompt], job: Job) -> list[Result]:
    def one(prompt: Prompt) -> Work[Result]:
        return lambda opened: opened.best(prompt, job)

    return session.call_all([one(prompt) for prompt in prompts])


def _asked(prompt: Text, completions: Sequence[Text]) -> Prompt:
    messages = prompt if isinstance(prompt, str) else [_message(turn) for turn in prompt]
    return replace(prompt_from(messages), given=tuple(map(_candidate, completions)))


def _candidate(completion: Text) -> Candidate:
    text = completion if isinstance(completion, str) else _message(completion[-1])["content"]
    # the prompt may have opened the thinking, as some chat templates do
    thinking, answer, _ = split_thinking(text, starts_thinking=THINK_CLOSE in text)
    return Candidate(answer, thinking)


def _message(turn: Mapping[str, Any]) -> dict[str, str]:
    """A chat message with its content as one text; of its parts, those that are text."""
    content = turn.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part["text"] for part in content if part.get("type") == "text")
    return {"role": str(turn.get("role", "assistant")), "content": content}
