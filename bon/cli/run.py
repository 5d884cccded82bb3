"""`bon run`: the main job."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bon.cli.keeping import keeping, ledger_options, resumed
from bon.cli.options import (
    fields_from,
    job_from,
    judge_options,
    load_prompts,
    policy_options,
    prompt_options,
    strategy_option,
    tell_bad,
)
from bon.types import BonError, Result


@click.command()
@prompt_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where results go, in input order; its ending names the format (.jsonl, .parquet, ...).",
)
@policy_options
@judge_options
@strategy_option
@click.option("--graph", "graph_dir", metavar="DIR", help="Write one comparison graph a prompt.")
@click.option(
    "--graph-format",
    default="svg",
    show_default=True,
    metavar="svg|png|graphml|gexf|dot|json|mmd",
    help="Format of --graph.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON alone on stdout, also on a terminal.")
@ledger_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_context
def command(context: click.Context, /, **settings: Any) -> None:
    """Sample N candidates for each PROMPT, play a tournament, give the winner and how it came about.

    \b
    bon run "State the final answer to the following arithmetic problem: 4 + 13 - 8 ="
    bon run -f prompts.jsonl -o results.jsonl -n 16 --strategy knockout:rule=votes:3 --graph graphs/
    bon run -o results.jsonl --resume

    Exit codes: 0 done, 1 the run could not go on, 2 usage, 3 some prompts failed and the rest is
    written, 130 interrupted.
    """
    if settings["resume"]:
        settings = resumed(context, "run", settings["output"], ("output", "resume", "quiet"))
    _run(settings, **settings)


def _run(
    asked: Mapping[str, Any],
    prompt: str | None,
    path: str | None,
    output: str | None,
    graph_dir: str | None,
    graph_format: str,
    as_json: bool,
    quiet: bool,
    resume: bool,
    strict: bool,
    **settings: Any,
) -> None:
    job = job_from(settings)
    prompts, others, bad = load_prompts(prompt, path, fields_from(settings), strict=strict)
    draw = _graph_writer(graph_dir, graph_format)

    from bon.api import run
    from bon.cli.progress import Watcher
    from bon.datasets import OrderedWriter, Output
    from bon.draining import draining
    from bon.reranking import ErrorLog
    from bon.schema import result_to_json

    def row_of(position: int, result: Result) -> dict[str, Any]:
        return {**others[position], **result_to_json(result)}

    with ExitStack() as stack:
        ledger = stack.enter_context(keeping("run", asked, path))
        watcher = stack.enter_context(Watcher(len(prompts), quiet=quiet))
        results: list[Result] = []
        emits: list[Callable[[int, Result], None]] = []
        if output is not None:
            to_file = stack.enter_context(Output(output, fresh=not resume))
            emits.append(lambda position, result: to_file.write(position, row_of(position, result)))
            log = stack.enter_context(ErrorLog(to_file.path))
            for row in bad:
                log.add(row)
        else:
            tell_bad(path, bad)
        human = not as_json and output is None and sys.stdout.isatty()
        if human:
            emits.append(lambda _, result: results.append(result))
        elif output is None or as_json:
            to_stdout = OrderedWriter(sys.stdout.buffer)
            emits.append(
                lambda position, result: to_stdout.write(position, row_of(position, result))
            )

        def emit(position: int, result: Result) -> None:
            for one in emits:
                one(position, result)
            if result.error is not None:
                watcher.say(f"prompt {result.prompt.id}: {result.error}")
            elif draw is not None:
                draw(result)

        async def play() -> None:
            async with draining(watcher.say) as stop:
                await run(prompts, job, emit, watcher, ledger, stop)

        if prompts:
            asyncio.run(play())
    if human:
        from rich.console import Console

        from bon.report.terminal import show_result

        for result in results:
            show_result(result, Console())
    watcher.say(watcher.summary())
    if bad and output is not None:
        watcher.say(f"{len(bad):,} bad rows: {log.path}")
    if bad or watcher.failed:
        raise click.exceptions.Exit(3)


def _graph_writer(folder: str | None, ending: str) -> Callable[[Result], None] | None:
    if folder is None:
        return None
    from bon.graph import WRITERS, write_graph
    from bon.untrusted import file_stem

    if f".{ending}" not in WRITERS:
        known = ", ".join(known.removeprefix(".") for known in WRITERS)
        raise BonError(f"unknown graph format {ending!r}; known: {known}")
    target = Path(folder).expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BonError(f"cannot write {folder}: {error.strerror or error}") from error
    return lambda result: write_graph(result, target / f"{file_stem(result.prompt.id)}.{ending}")
