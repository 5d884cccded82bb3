"""`bon profile`: what results say about the judge, for `adaptive:profile=FILE`."""

from __future__ import annotations

from pathlib import Path

import click

from bon.cli.options import writable


@click.command()
@click.argument("results", metavar="RESULTS")
@click.option("-o", "--output", metavar="FILE", help="Default: stdout.")
def command(results: str, output: str | None) -> None:
    """Learn from the RESULTS of bon run or bon rerank how their judge judges.

    \b
    bon profile judged.jsonl -o judge.json
    bon rerank more.jsonl --strategy adaptive:profile=judge.json -o more-ranked.jsonl

    The profile holds its position bias, how often it ties and flips, what kinds of errors it makes, and
    what the grades of its verdicts mean; nothing of any candidate. Grades are learned where pairs were
    judged in both orders: some hundred prompts of round-robin:rule=both teach most. From what adaptive
    played by a profile, they are not: it chose whom to ask again by them.
    """
    import orjson

    from bon.datasets import read_results
    from bon.posterior.learning import study
    from bon.types import BonError

    if output is not None:
        writable(output)

    profile = study(read_results(results))
    if profile is None:
        raise BonError(f"there is no comparison in {results}: a profile is learned from them")
    text = orjson.dumps(profile.to_json(), option=orjson.OPT_INDENT_2) + b"\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).expanduser().write_bytes(text)
