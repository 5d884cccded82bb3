"""`bon report`: one self-contained page of a run."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import click

from bon.types import BonError


@click.command()
@click.argument("results", metavar="RESULTS.jsonl")
@click.option(
    "-o",
    "--output",
    metavar="HTML",
    default="report.html",
    show_default=True,
    help="Where the page goes.",
)
@click.option("--title", metavar="TEXT", help="The page's title; the file's name where absent.")
def command(results: str, output: str, title: str | None) -> None:
    """Make one self-contained page of results: no server, no network, safe to pass around."""
    from bon.datasets import read_results
    from bon.report.page import write_report

    stream = read_results(results)
    first = list(islice(stream, 1))
    if not first:
        raise BonError(f"there is no result in {results}")
    prompts = write_report(chain(first, stream), output, title or Path(results).stem)
    size = Path(output).expanduser().stat().st_size / 1e6
    click.echo(f"{output}: {prompts:,} prompts, {size:.1f} MB", err=True)
