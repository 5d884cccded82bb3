"""How close tournaments come to the engine's own limit, and how far what people do today is from it.

    python benchmarks/throughput.py --json
    python benchmarks/throughput.py --only overhead --json      # without an engine

All in one run, on the bundled models, `--prompts` of the bundled problems and eight candidates each, at least
20 prompts a batch slot (`--slots` sets `max_num_seqs`). Each way of judging begins with an empty prefix cache.

- limit: the very comparisons that the knockouts made, all known up front, through `AsyncLLM`, and through
  `LLM.generate` in a process of its own; the faster of the two counts
- ours, adaptive: the tournaments of `bon rerank`
- barrier: knockouts whose rounds are pooled over all prompts, each round waiting for the one before
- loop: knockouts prompt by prompt, a barrier a round, on every `--loop-share`th prompt, a comparison's time
  times all comparisons

Printed: `ours_over_limit`, `adaptive_over_limit` (each to the limit of its own comparisons through the faster
way), `loop_over_ours`, `barrier_over_ours`, `prefix_over_bound` (prompt tokens computed, by the engine's own count
of cached ones, over the least possible: every distinct cache block once, and of each prompt what fills no
block), `prompt_tokens_per_comparison`, `overhead_us` (scheduler and tournament,
microseconds of CPU a comparison, instant judge),
`overhead_full_us` (with rendering and ledger), `overhead_tokens_us` (with tokenizing as well). Written to benchmarks/results/throughput.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bon.api import Observer, Sampled, judge_all, sample_all
from bon.catalog import parse_strategy
from bon.demo import problems
from bon.generation import Backend, Generation, Reply, Request
from bon.job import Job
from bon.judge import PairwiseJudge
from bon.ledger import Ledger
from bon.ledgered import LedgeredJudge
from bon.scheduler import Entry, play_all
from bon.seating import Seating, seat
from bon.tournament import Ask, Step
from bon.types import Candidate, Outcome, Prompt, Verdict

if TYPE_CHECKING:
    from bon.generation.encoding import ChatEncoder

RESULTS = Path(__file__).parent / "results"
JOB = Job(n=8, group_by="none")
FIRST = Verdict(Outcome.FIRST)


# --- what the scheduler costs -------------------------------------------------------------------


class InstantJudge:
    """Names the first, at once."""

    identity = "instant"

    async def compare(
        self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
    ) -> Verdict:
        return FIRST


class InstantBackend:
    """Answers at once; with `tokens`, it tokenizes as the engine's back end does."""

    identity = "instant@1"
    capacity = 64

    def __init__(self, *, tokens: bool) -> None:
        self._encoder: ChatEncoder | None = None
        if not tokens:
            return
        from transformers import AutoTokenizer

        from bon.generation.encoding import ChatEncoder
        from bon.generation.models import resolve_model

        tokenizer = AutoTokenizer.from_pretrained(resolve_model(JOB.judge.model))
        self._encoder = ChatEncoder(tokenizer)

    async def generate(self, request: Request) -> Reply:
        length = 0 if self._encoder is None else len(self._encoder.encode(request.chat))
        answer = Generation("</think>\\boxed{Assistant 1}", "stop", (1, 2, 3))
        return Reply((answer,), length, starts_thinking=True)


def overheads(count: int = 2000) -> dict[str, float]:
    """Microseconds of CPU a comparison, the best of three: alone, with rendering and ledger, and with tokens too."""
    figures = {"overhead_us": min(_overhead(count, InstantJudge()) for _ in range(3))}
    for name, tokens in (("overhead_full_us", False), ("overhead_tokens_us", True)):
        judge = JOB.judge.judge(InstantBackend(tokens=tokens))
        best = float("inf")
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder, Ledger(folder) as ledger:
                best = min(best, _overhead(count, LedgeredJudge(judge, ledger)))
        figures[name] = best
    return {name: round(value, 1) for name, value in figures.items()}


def _overhead(count: int, judge: PairwiseJudge) -> float:
    heard = 0

    def hear(verdict: Verdict) -> None:
        nonlocal heard
        heard += 1

    ready = []
    for i in range(count):
        texts = tuple(Candidate(f"{i} + {k} = {i + k}. The answer is {i + k}.") for k in range(8))
        seating = seat(Prompt(str(i), ()), texts, JOB.strategy, group_by="none", seed=0)
        ready.append(Entry(i, f"What is {i}?", seating.texts, seating.tournament))

    async def play() -> None:
        await play_all(_each(ready), judge, calls=lambda: 128, heard=hear, over=lambda entry: None)

    began = time.process_time()
    asyncio.run(play())
    return (time.process_time() - began) / heard * 1e6


