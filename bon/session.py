"""Engines that stay up, and one pool of tournaments that many concurrent askers fill.

A session is what a server, a notebook or a loop over prompts talks to: every call of every asker meets
in the same pool (`bon.scheduler`), so that concurrent askers fill each other's batches. Cancelling the
task that awaits a session's method aborts what it has under way in the engine.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from bon import api
from bon.api import Observer, Sampled, Start, bare_errors
from bon.catalog import Entrant
from bon.generation import Backend
from bon.generation.revived import begin
from bon.job import GIVEN, Job, Judge, Policy
from bon.judge import PairwiseJudge
from bon.ledger import Ledger
from bon.ledgered import LedgeredJudge, LedgeredSampler
from bon.scheduler import Entry, Pool
from bon.seating import result_of, seat
from bon.tournament import Ask
from bon.types import BonError, Candidate, Prompt, Result, Verdict

CALLS = 256
"""How many calls of a judge that is no model are under way at once."""


@asynccontextmanager
async def session(
    job: Job,
    observer: Observer | None = None,
    ledger: Ledger | None = None,
    *,
    judge: PairwiseJudge | None = None,
    start: Start | None = None,
) -> AsyncIterator[Session]:
    """Start the engines of the job's policy and judge; stop them at the end.

    Where the job's policy is `GIVEN`, only the judge is started; where there is a `judge` of the user's
    own, no engine judges. `observer` is told of everything that happens, whoever asked. Engines come from
    `start`, else from `bon.api.engine`. Raises `BonError` for a template that nobody knows, `EngineError`
    where a model cannot be loaded.
    """
    observer = observer or Observer()
    models: dict[str, Policy | Judge] = {}
    if job.policy != GIVEN:
        models["policy"] = job.policy
    if judge is None:
        models["judge"] = job.judge
        job.judge.load_template()
        _ = job.entrant
    async with bare_errors(), api.engines(models, observer, start) as running:
        for backend in running.values():
            await begin(backend)
        yield Session(judge or running["judge"], running.get("policy"), observer, ledger)


class Session:
    """Running engines and the pool; made by `session`.

    The `job` of a call says how it is played: N, strategy, grouping, seeds, sampling settings. Its models
    are the session's.
    """

    def __init__(
        self,
        judge: Backend | PairwiseJudge,
        policy: Backend | None = None,
        observer: Observer | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._judge = judge
        self._policy = policy
        self._observer = observer or Observer()
        self._ledger = ledger
        self._pool = Pool(self._calls)
        self._arrivals = itertools.count()
        # equal judges are one while anybody uses them, so that equal calls under way are made once
        self._ledgered: WeakValueDictionary[str, LedgeredJudge] = WeakValueDictionary()

    async def sample(self, prompt: Prompt, job: Job) -> tuple[Candidate, ...]:
        """N candidates, or those that came with the prompt.

        Raises `PromptTooLong` or `GenerationFailed` for this prompt alone, `EngineError` where the
        engine is dead.
        """
        return await self._sample(next(self._arrivals), prompt, job)

    async def judge(
        self,
        prompt: Prompt,
        candidates: Sequence[Candidate],
        job: Job,
        *,
        deadline: float | None = None,
        heard: Callable[[Verdict], None] | None = None,
    ) -> Result:
        """Play the tournament of these candidates.

        After `deadline` seconds it is cut short: what is under way is aborted, the best so far by the
        ranker wins, and the result's `cut_short` says so. `heard` is told every verdict as it comes.
        Raises `EngineError` where the engine is dead.
        """
        watch = _Hearing(heard) if heard is not None else Observer()
        end = _Deadline.after(deadline)
        return await self._play(next(self._arrivals), prompt, candidates, job, end, watch)

    async def best(
        self,
        prompt: Prompt,
        job: Job,
        *,
        deadline: float | None = None,
        watch: Observer | None = None,
        at_once: int | None = None,
    ) -> Result:
        """Sample, then judge; `watch` is told of this prompt alone.

        The deadline counts from here. Where it passes before there are candidates, the result has no
        winner and its `error` says so. Raises as `sample` and `judge` do, and `BonError` for a tournament
        that begins with more than `at_once` judge calls.
        """
        watch = watch or Observer()
        position, end = next(self._arrivals), _Deadline.after(deadline)
        try:
            async with asyncio.timeout_at(end.at) as limit:
                candidates = await self._sample(position, prompt, job)
        except TimeoutError:
            if not limit.expired():
                raise
            return api.failure(prompt, f"{end.passed} before there were candidates", job)
        watch.sampled(Sampled(position, prompt, candidates))
        return await self._play(position, prompt, candidates, job, end, watch, at_once)

    async def _sample(self, position: int, prompt: Prompt, job: Job) -> tuple[Candidate, ...]:
        candidates = prompt.given
        if not candidates:
            if self._policy is None:
                raise BonError("there is no policy to sample from: give the candidates")
            bare = job.policy.sampler(self._policy, job.n, job.seed)
            sampler = bare if self._ledger is None else LedgeredSampler(bare, self._ledger)
            candidates = await sampler.sample(prompt, position)
        self._observer.sampled(Sampled(position, prompt, candidates))
        return candidates

    async def _play(
        self,
        position: int,
        prompt: Prompt,
        candidates: Sequence[Candidate],
        job: Job,
        end: _Deadline,
        watch: Observer,
        at_once: int | None = None,
    ) -> Result:
        seating = seat(prompt, candidates, self._entrant(job), group_by=job.group_by, seed=job.seed)
        tournament, seats = seating.tournament, seating.seats
        entry = Entry(position, prompt.text, seating.texts, tournament)
        watchers = (self._observer, watch)

        def hear(ask: Ask, verdict: Verdict) -> None:
            for one in watchers:
                one.heard(verdict)
                one.compared(seats[ask.first], seats[ask.second], verdict)

        cut_short: str | None = None
        try:
            async with bare_errors(), asyncio.timeout_at(end.at) as limit:
                step = tournament.start()
                if at_once is not None and len(step.asked) > at_once:
                    raise BonError(
                        f"{job.strategy} asks for {len(step.asked)} comparisons at once, and at most"
                        f" {at_once} are taken: ask for fewer candidates or votes"
                    )
                await self._pool.room.wait()
                await self._pool.play(entry, step, self._judge_of(job), hear)
        except TimeoutError:
            if not limit.expired():
                raise
            if not tournament.done:
                tournament.cut_short()
                cut_short = end.passed
        result = result_of(seating, self._provenance(job), cut_short)
        for one in watchers:
            one.finished(result)
        return result

    def _calls(self) -> int:
        return CALLS if isinstance(self._judge, PairwiseJudge) else 2 * self._judge.capacity

    def _judge_of(self, job: Job) -> PairwiseJudge:
        if isinstance(self._judge, PairwiseJudge):
            judge: PairwiseJudge = self._judge
        else:
            judge = job.judge.judge(self._judge)
        if self._ledger is None:
            return judge
        known = self._ledgered.get(judge.identity)
        if known is None:
            known = self._ledgered[judge.identity] = LedgeredJudge(judge, self._ledger)
        return known

    def _entrant(self, job: Job) -> Entrant:
        # what a model says of itself is not said of an object that judges in its place
        return job.strategy if isinstance(self._judge, PairwiseJudge) else job.entrant

    def _provenance(self, job: Job) -> dict[str, Any]:
        if not isinstance(self._judge, PairwiseJudge):
            return job.provenance
        known = {**job.provenance, "judge": self._judge.identity, "template": None}
        known.pop("profile", None)
        return known


class _Hearing(Observer):
    """Passes verdicts on."""

    def __init__(self, heard: Callable[[Verdict], None]) -> None:
        self._heard = heard

    def heard(self, verdict: Verdict) -> None:
        self._heard(verdict)


@dataclass(frozen=True)
class _Deadline:
    seconds: float | None
    at: float | None
    """On the event loop's clock."""

    @classmethod
    def after(cls, seconds: float | None) -> _Deadline:
        now = asyncio.get_running_loop().time()
        return cls(seconds, None if seconds is None else now + seconds)

    @property
    def passed(self) -> str:
        return f"the deadline of {self.seconds:g} s passed"
