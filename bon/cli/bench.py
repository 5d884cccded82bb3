"""`bon bench`: the same strategies in three worlds, one report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bon.cli.options import job_from, judge_options, load_prompts, policy_options, tell_bad

if TYPE_CHECKING:
    from bon.bench.played import World
    from bon.bench.report import Limit, Row
    from bon.types import Prompt

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SINGLE = (
    "random",
    "knockout",
    "hybrid",
    "double-elimination:reset=false",
    "swiss",
    "sequential-halving",
    "pivot",
    "round-robin",
    "adaptive",
)
"""What is played where no strategy is named; `adaptive` where it is installed."""
REPEATED = ("knockout:rule=votes:3", "knockout:rule=escalate", "knockout:rule=sequential:0.05")
LIVE = (
    "random",
    "majority",
    "knockout",
    "teams",
    "swiss:rounds=6",
    "pivot",
    "adaptive",
    "round-robin:rule=both",
    "oracle",
)
ONCE = ("random", "knockout", "hybrid", "swiss", "sequential-halving", "round-robin")
"""Those in which no two meet twice."""
ORDERS = ("knockout:rule=both", "round-robin:rule=both")


def _shared(*defaults: str) -> Decorator:
    options = [
        click.option(
            "--strategy",
            "strategies",
            multiple=True,
            metavar="NAME:KEY=VALUE,...",
            help=f"Repeatable. Default: {', '.join(defaults)}.",
        ),
        click.option(
            "--baseline",
            metavar="NAME:KEY=VALUE,...",
            help="Give the paired difference of every strategy to this one.",
        ),
        click.option("--json", "as_json", is_flag=True, help="A JSON list of objects on stdout."),
        click.option(
            "--plot", metavar="FILE", help="Draw accuracy against cost (.png, .svg or .pdf)."
        ),
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_keep = click.option(
    "--keep",
    metavar="FILE",
    help="Keep what is done there; the same command goes on where it stopped.",
)
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Of all draws.")
_jobs = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one a core",
    help="Processes; how many makes no difference to the result.",
)


@click.group()
def command() -> None:
    """Measure strategies: how often they are right, and what that costs.

    \b
    bon bench simulated -n 16 --flip 0.2 --strategy knockout:rule=votes:3 --strategy pivot:k=2
    bon bench recorded verdicts.jsonl.gz --strategy knockout:rule=both --baseline round-robin
    bon bench live --problems 200 -n 8 --strategy round-robin:rule=both

    Without --strategy, a choice of them is measured. With --json, each row has at least `strategy`,
    `accuracy`, `low`, `high` (95% bootstrap over prompts), `comparisons`, `stages`, and `limit` where it is
    defined: what any strategy needs under independent noise to err as rarely as `limit_error`.
    """


@command.command()
@click.option("-n", "n", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--prompts", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option(
    "--world",
    "kind",
    type=click.Choice(["order", "strengths", "labels"]),
    default="order",
    show_default=True,
    help="A total order; Bradley-Terry strengths; right and wrong.",
)
@click.option(
    "--flip",
    default=0.2,
    show_default=True,
    help="How often the worse of two is named (order, labels).",
)
@click.option("--spread", default=1.0, show_default=True, help="Deviation of the strengths.")
@click.option("--right", default=0.4, show_default=True, help="Share of right candidates (labels).")
@click.option(
    "--bias", default=0.0, show_default=True, help="Log-odds in favour of the first slot."
)
@click.option("--ties", default=0.0, show_default=True, help="Share of calls that end in a tie.")
@click.option("--voids", default=0.0, show_default=True, help="Share of calls without a verdict.")
@click.option(
    "--graded",
    default=0.0,
    show_default=True,
    help="0: bare verdicts; 1: with a calibrated probability; above: overconfident.",
)
@click.option(
    "--persistence",
    default=0.0,
    show_default=True,
    help="Share of a pair's error that all its repeats have in common.",
)
@_seed
@_jobs
@_keep
@_shared(*SINGLE, *REPEATED)
def simulated(
    n: int,
    prompts: int,
    kind: str,
    jobs: int,
    seed: int,
    strategies: Sequence[str],
    **settings: Any,
) -> None:
    """Candidates of known worth and a judge made of probabilities.

    `--strategy exact-posterior:error=0.05` is a yardstick for n up to 16 that is told the flip rate.
    """
    from bon.bench.simulated import Simulated

    report = {key: settings.pop(key) for key in ("baseline", "as_json", "plot", "quiet", "keep")}
    world = Simulated(n=n, size=prompts, kind=kind, seed=seed, **settings)
    title = f"simulated, {prompts:,} prompts, n={n}, {kind}"
    title += "" if kind == "strengths" else f", flip {world.flip:g}"
    texts = strategies or _defaults(*SINGLE, *REPEATED)
    _measure(world, texts, jobs, title, "right", **report)


@command.command()
@click.argument("file")
@click.option(
    "--labels",
    metavar="FILE",
    help="Truth: rows with `prompt_id`, `candidate`, `correct`. Default: the full double round robin.",
)
@click.option(
    "--template",
    metavar="NAME",
    help="Read the verdicts from `text` with this judge template's parser.",
)
@click.option(
    "--split",
    is_flag=True,
    help="Decide on one order of each pair, and let the other orders say who was best.",
)
@_seed
@_jobs
@_keep
@_shared(*SINGLE, *ORDERS)
def recorded(
    file: str,
    labels: str | None,
    template: str | None,
    split: bool,
    jobs: int,
    seed: int,
    strategies: Sequence[str],
    **report: Any,
) -> None:
    """A judge replayed from the verdicts in FILE (JSONL, or gzipped).

    A row has `prompt_id`, `first`, `second`, and `score` (1, 2, 3 = tie, -1 = void) or `outcome`, and may have
    `text` and `output_tokens`. Truth from the round robin is the mean score over the cells that are not
    void; who shares the highest is right. A VOID is final; a comparison that was never recorded, or is asked
    for twice, is an error.
    """
    from bon.bench.recorded import Recorded, read_recordings
    from bon.judge.template import load_template

    recordings = read_recordings(
        file, template=load_template(template) if template else None, labels=labels
    )
    world = Recorded(recordings, seed, split)
    title = f"recorded, {world.size:,} prompts of {Path(file).name}"
    title += ", decided on one order and scored against the other" if split else ""
    texts = strategies or _defaults(*(ONCE if split else (*SINGLE, *ORDERS)))
    _measure(world, texts, jobs, title, "right" if labels else "agreement", **report)


@command.command()
@click.option(
    "-f",
    "--file",
    "path",
    metavar="JSONL",
    help="Prompts with `answer`, or `candidates` with `correct`.",
)
@click.option(
    "--problems",
    "count",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="How many.",
)
@policy_options
@judge_options
@click.option(
    "--ledger",
    "folder",
    metavar="DIR",
    help="Keep candidates and verdicts there; the same command goes on where it stopped.",
)
@_shared(*LIVE)
def live(
    path: str | None, count: int, folder: str | None, strategies: Sequence[str], **settings: Any
) -> None:
    """Real candidates and a real judge, on vLLM; bundled models and problems unless told otherwise.

    Candidates are sampled once and every strategy plays on them, all in one pool. A verdict that two
    strategies ask for is made once and counts for both. Without -f, the problems are the bundled ones.
    """
    import asyncio

    from bon.bench.live import no_limit, play_live, with_truth
    from bon.bench.report import rows
    from bon.catalog import parse_strategy
    from bon.cli.progress import Watcher
    from bon.ledger import Ledger

    report = {key: settings.pop(key) for key in ("as_json", "plot")}
    baseline, quiet = settings.pop("baseline"), settings.pop("quiet")
    _ready_to_draw(report["plot"])
    texts = _asked(strategies or _defaults(*LIVE), baseline)
    entrants = {text: parse_strategy(text) for text in texts}
    job = job_from(settings)
    prompts = _problems(path, count)
    with (
        Ledger(folder) if folder else nullcontext() as ledger,
        Watcher(len(prompts), tournaments=len(prompts) * len(texts), quiet=quiet) as watcher,
    ):
        played = asyncio.run(play_live(with_truth(prompts), entrants, job, watcher, ledger))
    title = (
        f"live, {len(prompts):,} prompts, n={job.n}, {job.policy.model} judged by {job.judge.model}"
    )
    _show(rows(no_limit, played, baseline), no_limit, title, "right", **report)


def _problems(path: str | None, count: int) -> list[Prompt]:
    if path is None:
        from bon.demo import problems

        return problems(count)
    loaded = load_prompts(None, path)
    tell_bad(path, loaded.bad)
    return loaded.prompts[:count]


def _defaults(*texts: str) -> list[str]:
    from bon.catalog import known_strategies, parse_notation

    return [text for text in texts if parse_notation(text)[0] in known_strategies()]


def _measure(
    world: World,
    texts: Sequence[str],
    jobs: int,
    title: str,
    about: str,
    *,
    baseline: str | None,
    as_json: bool,
    plot: str | None,
    quiet: bool,
    keep: str | None,
) -> None:
    from bon.bench.kept import Kept
    from bon.bench.report import rows
    from bon.bench.runner import run

    _ready_to_draw(plot)
    asked = _asked(texts, baseline)
    kept = Kept(keep, repr(world)) if keep else None
    with closing(kept) if kept else nullcontext(), _Progress(asked, world.size, quiet) as progress:
        played = run(world, asked, jobs, progress.told, kept)
    found = rows(world.limit, played, baseline)
    _show(found, world.limit, title, about, as_json=as_json, plot=plot)


def _asked(texts: Sequence[str], baseline: str | None) -> list[str]:
    return list(dict.fromkeys([*texts, *([baseline] if baseline else [])]))


def _ready_to_draw(plot: str | None) -> None:
    if plot is not None:
        from bon.bench.picture import check_ending
        from bon.cli.options import writable

        check_ending(plot)
        writable(plot)


def _show(
    found: Sequence[Row], limit: Limit, title: str, about: str, *, as_json: bool, plot: str | None
) -> None:
    if plot is not None:
        from bon.bench.picture import draw

        draw(found, limit, title, plot)
    if as_json:
        import orjson

        rows = [row.to_json() for row in found]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    from rich.console import Console

    from bon.bench.report import table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(table(found, title, about, console.width))


class _Progress:
    """On a terminal a bar a strategy with the time left; elsewhere a line as each is done."""

    def __init__(self, texts: Sequence[str], prompts: int, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._prompts = prompts
        self._done = dict.fromkeys(texts, 0)
        self._calls = dict.fromkeys(texts, 0)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[calls]:,} comparisons"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._tasks = {text: self._bars.add_task(text, total=prompts, calls=0) for text in texts}

    def __enter__(self) -> _Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def told(self, text: str, prompts: int, comparisons: int) -> None:
        self._done[text] += prompts
        self._calls[text] += comparisons
        self._bars.update(self._tasks[text], advance=prompts, calls=self._calls[text])
        if self._done[text] == self._prompts and not self._live:
            line = f"{text}: {self._prompts:,} prompts, {self._calls[text]:,} comparisons"
            self._console.print(line, highlight=False, markup=False)