# --- ways to judge on the engine ----------------------------------------------------------------


class Recorder:
    """A back end that keeps what it was asked and what it answered."""

    def __init__(self, backend: Backend) -> None:
        self.identity = backend.identity
        self.capacity = backend.capacity
        self.calls: list[tuple[Request, Reply]] = []
        self._backend = backend

    async def generate(self, request: Request) -> Reply:
        reply = await self._backend.generate(request)
        self.calls.append((request, reply))
        return reply


async def tournaments(sampled: Sequence[Sampled], backend: Backend, strategy: str) -> None:
    """Ours: as `bon rerank` does it."""
    job = replace(JOB, strategy=parse_strategy(strategy))
    await judge_all(_each(sampled), job, backend, lambda position, result: None, Observer())


async def barrier(sampled: Sequence[Sampled], backend: Backend) -> None:
    """Rounds pooled over all prompts, each waiting for all of the one before."""
    judge = JOB.judge.judge(backend)
    seatings = [_seated(one) for one in sampled]
    steps: list[tuple[Seating, Step]] = [(s, s.tournament.start()) for s in seatings]
    while asks := [(seating, ask) for seating, step in steps for ask in step.asked]:
        verdicts = await asyncio.gather(*(_compare(judge, *one) for one in asks))
        steps = [
            (seating, seating.tournament.answer(ask, verdict))
            for (seating, ask), verdict in zip(asks, verdicts, strict=True)
        ]


async def loop(sampled: Sequence[Sampled], backend: Backend) -> None:
    """Prompt by prompt, a barrier a round."""
    for one in sampled:
        await barrier([one], backend)


async def up_front(requests: Iterable[Request], backend: Backend) -> None:
    """All comparisons at once, as if they had been known."""
    await asyncio.gather(*(backend.generate(replace(one, priority=0)) for one in requests))


async def _compare(judge: PairwiseJudge, seating: Seating, ask: Ask) -> Verdict:
    texts = seating.texts
    return await judge.compare(
        seating.prompt.text,
        texts[ask.first],
        texts[ask.second],
        repeat=ask.repeat,
        attempt=ask.attempt,
        priority=0,
    )


def _seated(one: Sampled) -> Seating:
    return seat(one.prompt, one.candidates, JOB.strategy, group_by=JOB.group_by, seed=JOB.seed)


# --- the measurement ----------------------------------------------------------------------------


async def measure(prompts: int, slots: int, loop_share: int) -> dict[str, Any]:
    """Everything that needs engines."""
    from bon.generation import vllm

    sampled: list[Sampled] = []
    async with vllm.load(JOB.policy.model) as policy:
        await sample_all(problems(prompts), JOB, policy, sampled.append, Observer())
    sampled.sort(key=lambda one: one.position)
    async with vllm.load(JOB.judge.model, {"max_num_seqs": slots}) as backend:

        async def timed(
            name: str, way: Callable[[Recorder], Awaitable[None]]
        ) -> tuple[float, Recorder]:
            await backend._engine.reset_prefix_cache()
            recorder = Recorder(backend)
            began = time.perf_counter()
            await way(recorder)
            seconds = time.perf_counter() - began
            print(f"{name}: {len(recorder.calls):,} calls, {seconds:.1f} s", file=sys.stderr)
            return seconds, recorder

        few = sampled[: 2 * slots]
        await timed("warm-up", lambda to: tournaments(few, to, "knockout"))  # warms up
        ours, calls = await timed("ours", lambda to: tournaments(sampled, to, "knockout"))
        requests = [request for request, _ in calls.calls]
        limit, _ = await timed("limit", lambda to: up_front(requests, to))
        adaptive, adaptive_calls = await timed(
            "adaptive", lambda to: tournaments(sampled, to, "adaptive")
        )
        adaptive_requests = [request for request, _ in adaptive_calls.calls]
        adaptive_limit, _ = await timed(
            "limit of adaptive", lambda to: up_front(adaptive_requests, to)
        )
        pooled, _ = await timed("barrier", lambda to: barrier(sampled, to))
        looped, loop_calls = await timed("loop", lambda to: loop(sampled[::loop_share], to))
        block = backend._engine.vllm_config.cache_config.block_size
        ids = [backend._prompt_ids(request) for request in requests]
    offline = _offline(requests, ids, slots)
    looped *= len(requests) / len(loop_calls.calls)
    best = min(limit, offline)
    computed = sum(reply.prompt_tokens - reply.cached_tokens for _, reply in calls.calls)
    return {
        "prompts": prompts,
        "slots": slots,
        "comparisons": len(requests),
        "adaptive_comparisons": len(adaptive_requests),
        "judge_tokens": sum(len(r.generations[0].token_ids) for _, r in calls.calls),
        "seconds": {
            "ours": round(ours, 2),
            "limit_async": round(limit, 2),
            "limit_offline": round(offline, 2),
            "adaptive": round(adaptive, 2),
            "adaptive_limit_async": round(adaptive_limit, 2),
            "barrier": round(pooled, 2),
            "loop": round(looped, 2),
        },
        "ours_over_limit": round(ours / best, 3),
        "adaptive_over_limit": round(adaptive / (adaptive_limit * best / limit), 3),
        "loop_over_ours": round(looped / ours, 2),
        "barrier_over_ours": round(pooled / ours, 2),
        "verifier_over_ours": None,
        "block": block,
        "prefix_over_bound": round(computed / least_prompt_tokens(ids, block), 3),
        "prompt_tokens_per_comparison": round(sum(map(len, ids)) / len(ids), 1),
    }


