"""The main job: prompts, candidates, tournaments, results.

`run` is all of it; `sample_all` and `judge_all` are its two halves, for those who hold the engines
themselves. Results are handed over as they are ready, in any order, each with its place in the input.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bon.blocks import Blocks
from bon.generation import Backend, GenerationFailed, PromptTooLong
from bon.generation.models import model_identity, resolve_model
from bon.generation.openai.address import is_address
from bon.generation.revived import CAPACITY, begin, revived
from bon.job import Job, Judge, Policy
from bon.ledger import Ledger
from bon.ledgered import LedgeredJudge, LedgeredSampler, LedgeredScorer
from bon.sampler import Sampler
from bon.scheduler import Entry, Room, play_all
from bon.scorer import Scorer
from bon.seating import Seating, result_of, seat
from bon.types import BonError, Candidate, Prompt, Result, Verdict


@dataclass(frozen=True)
class Sampled:
    """A prompt with its candidates, or with the reason why it has none."""

    position: int
    """Place in the input, from 0."""
    prompt: Prompt
    candidates: tuple[Candidate, ...] = ()
    error: str | None = None


class Observer:
    """What whoever watches a run is told; override what is of interest. Nothing of it changes the run."""

    def loading(self, role: str, model: str) -> None:
        """An engine starts."""

    def loaded(self, role: str) -> None:
        """The engine is ready."""

    def reported(self, role: str, text: str) -> None:
        """What went to and fro between here and the servers of a model behind HTTP, in one line."""

    def sampled(self, sampled: Sampled) -> None:
        """A prompt has its candidates, or the reason why it has none."""

    def heard(self, verdict: Verdict) -> None:
        """The judge has answered one call."""

    def compared(self, first: int, second: int, verdict: Verdict) -> None:
        """In a session: the judge has compared these two candidates of a prompt."""

    def finished(self, result: Result) -> None:
        """A tournament is over."""


Emit = Callable[[int, Result], None]


class Start(Protocol):
    """Starts an engine, or gives one that runs; see `engine`."""

    def __call__(
        self, role: str, model: str, engine_args: Mapping[str, Any], observer: Observer
    ) -> AbstractAsyncContextManager[Backend]: ...


async def run(
    prompts: Sequence[Prompt],
    job: Job,
    emit: Emit,
    observer: Observer,
    ledger: Ledger | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Sample N candidates for every prompt, play its tournament, hand over its result.

    Prompts that bring their candidates are judged as they are. A prompt that cannot be sampled gives a
    result with `error`. What the `ledger` holds is neither sampled nor judged again. Once `stop` is set,
    no further prompt is begun.

    Raises `BonError` for settings that make no sense, `EngineError` where a model cannot be loaded or its
    engine dies.
    """
    samples = not all(prompt.given for prompt in prompts)
    if samples and job.strategy.name == "pointwise" and job.scorer is None:
        raise BonError("pointwise needs a score a candidate: name a reward model with --scorer")
    job.judge.load_template()  # a wrong name is told now, not after an hour of sampling
    _ = job.entrant  # and so is a profile that cannot be read
    async with bare_errors():
        if not samples:
            given = [Sampled(i, prompt, prompt.given) for i, prompt in enumerate(prompts)]
            await rerank(_each(given), job, emit, observer, ledger, stop, _sizes(prompts, job))
        elif job.side_by_side:
            await _run_side_by_side(prompts, job, emit, observer, ledger, stop)
        else:
            await _run_in_turns(prompts, job, emit, observer, ledger, stop)


async def rerank(
    sampled: AsyncIterable[Sampled],
    job: Job,
    emit: Emit,
    observer: Observer,
    ledger: Ledger | None = None,
    stop: asyncio.Event | None = None,
    sizes: Sequence[int] = (),
) -> None:
    """Play a tournament for every prompt that comes with its candidates, as `run` does.

    The prompts come in input order; `sizes` is as in `judge_all`.
    """
    async with (
        bare_errors(),
        engine("judge", job.judge.model, job.judge.engine_args, observer) as judge,
        scored(sampled, job, observer, ledger) as stream,
    ):
        await judge_all(stream, job, judge, emit, observer, ledger, stop, sizes)


async def _run_in_turns(
    prompts: Sequence[Prompt],
    job: Job,
    emit: Emit,
    observer: Observer,
    ledger: Ledger | None,
    stop: asyncio.Event | None,
) -> None:
    sampled: list[Sampled] = []
    async with engine("policy", job.policy.model, job.policy.engine_args, observer) as policy:
        await sample_all(prompts, job, policy, sampled.append, observer, ledger, stop)
    if stop is not None and stop.is_set():
        return
    in_order = _each(sorted(sampled, key=lambda one: one.position))
    async with (
        engine("judge", job.judge.model, job.judge.engine_args, observer) as judge,
        scored(in_order, job, observer, ledger) as stream,
    ):
        sizes = _sizes(prompts, job)
        await judge_all(stream, job, judge, emit, observer, ledger, stop, sizes)


