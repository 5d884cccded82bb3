"""`bon demo`: the main job on bundled problems with bundled models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bon.demo import Demo
    from bon.summary import Summary
    from bon.types import Result

FOLDER = Path("bon-demo")


@click.command()
@click.option("--problems", "count", default=200, show_default=True, help="How many.")
@click.option(
    "-n",
    "n",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Candidates a problem.",
)
@click.option("--seed", default=0, show_default=True, help="Of candidates and draws.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def command(count: int, n: int, seed: int, as_json: bool, quiet: bool) -> None:
    """Sample N answers to held-out arithmetic problems, let tournaments pick, and check against truth.

    Leaves bon-demo/ with the results of all tournaments and a picture of the accuracies.
    """
    from bon.cli.options import writable
    from bon.cli.progress import Watcher
    from bon.demo import STRATEGIES, draw_accuracy, play_demo, problems
    from bon.job import Job

    prompts = problems(count)
    files = {name: FOLDER / f"{name.replace('_', '-')}.jsonl" for name in STRATEGIES}
    for file in files.values():
        writable(str(file))
    job = Job(n=n, seed=seed, group_by="number", share_device=True)
    with Watcher(count, tournaments=count * len(STRATEGIES), quiet=quiet) as watcher:
        demo = asyncio.run(play_demo(prompts, job, watcher))
    summaries = {name: _write(file, demo.results[name]) for name, file in files.items()}
    picture = FOLDER / "accuracy.png"
    draw_accuracy(demo, f"{count} problems, best of {n}, share right with 95% interval", picture)
    figures = _figures(demo, summaries, watcher.judge_tokens, watcher.seconds)
    if as_json:
        import orjson

        click.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    else:
        _show(demo, summaries, figures, count, n)
    watcher.say(f"results and picture: {FOLDER}/ (look closer: bon show {files['knockout']})")


def _write(file: Path, results: Sequence[Result]) -> Summary:
    from bon.datasets import OrderedWriter
    from bon.summary import Total

    total = Total()
    with file.open("wb") as stream:
        writer = OrderedWriter(stream)
        for position, result in enumerate(results):
            writer.write(position, total.row(result))
    return total.summary()


def _figures(
    demo: Demo, summaries: dict[str, Summary], judge_tokens: int, seconds: float
) -> dict[str, Any]:
    from dataclasses import asdict

    comparisons = sum(s.cost["comparisons"] for s in summaries.values())
    voids = sum(s.voids.hits for s in summaries.values())
    return {
        **{name: round(value.mean, 4) for name, value in demo.accuracy.items()},
        "comparisons": comparisons,
        "judge_tokens": judge_tokens,
        "void_rate": round(voids / comparisons, 4) if comparisons else 0.0,
        "seconds": round(seconds, 1),
        "flip_rate": summaries["round_robin"].flips.value,
        "intervals": {name: [v.low, v.high] for name, v in demo.accuracy.items()},
        "knockout_minus": {name: asdict(gain) for name, gain in demo.gains.items()},
        "by_strategy": {
            name: {
                "comparisons": s.cost["comparisons"],
                "judge_tokens": s.cost["judge_output_tokens"],
                "void_rate": s.voids.value,
            }
            for name, s in summaries.items()
        },
    }


def _show(
    demo: Demo, summaries: dict[str, Summary], figures: dict[str, Any], count: int, n: int
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from bon.demo import CHOICES

    console = Console()
    table = Table(title=f"{count} problems, best of {n}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("choice")
    table.add_column("right", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column("comparisons", justify="right")
    table.add_column("judge tokens", justify="right")
    for name in CHOICES:
        value = demo.accuracy[name]
        cost = summaries[name].cost if name in summaries else {}
        table.add_row(
            name.replace("_", " "),
            f"{value.mean:.1%}",
            f"{value.low:.1%} – {value.high:.1%}",
            f"{cost['comparisons']:,}" if cost else "",
            f"{cost['judge_output_tokens']:,}" if cost else "",
        )
    console.print(table)
    for name, gain in demo.gains.items():
        other = {"random": "a random candidate", "majority": "majority voting"}[name]
        console.print(
            f"knockout is {100 * gain.mean:+.1f} points above {other}"
            f" ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})",
            highlight=False,
        )
    flips = figures["flip_rate"]
    console.print(
        f"void rate {figures['void_rate']:.1%},"
        f" flip rate {'unknown' if flips is None else f'{flips:.1%}'} (the two orders of a pair disagree),"
        f" {figures['seconds']:.0f} s",
        highlight=False,
    )
