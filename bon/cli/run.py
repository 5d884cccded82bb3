"""`bon run`: the main job."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import click

from bon.cli.drawing import drawing, graph_folder
from bon.cli.keeping import keeping, ledger_options, resumed
from bon.cli.options import (
    fields_from,
    job_from,
    judge_options,
    load_prompts,
    policy_options,
    prompt_options,
    scorer_options,
    strategy_option,
    tell_bad,
)
from bon.types import Result


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
@scorer_options
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
    bon run "State the final answer to the following arithmetic problem: 42 - 25 - 73 ="
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
    job = job_from(settings, one_by_one=prompt is not None)
    prompts, others, bad = load_prompts(prompt, path, fields_from(settings), strict=strict)
    folder = None if graph_dir is None else graph_folder(graph_dir, graph_format)

    from bon.api import run
    from bon.cli.progress import Watcher
    from bon.datasets import OrderedWriter, Output
    from bon.draining import draining
    from bon.findings import findings
    from bon.reranking import ErrorLog
    from bon.summary import Total

    total = Total()
    with ExitStack() as stack:
        draw = None
        if folder is not None:
            draw = stack.enter_context(drawing(folder, graph_format))
        ledger = stack.enter_context(keeping("run", asked, path))
        watcher = stack.enter_context(Watcher(len(prompts), quiet=quiet))
        results: list[Result] = []
        writers: list[Output | OrderedWriter] = []
        if output is not None:
            to_file = stack.enter_context(Output(output, fresh=not resume))
            writers.append(to_file)
            log = stack.enter_context(ErrorLog(to_file.path))
            for bad_row in bad:
                log.add(bad_row)
        else:
            tell_bad(path, bad)
        human = not as_json and output is None and sys.stdout.isatty()
        if not human and (output is None or as_json):
            writers.append(OrderedWriter(sys.stdout.buffer))

        def emit(position: int, result: Result) -> None:
            row = {**others[position], **total.row(result)}
            for writer in writers:
                writer.write(position, row)
            if human:
                results.append(result)
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
    if not human:
        for finding in findings(total.summary()):
            watcher.say(f"· {finding}")
    if bad and output is not None:
        watcher.say(log.summary(len(bad)))
    if bad or watcher.failed:
        raise click.exceptions.Exit(3)