async def _run_side_by_side(
    prompts: Sequence[Prompt],
    job: Job,
    emit: Emit,
    observer: Observer,
    ledger: Ledger | None,
    stop: asyncio.Event | None,
) -> None:
    async with both_engines(job, observer) as (policy, judge), asyncio.TaskGroup() as tasks:
        ready: asyncio.Queue[Sampled | None] = asyncio.Queue()

        async def sample() -> None:
            await sample_all(prompts, job, policy, ready.put_nowait, observer, ledger, stop)
            ready.put_nowait(None)

        tasks.create_task(sample())
        stream, sizes = _taken(ready), _sizes(prompts, job)
        if Blocks(job.entrant, sizes).learns:
            stream = _in_order(stream)
        async with scored(stream, job, observer, ledger) as rated:
            await judge_all(rated, job, judge, emit, observer, ledger, stop, sizes)


async def sample_all(
    prompts: Iterable[Prompt],
    job: Job,
    backend: Backend,
    emit: Callable[[Sampled], None],
    observer: Observer,
    ledger: Ledger | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Sample for every prompt, with about two batches of requests under way."""
    bare = job.policy.sampler(backend, job.n, job.seed)
    sampler = bare if ledger is None else LedgeredSampler(bare, ledger)
    room = Room(lambda: max(1, 2 * backend.capacity // job.n))

    async def sample(position: int, prompt: Prompt) -> None:
        sampled = await _sample(sampler, position, prompt)
        room.take(-1)
        observer.sampled(sampled)
        emit(sampled)

    async with asyncio.TaskGroup() as tasks:
        for position, prompt in enumerate(prompts):
            await room.wait()
            if stop is not None and stop.is_set():
                break
            room.take()
            tasks.create_task(sample(position, prompt))


async def _sample(sampler: Sampler | LedgeredSampler, position: int, prompt: Prompt) -> Sampled:
    if prompt.given:
        return Sampled(position, prompt, prompt.given)
    try:
        return Sampled(position, prompt, await sampler.sample(prompt, position))
    except (PromptTooLong, GenerationFailed) as error:
        return Sampled(position, prompt, error=f"cannot sample: {error}")


@asynccontextmanager
async def scored(
    sampled: AsyncIterable[Sampled], job: Job, observer: Observer, ledger: Ledger | None = None
) -> AsyncIterator[AsyncIterable[Sampled]]:
    """The same in the same order, every candidate with the score of the job's reward model, if it has one.

    About two batches are scored ahead of whoever takes them. Leaving it scores no more.
    """
    if job.scorer is None:
        yield sampled
        return
    async with (
        engine("scorer", job.scorer.model, job.scorer.engine_args, observer) as backend,
        asyncio.TaskGroup() as tasks,
    ):
        bare = Scorer(backend)
        scorer = bare if ledger is None else LedgeredScorer(bare, ledger)
        room = Room(lambda: 2 * backend.capacity)
        ready: asyncio.Queue[asyncio.Task[Sampled] | None] = asyncio.Queue(CAPACITY)

        async def score(one: Sampled) -> Sampled:
            if one.error is not None:
                return one
            try:
                async with bare_errors():
                    rated = await scorer.score(one.prompt, one.candidates, one.position)
                return replace(one, candidates=rated)
            except (PromptTooLong, GenerationFailed) as error:
                return replace(one, candidates=(), error=f"cannot score: {error}")
            finally:
                room.take(-len(one.candidates))

        async def score_all() -> None:
            async for one in sampled:
                await room.wait()
                room.take(len(one.candidates))
                await ready.put(tasks.create_task(score(one)))
            await ready.put(None)

        async def taken() -> AsyncIterator[Sampled]:
            while (task := await ready.get()) is not None:
                yield await task

        ahead = tasks.create_task(score_all())
        yield taken()
        ahead.cancel()
        while not ready.empty():
            if (task := ready.get_nowait()) is not None:
                task.cancel()


async def judge_all(
    sampled: AsyncIterable[Sampled],
    job: Job,
    backend: Backend,
    emit: Emit,
    observer: Observer,
    ledger: Ledger | None = None,
    stop: asyncio.Event | None = None,
    sizes: Sequence[int] = (),
) -> None:
    """Play a tournament for every prompt as it comes, with about two batches of calls under way.

    A strategy that learns across prompts (`bon.blocks`) needs them in input order. `sizes`: how many
    candidates each prompt has, all of them; without it there can be no budget for all.
    """
    playing: dict[int, tuple[int, Seating]] = {}
    blocks = Blocks(job.entrant, sizes)
    more_is_over = asyncio.Event()

    def finish(position: int, result: Result) -> None:
        observer.finished(result)
        emit(position, result)

    async def entries() -> AsyncIterator[Entry]:
        index = -1
        async for one in sampled:
            index += 1
            if one.error is not None:
                blocks.over(index, 0)
                finish(one.position, failure(one.prompt, one.error, job))
                continue
            while not blocks.ready(index):
                more_is_over.clear()
                await more_is_over.wait()
            strategy = blocks.strategy(index)
            seating = seat(
                one.prompt, one.candidates, strategy, group_by=job.group_by, seed=job.seed
            )
            playing[one.position] = index, seating
            yield Entry(one.position, one.prompt.text, seating.texts, seating.tournament)

    def over(entry: Entry) -> None:
        index, seating = playing.pop(entry.position)
        blocks.played(index, len(seating.seats), seating.tournament.comparisons)
        more_is_over.set()
        finish(entry.position, result_of(seating, job.provenance))

    bare = job.judge.judge(backend)
    judge = bare if ledger is None else LedgeredJudge(bare, ledger)

    def calls() -> int:
        return 2 * backend.capacity

    await play_all(entries(), judge, calls=calls, heard=observer.heard, over=over, stop=stop)


@asynccontextmanager
async def engine(
    role: str, model: str, engine_args: Mapping[str, Any], observer: Observer
) -> AsyncIterator[Backend]:
    """A back end for one model: servers behind HTTP (`openai:NAME@URL`), or vLLM in this process.

    vLLM is started by the first request, and once more when it dies. Servers are asked at once what they
    serve, and a request again as often as the engine arguments say.
    """
    if is_address(model):
        async with _behind_http(role, model, engine_args, observer) as backend:
            yield backend
        return
    from bon.generation import pooling, vllm

    load = pooling.load if role == "scorer" else vllm.load

    @asynccontextmanager
    async def start() -> AsyncIterator[Backend]:
        observer.loading(role, model)
        async with load(model, engine_args) as backend:
            observer.loaded(role)
            yield backend

    async with revived(start, model_identity(resolve_model(model), engine_args)) as backend:
        yield backend


@asynccontextmanager
async def _behind_http(
    role: str, model: str, engine_args: Mapping[str, Any], observer: Observer
) -> AsyncIterator[Backend]:
    try:
        from bon.generation.openai import backend as http
    except ModuleNotFoundError as error:
        raise BonError(
            f"a model behind HTTP needs the package {error.name}: pip install 'bon[openai]'"
        ) from error
    observer.loading(role, model)
    async with http.load(model, engine_args) as backend:
        observer.loaded(role)
        try:
            yield backend
        finally:
            observer.reported(role, str(backend.traffic))


@asynccontextmanager
async def engines(
    models: Mapping[str, Policy | Judge], observer: Observer, start: Start | None = None
) -> AsyncIterator[Mapping[str, Backend]]:
    """Engines for these roles, side by side; one for those whose model is the same.

    They come from `start`, else from `engine`.
    """
    running: dict[str, Backend] = {}
    start = start or engine
    async with AsyncExitStack() as stack:
        for role, asked in models.items():
            for other in running:
                if models[other].loads == asked.loads:
                    running[role] = running[other]
                    break
            else:
                context = start(role, asked.model, asked.engine_args, observer)
                running[role] = await stack.enter_async_context(context)
        if len(set(map(id, running.values()))) > 1:
            for backend in running.values():  # before one works: each looks how much memory is free
                await begin(backend)
        yield running


@asynccontextmanager
async def both_engines(job: Job, observer: Observer) -> AsyncIterator[tuple[Backend, Backend]]:
    """Engines for policy and judge, side by side; one for both where they are the same."""
    async with engines({"policy": job.policy, "judge": job.judge}, observer) as running:
        yield running["policy"], running["judge"]


def failure(prompt: Prompt, error: str, job: Job) -> Result:
    """The result of a prompt that has no candidates."""
    return Result(prompt, (), (), None, (), (), (), job.provenance, error)


async def _each(sampled: Iterable[Sampled]) -> AsyncIterator[Sampled]:
    for one in sampled:
        yield one


def _sizes(prompts: Iterable[Prompt], job: Job) -> list[int]:
    """How many candidates each prompt has or will have."""
    return [len(prompt.given) or job.n for prompt in prompts]


async def _in_order(stream: AsyncIterable[Sampled]) -> AsyncIterator[Sampled]:
    """The prompts by their positions; what waits for one that never comes follows at the end."""
    waiting: dict[int, Sampled] = {}
    due = 0
    async for one in stream:
        waiting[one.position] = one
        while due in waiting:
            yield waiting.pop(due)
            due += 1
    for position in sorted(waiting):
        yield waiting[position]


async def _taken(queue: asyncio.Queue[Sampled | None]) -> AsyncIterator[Sampled]:
    while (one := await queue.get()) is not None:
        yield one


@asynccontextmanager
async def bare_errors() -> AsyncIterator[None]:
    """Let what a person can mend out of the task groups that wrap it: one cause, one line."""
    try:
        yield
    except BaseExceptionGroup as group:
        cause: BaseException = group
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        if isinstance(cause, BonError | OSError):
            raise cause from group
        raise
