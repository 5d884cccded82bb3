"""Blocks: what is learned across prompts enters two blocks later; a budget over all is never exceeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from bon import blocks as module
from bon.bench.runner import run
from bon.bench.simulated import Simulated
from bon.blocks import Blocks
from bon.catalog import Entrant, parse_strategy
from bon.judge.simulated import flips, simulated
from bon.profile import UNKNOWN
from bon.simulate import play
from bon.tournament import Tournament
from bon.types import BonError, VoidReason

Pick = Callable[[Sequence[int]], int]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of eight."""
    monkeypatch.setattr(module, "BLOCK", 8)


def played(text: str, flip_rates: Sequence[float], n: int, pick: Pick = min) -> dict[int, int]:
    """Comparisons of each prompt; of the prompts that are ready, `pick` says which ends next."""
    blocks = Blocks(parse_strategy(text), [n] * len(flip_rates))
    waiting, spent = set(range(len(flip_rates))), {}
    while waiting:
        index = pick([i for i in sorted(waiting) if blocks.ready(i)])
        waiting.remove(index)
        judge = simulated(
            flips(range(n), flip_rates[index]), seed=index, voids={VoidReason.FAILED: 0.05}
        )
        comparisons = play(
            Tournament(blocks.strategy(index), n, seed=str(index)), judge
        ).comparisons
        blocks.played(index, n, comparisons)
        spent[index] = len(comparisons)
    return dict(sorted(spent.items()))


@pytest.mark.usefixtures("short")
def test_a_block_waits_for_the_one_before_the_last_and_for_no_other() -> None:
    blocks = Blocks(parse_strategy("adaptive"))
    assert blocks.ready(0)
    assert blocks.ready(15)
    assert not blocks.ready(16)
    for index in range(7):
        blocks.played(index, 3, ())
    assert not blocks.ready(16)
    blocks.played(7, 3, ())
    assert blocks.ready(16)
    assert not blocks.ready(24)


@pytest.mark.usefixtures("short")
def test_the_first_two_blocks_know_nothing_and_the_third_knows_the_first() -> None:
    blocks = Blocks(parse_strategy("adaptive"))
    for index in range(8):
        comparisons = play(
            Tournament(blocks.strategy(index), 4, seed=str(index)),
            simulated(flips(range(4), 0.1), seed=index, bias=1.0),
        ).comparisons
        blocks.played(index, 4, comparisons)
    assert "profile" not in blocks.settings(8)
    assert blocks.settings(16)["profile"] != UNKNOWN


def test_what_grades_mean_is_learned_at_first_and_never_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "RECENT", 1)
    blocks = Blocks(parse_strategy("adaptive:error=0.01"))
    for index in range(80):
        judge = simulated(flips(range(5), 0.2), seed=index, graded=1.0)
        tournament = Tournament(blocks.strategy(index), 5, seed=str(index))
        blocks.played(index, 5, play(tournament, judge).comparisons)
    profiles = [blocks.settings(16 * block)["profile"] for block in (3, 4, 5)]
    assert profiles[0].clear != ()
    for later in profiles[1:]:  # position bias, which they are read by, goes on being learned
        assert later.clear == pytest.approx(profiles[0].clear, abs=0.02)
    assert profiles[2].worlds != profiles[1].worlds


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("text", ["adaptive", "adaptive:total_comparisons=400"])
def test_the_order_in_which_prompts_end_changes_nothing(text: str) -> None:
    rates = [0.1] * 40
    in_order = played(text, rates, 4)
    assert played(text, rates, 4, max) == in_order
    assert played(text, rates, 4, random.Random(1).choice) == in_order


def test_a_strategy_that_learns_nothing_is_played_as_it_is_and_never_waits() -> None:
    entrant = parse_strategy("knockout")
    blocks = Blocks(entrant)
    assert not blocks.learns
    assert blocks.ready(10**6)
    assert blocks.strategy(10**6) is entrant


def test_a_profile_that_was_given_stays() -> None:
    entrant = Entrant("adaptive", {}, parse_strategy("adaptive").function, {"profile": UNKNOWN})
    assert not Blocks(entrant).learns


@pytest.mark.parametrize("total", [1, 50, 160, 700, 10_000])
def test_the_total_is_never_exceeded(total: int) -> None:
    spent = played(f"adaptive:total_comparisons={total}", [0.3] * 40, 5)
    assert sum(spent.values()) <= total


def test_the_total_is_spent_where_it_is_scarce() -> None:
    spent = played("adaptive:total_comparisons=1200", [0.3] * 80, 5)
    assert sum(spent.values()) > 0.8 * 1200


def test_a_total_that_is_more_than_enough_changes_nothing() -> None:
    entrant = parse_strategy("adaptive:total_comparisons=100000")
    assert Blocks(entrant, [6] * 30).settings(0)["price"] == 0.0


def test_the_next_comparison_goes_to_the_prompts_where_it_tells_more() -> None:
    hopeless, clear = 0.48, 0.15
    rates = [hopeless, clear] * 40
    spent = played("adaptive:total_comparisons=1000", rates, 5)
    free = played("adaptive", rates, 5)

    def ratio(calls: dict[int, int]) -> float:
        return sum(calls[i] for i in range(0, 80, 2)) / sum(calls[i] for i in range(1, 80, 2))

    assert ratio(spent) < 0.7 * ratio(free)


@pytest.mark.parametrize(
    ("text", "sizes", "says"),
    [
        ("adaptive:total_comparisons=0", [3, 3], "give 1 or more"),
        ("adaptive:total_comparisons=9", [], "give a file, or max_comparisons for each prompt"),
    ],
)
def test_a_budget_that_makes_no_sense_is_one_line(text: str, sizes: list[int], says: str) -> None:
    with pytest.raises(BonError, match=says):
        Blocks(parse_strategy(text), sizes)


@pytest.mark.usefixtures("short")
def test_a_benchmark_plays_in_blocks_however_many_processes_it_has() -> None:
    world = Simulated(n=4, size=40, flip=0.1, seed=3)
    texts = ["adaptive", "adaptive:total_comparisons=300"]
    alone, together = (run(world, texts, jobs, lambda *_: None) for jobs in (1, 2))
    for text in texts:
        assert (alone[text]["comparisons"] == together[text]["comparisons"]).all()
        assert (alone[text]["right"] == together[text]["right"]).all()
