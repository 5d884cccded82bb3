"""`bon export`: results as training data."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import click


@click.command()
@click.argument("results", metavar="RESULTS")
@click.option(
    "--format",
    "name",
    default="preference",
    show_default=True,
    metavar="preference|best-of-n|rewards",
    help="Chosen and rejected answers; prompts with their winners; every candidate with its reward.",
)
@click.option(
    "--pairs",
    default="best-worst",
    show_default=True,
    metavar="best-worst|best-rest|decided",
    help="Of --format preference: winner against last, winner against each other, or every match"
    " that verdicts decided.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Its ending names the format (.jsonl, .parquet, ...). Default: JSON lines on stdout.",
)
def command(results: str, name: str, pairs: str, output: str | None) -> None:
    """Turn the RESULTS of bon run or bon rerank into data to train on.

    \b
    bon export ranked.jsonl --format preference -o dpo.jsonl
    bon export ranked.parquet --format rewards -o rewards.parquet
    """
    from bon.datasets import OrderedWriter, Output, keep_apart, read_results
    from bon.export import exporter

    rows_of = exporter(name, pairs)
    keep_apart(results, output)
    read = written = 0
    with ExitStack() as stack:
        writer: OrderedWriter | Output = OrderedWriter(sys.stdout.buffer)
        if output is not None:
            writer = stack.enter_context(Output(output))
        for result in read_results(results):
            read += 1
            for row in rows_of(result):
                writer.write(written, row)
                written += 1
    click.echo(f"{read:,} results, {written:,} rows", err=True)
