"""`bon profile`: what results say about the judge, for `adaptive:profile=FILE`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bon.cli.options import writable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bon.profile import Profile


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
    judged twice: some hundred prompts of round-robin:rule=both teach most.
    """
    import orjson

    from bon.datasets import read_results
    from bon.posterior.learning import evidence, learn
    from bon.profile import UNKNOWN
    from bon.types import BonError

    if output is not None:
        writable(output)

    def evidences(profile: Profile) -> list[npt.NDArray[np.float64]]:
        return [
            evidence(len(result.candidates), result.comparisons, profile)
            for result in read_results(results)
            if result.comparisons
        ]

    rows = evidences(UNKNOWN)
    if not rows:
        raise BonError(f"there is no comparison in {results}: a profile is learned from them")
    profile = learn(rows)
    if profile.clear:  # what grades mean helps to tell what kind of judge this is
        graded = learn(evidences(profile))
        profile = replace(graded, clear=profile.clear, guess=profile.guess)
    text = orjson.dumps(profile.to_json(), option=orjson.OPT_INDENT_2) + b"\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).expanduser().write_bytes(text)
