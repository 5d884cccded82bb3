"""The plain loop: plays one tournament to its end, without an event loop.

Tests use it to answer in every order there is, the benchmark to play a million comparisons.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bon.judge.simulated import SeatJudge
from bon.tournament import Ask, Tournament


def play(
    tournament: Tournament, judge: SeatJudge, pick: Callable[[int], int] | None = None
) -> Tournament:
    """Play the tournament to its end and give it back; calls that were dropped are never made.

    Calls are answered as they are asked for, or, with `pick`, in the order it chooses: given the number
    of open calls, it says which comes next (`random.Random(1).randrange` for an arbitrary order).
    """
    open_calls: OrderedDict[Ask, None] = OrderedDict()
    step = tournament.start()
    while True:
        open_calls.update(dict.fromkeys(step.asked))
        for ask in step.dropped:
            open_calls.pop(ask, None)
        if not open_calls:
            return tournament
        if pick:
            open_calls.move_to_end(list(open_calls)[pick(len(open_calls))], last=False)
        ask, _ = open_calls.popitem(last=False)
        step = tournament.answer(ask, judge(ask.first, ask.second, ask.repeat, ask.attempt))
