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
    bon profile ranked.jsonl -o judge.json
    bon rerank more.jsonl --strategy adaptive:profile=judge.json -o more-ranked.jsonl

    The profile holds its position bias, how often it ties and flips, what kinds of errors it makes, and
    what its graded verdicts are worth; nothing of any candidate.
    """
    import orjson

    from bon.datasets import read_results
    from bon.posterior.learning import evidence, learn
    from bon.types import BonError

    if output is not None:
        writable(output)
    rows = [
        evidence(len(result.candidates), result.comparisons)
        for result in read_results(results)
        if result.comparisons
    ]
    if not rows:
        raise BonError(f"there is no comparison in {results}: a profile is learned from them")
    text = orjson.dumps(learn(rows).to_json(), option=orjson.OPT_INDENT_2) + b"\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).expanduser().write_bytes(text)
