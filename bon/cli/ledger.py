"""`bon ledger`: look after a ledger of verdicts."""

from __future__ import annotations

import click

from bon.untrusted import one_line


@click.group()
def command() -> None:
    """Describe, compact or export a ledger: the verdicts that runs with --ledger keep."""


@command.command()
@click.argument("folder", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def info(folder: str, as_json: bool) -> None:
    """Say what is in a ledger. Safe while a run writes to it."""
    from dataclasses import asdict

    from bon.ledger.upkeep import describe

    found = describe(folder)
    if as_json:
        import orjson

        click.echo(orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2))
        return
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in found.outcomes.items())
    click.echo(f"verdicts     {found.verdicts:,}" + (f" ({outcomes})" if outcomes else ""))
    click.echo(f"candidates   of {found.candidate_sets:,} prompts")
    click.echo(f"on disk      {found.bytes / 1e6:,.1f} MB in {found.segments} segments")
    if found.duplicates or found.damaged_bytes:
        click.echo(
            f"compactable  {found.duplicates:,} duplicates, {found.damaged_bytes:,} damaged bytes"
        )
    for role, counts in (("judge", found.judges), ("policy", found.policies)):
        for identity, count in counts.items():
            click.echo(f"{role:<12} {one_line(identity, 200)}: {count:,}")


@command.command()
@click.argument("folder", metavar="DIR")
def compact(folder: str) -> None:
    """Compress a ledger and drop duplicates and damage. Nothing is lost if it is interrupted."""
    from bon.ledger.upkeep import compact

    before, after = compact(folder)
    click.echo(f"{folder}: {before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now", err=True)


@command.command()
@click.argument("folder", metavar="DIR")
@click.option("-o", "--output", metavar="PARQUET", required=True, help="Where the table goes.")
def export(folder: str, output: str) -> None:
    """Write all verdicts as a Parquet table. Safe while a run writes to the ledger."""
    from bon.ledger.upkeep import export

    click.echo(f"{output}: {export(folder, output):,} verdicts", err=True)
