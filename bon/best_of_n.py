"""Wrap any generator: ask it as before, and get the best of N answers by tournament.

    from bon import BestOfN

    best = BestOfN(policy="tiny-policy", judge="tiny-rrm", n=8)
    print(best("State the final answer to the following arithmetic problem: 42 - 25 - 73 =").text)

Whatever is called runs in the portal (`bon.portal`): one event loop for all callers, one pool of judge
calls for all that one object is asked at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeAlias

from bon.answer import Answer
from bon.api import Observer, failure
from bon.catalog import entrant
from bon.datasets import prompt_from
from bon.generation import GenerationFailed, PromptTooLong
from bon.generation.revived import CAPACITY
from bon.grouping import final_answer
from bon.job import GIVEN, ONE, Job, Judge, Policy
from bon.judge import PairwiseJudge
from bon.remote import Remote, Work
from bon.session import Session
from bon.tournament import Strategy
from bon.types import BonError, Candidate, Prompt, Result
from bon.wrapped import Begun, Generate, WrappedPolicy, as_candidates

Asked: TypeAlias = str | Sequence[Mapping[str, str]] | Prompt
"""A text, chat messages (`{"role": ..., "content": ...}`), or a `Prompt`."""


class BestOfN:
    """The best of N: N candidates from `generate` or from `policy`, and a tournament that `judge` decides.

    `generate` is any callable that takes the prompt and returns a text, or a list of them. It may be
    async; see the README for where it is called. `policy` is a model instead: a bundled one, a folder, a
    name on the Hugging Face hub, or a `Policy` with its settings. `judge` is a model in the same way, or
    a `Judge`, or an object of your own with `identity` and `compare` (`bon.judge.PairwiseJudge`).

    `strategy` is a notation such as "knockout:rule=both", what `bon.strategy` returns, or an async
    function over a table. After `deadline` seconds a tournament is cut short; of a model, the time for
    sampling counts. With a `ledger`, a folder, nothing is judged (nor sampled, by a model) twice.

    Engines start with the first question and stop with `close`, at the end of a `with`, or with the
    interpreter. Objects that name the same model share its engine. Safe to use from several threads.

    Raises `BonError` for settings that make no sense.
    """

    def __init__(
        self,
        generate: Generate | None = None,
        *,
        judge: str | Judge | PairwiseJudge,
        policy: str | Policy | None = None,
        n: int = 8,
        strategy: str | Strategy = ONE,
        group_by: str = "exact",
        seed: int = 0,
        deadline: float | None = None,
        ledger: str | Path | None = None,
        observer: Observer | None = None,
    ) -> None:
        if (generate is None) == (policy is None):
            raise BonError("give either a function, `generate`, or a model, `policy`")
        self._generate = None if generate is None else WrappedPolicy(generate, n)
        sampled_by = GIVEN if policy is None else policy
        self._job = job_of(judge, strategy, group_by, seed, sampled_by, n)
        own = judge if isinstance(judge, PairwiseJudge) else None
        self._session = Remote(self._job, own, ledger, observer)
        if self._generate is not None:
            self._job = replace(self._job, policy=Policy(self._generate.name))
        self._deadline = deadline

    def __call__(self, prompt: Asked) -> Answer:
        """The best answer. Raises `BonError` where there is none, and whatever `generate` raises."""
        return _told(self._session.call(self._work(_prompt(prompt))))

    async def acall(self, prompt: Asked) -> Answer:
        """As the call; an async `generate` is awaited on the event loop that this runs on."""
        asked = _prompt(prompt)
        if self._generate is not None and not asked.given:
            asked = replace(asked, given=await self._generate.sample(asked))
        return _told(await self._session.acall(self._work(asked)))

    def map(self, prompts: Iterable[Asked]) -> Generator[Answer, None, None]:
        """The best answers in the order of the prompts, each as soon as it and those before are known.

        As many prompts are under way as keep the engines busy, and no more are taken from `prompts`. One
        that cannot be sampled is an `Answer` with an `error`; what `generate` raises ends it all.
        """
        under_way: deque[Future[Result]] = deque()
        try:
            for position, prompt in enumerate(prompts, start=1):
                under_way.append(self._session.submit(self._work(_prompt(prompt, str(position)))))
                while under_way and (len(under_way) >= self._width or under_way[0].done()):
                    yield Answer(under_way.popleft().result())
            while under_way:
                yield Answer(under_way.popleft().result())
        finally:
            for future in under_way:
                future.cancel()

    def close(self) -> None:
        """Stop its engines, unless other objects use them. Asked again, it starts them again."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.aclose()

    @property
    def _width(self) -> int:
        """Prompts that fill the batches of an engine twice, if each has one call per two candidates."""
        return max(2, 4 * CAPACITY // self._job.n)

    def _work(self, prompt: Prompt) -> Work[Result]:
        begun: Begun = prompt.given
        if self._generate is not None and not prompt.given:
            begun = self._generate.begin(prompt)

        async def play(session: Session) -> Result:
            given = begun if isinstance(begun, tuple) else await begun
            try:
                return await session.best(
                    replace(prompt, given=given), self._job, deadline=self._deadline
                )
            except (PromptTooLong, GenerationFailed) as error:
                return failure(prompt, f"cannot sample: {error}", self._job)

        return play


def rank(
    prompt: Asked,
    candidates: Iterable[str | Candidate],
    *,
    judge: str | Judge | PairwiseJudge,
    strategy: str | Strategy = "round-robin",
    group_by: str = "exact",
    seed: int = 0,
    deadline: float | None = None,
) -> Answer:
    """Rank candidates that are at hand: `.order` has their places, best first, `.ranking` the ratings.

    The arguments are those of `BestOfN`. The judge's engine stays up for the next call, until
    `bon.close` or the end of the interpreter. A round robin compares every pair; others ask less.
    """
    work, session = _ranking(prompt, candidates, judge, strategy, group_by, seed, deadline)
    try:
        return _told(session.call(work))
    finally:
        if session not in _judges.values():
            session.close()


async def arank(
    prompt: Asked,
    candidates: Iterable[str | Candidate],
    *,
    judge: str | Judge | PairwiseJudge,
    strategy: str | Strategy = "round-robin",
    group_by: str = "exact",
    seed: int = 0,
    deadline: float | None = None,
) -> Answer:
    """As `rank`."""
    work, session = _ranking(prompt, candidates, judge, strategy, group_by, seed, deadline)
    try:
        return _told(await session.acall(work))
    finally:
        if session not in _judges.values():
            await session.aclose()


_judges: dict[str, Remote] = {}
"""Of `rank`, by what their engines load; they stay open, as a call for itself is no reason to stop one."""


def _ranking(
    prompt: Asked,
    candidates: Iterable[str | Candidate],
    judge: str | Judge | PairwiseJudge,
    strategy: str | Strategy,
    group_by: str,
    seed: int,
    deadline: float | None,
) -> tuple[Work[Result], Remote]:
    job = job_of(judge, strategy, group_by, seed)
    asked = replace(_prompt(prompt), given=as_candidates(candidates))
    if isinstance(judge, PairwiseJudge):
        session = Remote(job, judge)
    else:
        session = _judges.setdefault(repr(job.judge.loads), Remote(job))
    return lambda opened: opened.best(asked, job, deadline=deadline), session


def job_of(
    judge: str | Judge | PairwiseJudge,
    strategy: str | Strategy,
    group_by: str,
    seed: int,
    policy: str | Policy = GIVEN,
    n: int = 1,
) -> Job:
    """The job that the arguments of `BestOfN` describe. Raises `BonError` where they make no sense."""
    final_answer("", group_by)
    if isinstance(judge, str):
        judge = Judge(judge)
    if isinstance(judge, Judge):
        judge.load_template()
    else:
        judge = Judge(judge.identity)
    policy = Policy(policy) if isinstance(policy, str) else policy
    return Job(policy, judge, entrant(strategy), n, group_by, seed)


def _prompt(asked: Asked, identity: str = "1") -> Prompt:
    return asked if isinstance(asked, Prompt) else prompt_from(asked, identity)


def _told(result: Result) -> Answer:
    if result.error is not None:
        raise BonError(result.error)
    return Answer(result)
