"""`bon strategies`: what there is, what it costs, when to choose it."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects on stdout.")
def command(as_json: bool) -> None:
    """List the strategies: parameters, cost, stages, source, and when to choose each."""
    from bon.catalog import describe, known_strategies

    cards = [describe(name) for name in known_strategies()]
    if as_json:
        from dataclasses import asdict

        import orjson

        click.echo(orjson.dumps([asdict(card) for card in cards], option=orjson.OPT_INDENT_2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for column in ("strategy", "matches and stages", "choose it"):
        shown.add_column(column, overflow="fold")
    for card in cards:
        parameters = "\n".join(f"  {key}={value}" for key, value in card.parameters.items())
        cost = f"{card.matches}\nstages: {card.stages}" if card.stages else card.matches
        shown.add_row(
            Text.assemble((card.name, "bold"), f"\n{parameters}" if parameters else ""),
            Text(cost),
            Text(card.choose),
        )
    console = Console(highlight=False)
    console.print(shown)
    from bon.match import KNOWN_RULES

    console.print(f"rule: {KNOWN_RULES}", markup=False)
    console.print("Sources: bon strategies --json, or the files in strategies/.")
