"""`bon rerank`: tournaments over candidates that are there already, at any scale."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from typing import Any

import click

from bon.cli.keeping import keeping, ledger_options, resumed
from bon.cli.options import (
    field_options,
    fields_from,
    job_from,
    judge_options,
    scorer_options,
    strategy_option,
)
from bon.datasets import BadRow, OrderedWriter, Output
from bon.reranking import ErrorLog, Rows, Writer, candidate_counts
from bon.types import BonError


@click.command()
@click.argument("source", metavar="INPUT")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where results go, in input order; its ending names the format: .jsonl, .json, .csv,"
    " .parquet, and .gz or .zst after the first three. Default: JSON lines on stdout.",
)
@field_options
@judge_options
@scorer_options
@strategy_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws of the bracket.")
@ledger_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_context
def command(context: click.Context, /, **settings: Any) -> None:
    """Play a tournament for every row of INPUT that has candidates, and write the row with its result.

    \b
    bon rerank candidates.parquet -o ranked.parquet --judge Reward-Reasoning/RRM-7B
    bon rerank samples.jsonl.gz --prompt-field question --candidates-field responses -o ranked.jsonl
    bon rerank ranked.jsonl --resume

    INPUT is JSONL, JSON, CSV, Parquet, any of them with .gz or .zst, a folder or a quoted glob of
    those, a Hugging Face data set on disk, or - for JSONL on stdin. Rows of RewardBench 2,
    UltraFeedback and lm-eval --log_samples are known by their looks. Rows may differ in how many
    candidates they have; one wins at no cost, equal ones play once, an empty one plays, and none
    makes a bad row.

    A bad row goes to FILE.errors.jsonl with its line and reason. Exit codes: 0 done, 1 the run could
    not go on, 2 usage, 3 some rows were bad and the rest is written, 130 interrupted.
    """
    if settings["resume"]:
        output = settings["output"] or settings["source"]
        may_give = ("source", "output", "resume", "quiet")
        settings = resumed(context, "rerank", output, may_give)
    failed = _rerank(settings)
    if failed:
        raise click.exceptions.Exit(3)


def _rerank(settings: dict[str, Any]) -> int:
    """Do it; gives the number of bad rows."""
    job = job_from(settings)
    source, output, quiet = settings["source"], settings["output"], settings["quiet"]
    fields = fields_from(settings)
    from bon.api import rerank
    from bon.cli.progress import Watcher
    from bon.draining import draining
    from bon.findings import findings

    with ExitStack() as stack:
        ledger = stack.enter_context(keeping("rerank", settings, source))
        watcher = stack.enter_context(Watcher(None, quiet=quiet))
        writer: Writer = OrderedWriter(sys.stdout.buffer)
        log = None
        if output is not None:
            file = stack.enter_context(Output(output, fresh=not settings["resume"]))
            log = stack.enter_context(ErrorLog(file.path))
            writer = file

        def on_bad(row: BadRow) -> None:
            if log is not None:
                log.add(row)
            else:
                watcher.say(f"{row.file or source}, line {row.line}: {row.reason}; skipped")

        budget = "total_comparisons" in job.strategy.arguments
        sizes = candidate_counts(source, fields) if budget and source != "-" else []
        rows = Rows(source, fields, writer, on_bad, strict=settings["strict"])

        async def run() -> None:
            async with draining(watcher.say) as stop:
                await rerank(aiter(rows), job, rows.emit, watcher, ledger, stop, sizes)

        asyncio.run(run())
        if not rows.read:
            raise BonError(f"there is no row in {source}")
    watcher.say(watcher.summary())
    for finding in findings(rows.total.summary()):
        watcher.say(f"· {finding}")
    if ledger is not None and ledger.hits:
        watcher.say(f"{ledger.hits:,} verdicts from the ledger, {ledger.written:,} new")
    if log is not None and rows.bad:
        watcher.say(log.summary(rows.bad))
    return rows.bad + watcher.failed