def least_prompt_tokens(prompts: Iterable[Sequence[int]], block: int) -> int:
    """Prompt tokens that have to be computed if every distinct block is computed once.

    A prompt's last tokens, which fill no block, are computed every time; so is its last block where they
    are none, as an engine has to compute something.
    """
    seen: set[tuple[int, ...]] = set()
    least = 0
    for prompt in prompts:
        ids = tuple(prompt)
        whole = (len(ids) - 1) // block
        for end in range(block, whole * block + 1, block):
            if ids[:end] not in seen:
                seen.add(ids[:end])
                least += block
        least += len(ids) - whole * block
    return least


def _offline(requests: Sequence[Request], ids: Sequence[Sequence[int]], slots: int) -> float:
    """Seconds for the same prompts and seeds through `LLM.generate`, in a process of its own."""
    calls = [
        {
            "ids": list(prompt),
            "seed": request.sampling.seed,
            "max_tokens": request.sampling.max_tokens,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "logprobs": request.sampling.logprobs,
        }
        for request, prompt in zip(requests, ids, strict=True)
    ]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "calls.json"
        path.write_text(json.dumps({"calls": calls, "slots": slots}))
        done = subprocess.run(
            [sys.executable, __file__, "--offline", str(path)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return float(done.stdout.splitlines()[-1])


def offline(path: Path) -> None:
    """The child of `_offline`: prints the seconds."""
    import os

    from bon.generation.models import resolve_model
    from bon.generation.vllm import QUIET

    os.environ.update(QUIET)
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    from vllm import LLM, SamplingParams

    asked = json.loads(path.read_text())
    llm = LLM(
        resolve_model(JOB.judge.model),
        max_num_seqs=asked["slots"],
        enable_prefix_caching=True,
        enable_chunked_prefill=False,
    )
    context = llm.llm_engine.model_config.max_model_len
    prompts = [{"prompt_token_ids": call["ids"]} for call in asked["calls"]]
    parameters = [
        SamplingParams(
            seed=call["seed"],
            max_tokens=min(call["max_tokens"], context - len(call["ids"])),
            temperature=call["temperature"],
            top_p=call["top_p"],
            logprobs=call["logprobs"],
            skip_special_tokens=False,
        )
        for call in asked["calls"]
    ]
    few = 2 * asked["slots"]
    llm.generate(prompts[:few], parameters[:few], use_tqdm=False)
    llm.reset_prefix_cache()
    began = time.perf_counter()
    llm.generate(prompts, parameters, use_tqdm=False)
    print(time.perf_counter() - began)


async def _each(these: Iterable[Any]) -> AsyncIterator[Any]:
    for one in these:
        yield one


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=160)
    parser.add_argument("--slots", type=int, default=8, help="max_num_seqs of the engine")
    parser.add_argument("--loop-share", type=int, default=8)
    parser.add_argument("--only", choices=["overhead", "engine"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--save", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--offline", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.offline:
        offline(options.offline)
        return
    figures: dict[str, Any] = {}
    if options.only != "overhead":
        figures |= asyncio.run(measure(options.prompts, options.slots, options.loop_share))
    if options.only != "engine":
        figures |= overheads()
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "throughput.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures) if options.json else json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
