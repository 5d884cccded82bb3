"""`bon show`: results in the terminal."""

from __future__ import annotations

from itertools import chain, islice

import click

from bon.types import BonError


@click.command()
@click.argument("results", metavar="RESULTS.jsonl")
@click.argument("identity", metavar="[ID]", required=False)
def command(results: str, identity: str | None) -> None:
    """Show one result: bracket or cross table, ranking with intervals, winning text.

    Without ID, a file of several results is shown at a glance, one line a prompt.
    """
    from rich.console import Console

    from bon.datasets import read_results
    from bon.report.terminal import find_result, show_result, show_run

    console = Console(highlight=False, emoji=False)
    stream = read_results(results)
    if identity is not None:
        show_result(find_result(stream, identity), console)
        return
    start = list(islice(stream, 2))
    if not start:
        raise BonError(f"there is no result in {results}")
    if len(start) == 1:
        show_result(start[0], console)
    else:
        show_run(chain(start, stream), console)
