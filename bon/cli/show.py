"""`bon show`: results in the terminal."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import click

from bon.types import BonError


@click.command()
@click.argument("results", metavar="RESULTS.jsonl")
@click.argument("identity", metavar="[ID]", required=False)
@click.option(
    "--graph",
    "graph",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the result's comparison graph instead; its ending names the format: .svg, .png, "
    ".graphml, .gexf, .dot, .json or .mmd.",
)
def command(results: str, identity: str | None, graph: Path | None) -> None:
    """Show one result: bracket or cross table, ranking with intervals, winning text.

    Without ID, a file of several results is shown at a glance, one line a prompt.
    """
    from rich.console import Console

    from bon.datasets import read_results
    from bon.report.terminal import find_result, show_result, show_run

    if graph is not None:
        from bon.graph import write_graph, writer_of

        writer_of(graph)
    stream = read_results(results)
    start = list(islice(stream, 2)) if identity is None else [find_result(stream, identity)]
    if not start:
        raise BonError(f"there is no result in {results}")
    console = Console(highlight=False, emoji=False)
    if graph is not None:
        if len(start) > 1:
            raise BonError(f"{results} has several results: say by its ID whose graph to write")
        write_graph(start[0], graph)
    elif len(start) == 1:
        show_result(start[0], console)
    else:
        show_run(chain(start, stream), console)
