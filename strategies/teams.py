"""Knockout of teams: those with equal final answers never meet."""

from __future__ import annotations

from collections.abc import Sequence

from bon.match import single
from bon.tournament import Rule, Table


async def teams(table: Table, *, rule: Rule = single) -> int:
    """Teams: a knockout in which equal final answers form a team, and no call is made inside one.

    A team stays in as long as one of its members does, so an answer that many give has as many lives; when
    one team is left, nothing more is asked.
    Matches: n - 1 at most, fewer the larger the teams. Stages: ceil(log2 n) at most under a one-stage rule.
    Source: PairJudge RM (arXiv 2501.13007).
    Choose it where final answers can be compared and candidates that share one differ in their working;
    give `--group-by none`, or all but one of each team stay out.
    """

    async def winner_of(seats: Sequence[int]) -> int:
        if len(seats) == 1:
            return seats[0]
        half = len(seats) // 2
        left, right = await table.together([winner_of(seats[:half]), winner_of(seats[half:])])
        if table.teams[left] == table.teams[right]:
            return left if table.coin("team", left, right) else right
        return await table.duel(left, right, rule)

    return await winner_of(table.seats)
