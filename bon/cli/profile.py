"""`bon profile`: what results say about the judge, for `adaptive:profile=FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from bon.cli.options import writable

if TYPE_CHECKING:
    from bon.types import Comparison, Result


class _Tournament(NamedTuple):
    """What there is to learn from of a result, without its texts."""

    n: int
    comparisons: Sequence[Comparison]
    steered: bool
    """Whether grades may have had a say in what was asked."""

    @classmethod
    def of(cls, result: Result) -> _Tournament:
        """That of one result."""
        bare = [
            replace(it, verdict=replace(it.verdict, reasoning="", text=""))
            for it in result.comparisons
        ]
        strategy = str(result.provenance.get("strategy", ""))
        steered = strategy.startswith("adaptive") and "profile=unknown" not in strategy
        return cls(len(result.candidates), bare, steered)


@click.command()
@click.argument("results", metavar="RESULTS")
@click.option("-o", "--output", metavar="FILE", help="Default: stdout.")
def command(results: str, output: str | None) -> None:
    """Learn from the RESULTS of bon run or bon rerank how their judge judges.

    \b
    bon profile ranked.jsonl -o judge.json
    bon rerank more.jsonl --strategy adaptive:profile=judge.json -o more-ranked.jsonl

    The profile holds its position bias, how often it ties and flips, what kinds of errors it makes, and
    what the grades of its verdicts mean; nothing of any candidate. Grades are learned where pairs were
    judged in both orders: some hundred prompts of round-robin:rule=both teach most. From what adaptive
    played by a profile, they are not: it chose whom to ask again by them.
    """
    import orjson

    from bon.datasets import read_results
    from bon.posterior.learning import evidence, learn
    from bon.types import BonError

    if output is not None:
        writable(output)

    tournaments = [_Tournament.of(result) for result in read_results(results) if result.comparisons]
    if not tournaments:
        raise BonError(f"there is no comparison in {results}: a profile is learned from them")
    profile = learn([evidence(t.n, t.comparisons, steered=t.steered) for t in tournaments])
    if profile.clear:  # what grades mean helps to tell what kind of judge this is
        graded = learn([evidence(t.n, t.comparisons, profile) for t in tournaments])
        profile = replace(graded, clear=profile.clear, guess=profile.guess)
    text = orjson.dumps(profile.to_json(), option=orjson.OPT_INDENT_2) + b"\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).expanduser().write_bytes(text)
