"""The main job on the bundled problems: what a tournament gains over a random candidate and a vote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bon.accuracy import Interval, baselines, chosen_right, interval
from bon.api import Observer, Sampled, bare_errors, both_engines, judge_all, sample_all
from bon.catalog import parse_strategy
from bon.datasets import read_prompts
from bon.generation.models import BUNDLED
from bon.generation.shared import shared
from bon.job import Job
from bon.types import BonError, Prompt, Result

STRATEGIES = {
    "knockout": "knockout",
    "adaptive": "adaptive",
    "round_robin": "round-robin:rule=both",
}
"""Round robin asks in both orders, which is also what shows how often the judge flips."""
CHOICES = ("random", "majority", *STRATEGIES, "oracle")


@dataclass(frozen=True)
class Demo:
    """What the demo found."""

    results: dict[str, list[Result]]
    """For each strategy, a result a problem, in the order of the problems."""
    accuracy: dict[str, Interval]
    """For each of `CHOICES`, the share of problems that it gets right."""
    gains: dict[str, Interval]
    """Paired differences of knockout to a random candidate and to the majority."""


def problems(count: int) -> list[Prompt]:
    """The first `count` bundled problems, held out from the training of the bundled models."""
    known = [
        row for row in read_prompts(str(BUNDLED / "problems.jsonl")) if isinstance(row, Prompt)
    ]
    if not 1 <= count <= len(known):
        raise BonError(f"there are {len(known)} bundled problems: ask for 1 to {len(known)}")
    return known[:count]


async def play_demo(prompts: Sequence[Prompt], job: Job, observer: Observer) -> Demo:
    """Sample once, play every strategy on the same candidates, all in one pool.

    What several strategies ask is answered once, and counts for each.
    """
    results: dict[str, dict[int, Result]] = {name: {} for name in STRATEGIES}
    queues = {name: asyncio.Queue[Sampled]() for name in STRATEGIES}

    def share(sampled: Sampled) -> None:
        for queue in queues.values():
            queue.put_nowait(sampled)

    async def taken(name: str) -> AsyncIterator[Sampled]:
        for _ in prompts:
            yield await queues[name].get()

    async with (
        bare_errors(),
        both_engines(job, observer) as (policy, judge),
        shared(judge) as once,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(sample_all(prompts, job, policy, share, observer))
        for name in STRATEGIES:
            entry = replace(job, strategy=parse_strategy(STRATEGIES[name]))
            keep = results[name].__setitem__
            tasks.create_task(judge_all(taken(name), entry, once, keep, observer))
    in_order = {name: [found[i] for i in range(len(prompts))] for name, found in results.items()}
    return _evaluate(in_order, job.group_by)


def _evaluate(results: dict[str, list[Result]], group_by: str) -> Demo:
    right: dict[str, list[float]] = {
        name: [chosen_right(result) for result in found] for name, found in results.items()
    }
    for result in results["knockout"]:
        answer = result.prompt.answer or ""
        known = baselines(result.candidates, answer, group_by) if result.candidates else {}
        for name in ("random", "majority", "oracle"):
            right.setdefault(name, []).append(known.get(name, 0.0))
    gains = {
        name: interval([a - b for a, b in zip(right["knockout"], right[name], strict=True)])
        for name in ("random", "majority")
    }
    return Demo(results, {name: interval(right[name]) for name in CHOICES}, gains)


def draw_accuracy(demo: Demo, title: str, path: Path) -> None:
    """A picture of the accuracies with their intervals, in the format the path's ending names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    axes = figure.subplots()
    places = range(len(CHOICES))[::-1]
    values = [demo.accuracy[name] for name in CHOICES]
    means = [value.mean for value in values]
    reach = [
        [value.mean - value.low for value in values],
        [value.high - value.mean for value in values],
    ]
    played = [name in STRATEGIES for name in CHOICES]
    axes.barh(
        places,
        means,
        xerr=reach,
        color=["#2f6f9f" if p else "#c3cad1" for p in played],
        error_kw={"ecolor": "#555555", "capsize": 3, "lw": 1},
        height=0.66,
    )
    for place, value in zip(places, values, strict=True):
        axes.text(0.01, place, f"{value.mean:.1%}", va="center", ha="left", color="#111111")
    axes.set_yticks(places, [name.replace("_", " ") for name in CHOICES])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    figure.savefig(path)
