"""What adaptive strategies believe, against sums over everything that could be the case."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from bon.posterior.best import BestPosterior
from bon.posterior.table import TablePosterior
from bon.posterior.worlds import FLIPS, WORLDS, World
from bon.profile import UNKNOWN, Profile

Told = list[tuple[int, int, float]]


def verdicts(n: int, count: int, seed: int, flip: float = 0.2) -> Told:
    """Verdicts on random pairs, where the lower number is the better candidate."""
    rng = np.random.default_rng(seed)
    pairs = [rng.choice(n, 2, replace=False) for _ in range(count)]
    return [(int(a), int(b), float((a < b) == (rng.random() > flip))) for a, b in pairs]


def believe(n: int, told: Told, worlds: tuple[World, ...] = WORLDS) -> BestPosterior:
    posterior = BestPosterior(n, worlds=worlds, profile=Profile(bias_sd=0.0))
    for first, second, score in told:
        posterior.tell(first, second, score)
    return posterior


ORDERED = tuple(world for world in WORLDS if world.top is None)
TIERED = tuple(world for world in WORLDS if world.top is not None)


def summed(
    n: int, told: Told, worlds: tuple[World, ...] = ORDERED
) -> tuple[list[float], list[float]]:
    """Chance to be best, and to be among the best: a sum over orders, worlds, and the fate of each pair.

    Without position bias, which the posterior would learn.
    """
    best, among, total = [0.0] * n, [0.0] * n, 0.0
    for world, order in product(worlds, permutations(range(n))):
        chance, equal_to_top = world.prior, dict.fromkeys(range(n), 0.0)
        for above, below in ((a, b) for i, a in enumerate(order) for b in order[i + 1 :]):
            scores = [
                s if first == above else 1.0 - s
                for first, second, s in told
                if {first, second} == {above, below}
            ]
            fates = [
                share * np.prod([(1.0 - rate) ** s * rate ** (1.0 - s) for s in scores_of])
                for misled, scores_of in (
                    (world.misled, [1.0 - s for s in scores]),
                    (1.0 - world.misled, scores),
                )
                for rate, share in zip(FLIPS, misled * np.array(world.law), strict=True)
            ]
            chance *= sum(fates)
            if above == order[0]:
                close = world.close <= FLIPS
                equal_to_top[below] = np.array(fates)[np.tile(close, 2)].sum() / sum(fates)
        total += chance
        best[order[0]] += chance
        among[order[0]] += chance
        for seat, equal in equal_to_top.items():
            among[seat] += chance * equal
    return [b / total for b in best], [a / total for a in among]


def summed_over_tiers(
    n: int, told: Told, worlds: tuple[World, ...] = TIERED
) -> tuple[list[float], list[float]]:
    """Chance to be as good as any, and weight of each world: a sum over who is in the top tier."""
    good, weights = [0.0] * n, []
    for world in worlds:
        assert world.top is not None
        weight = 0.0
        for top in product([True, False], repeat=n):
            chance = float(np.prod([world.top if right else 1.0 - world.top for right in top]))
            by_pair: dict[tuple[int, int], list[float]] = {}
            for first, second, score in told:
                if top[first] == top[second]:
                    chance *= 0.5
                else:
                    above, below = (first, second) if top[first] else (second, first)
                    won = score if first == above else 1.0 - score
                    by_pair.setdefault((above, below), []).append(won)
            for scores in by_pair.values():  # a pair has one flip rate
                chance *= sum(
                    share * np.prod([(1.0 - rate) ** s * rate ** (1.0 - s) for s in scores])
                    for rate, share in zip(FLIPS, world.law, strict=True)
                )
            weight += chance
            for seat in range(n):
                good[seat] += world.prior * chance * (top[seat] or not any(top))
        weights.append(world.prior * weight)
    return [g / sum(weights) for g in good], [w / sum(weights) for w in weights]


@pytest.fixture
def unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bon.posterior.best.CERTAIN_TO", 1e-6)


@pytest.mark.usefixtures("unbiased")
@pytest.mark.parametrize("count", [0, 1, 2, 4, 8, 16])
@pytest.mark.parametrize("seed", range(3))
def test_three_candidates_as_the_sum_over_all_orders_has_them(count: int, seed: int) -> None:
    told = verdicts(3, count, seed)
    best, among = summed(3, told)
    posterior = believe(3, told, ORDERED)
    assert posterior.best() == pytest.approx(best, abs=0.02)
    assert posterior.among_best() == pytest.approx(among, abs=0.02)


@pytest.mark.usefixtures("unbiased")
@pytest.mark.parametrize("world", ORDERED, ids=lambda world: world.kind)
def test_every_world_by_itself_as_the_sum_over_all_orders_has_it(world: World) -> None:
    told = verdicts(4, 10, 7)
    assert believe(4, told, (world,)).best() == pytest.approx(
        summed(4, told, (world,))[0], abs=0.03
    )


@pytest.mark.usefixtures("unbiased")
@pytest.mark.parametrize("count", [0, 1, 2, 4, 8, 16])
@pytest.mark.parametrize("seed", range(3))
def test_right_and_wrong_as_the_sum_over_all_assignments_has_them(count: int, seed: int) -> None:
    told = verdicts(3, count, seed)
    good, weights = summed_over_tiers(3, told)
    posterior = believe(3, told, TIERED)
    assert posterior.among_best() == pytest.approx(good, abs=0.05)
    evidence = posterior.world_evidence
    found = np.array([world.prior for world in TIERED]) * np.exp(evidence - evidence.max())
    assert found / found.sum() == pytest.approx(weights, abs=0.05)


@pytest.mark.usefixtures("unbiased")
def test_two_that_beat_each_other_by_turns_are_both_good_enough() -> None:
    told = [(0, 1, 1.0), (1, 0, 1.0), (0, 2, 1.0), (1, 2, 1.0)] * 6
    assert (believe(3, told).among_best()[:2] > 0.9).all()
    assert believe(3, told).among_best()[2] < 0.05


def test_the_share_of_all_worlds_is_one_and_each_law_is_a_law() -> None:
    assert sum(world.prior for world in WORLDS) == pytest.approx(1.0)
    assert [sum(world.law) for world in WORLDS] == pytest.approx([1.0] * len(WORLDS))


def test_a_void_tells_nothing() -> None:
    posterior = believe(3, verdicts(3, 5, 1))
    before = posterior.best().copy()
    posterior.tell(0, 1, None)
    assert (posterior.best() == before).all()


def test_position_bias_is_learned() -> None:
    rng = np.random.default_rng(3)
    posterior = BestPosterior(4)
    for _ in range(60):
        first, second = (int(seat) for seat in rng.choice(4, 2, replace=False))
        log_odds = 1.5 + (1.5 if first < second else -1.5)
        posterior.tell(first, second, float(rng.random() < 1.0 / (1.0 + np.exp(-log_odds))))
    assert posterior.bias > 0.7
    assert posterior.best().argmax() == 0


def test_information_is_symmetric_and_an_upset_is_the_more_telling_the_less_is_known() -> None:
    posterior = BestPosterior(4)
    fresh = posterior.information()
    assert fresh == pytest.approx(fresh.T)
    for _ in range(6):
        posterior.tell(0, 1, 1.0)
        posterior.tell(1, 0, 0.0)
    gain = posterior.information()
    assert gain[0, 1] < 0.1 * fresh[0, 1]
    assert gain[0, 2] > gain[1, 3]


def table(n: int, told: Told, seed: int = 0) -> TablePosterior:
    posterior = TablePosterior(n, np.random.default_rng(seed))
    for first, second, score in told:
        posterior.tell(first, second, score)
    return posterior


def test_a_table_played_to_the_end_is_certain() -> None:
    scores = {(a, b): float(a < b) for a in range(3) for b in range(3) if a != b}
    scores[0, 1] = scores[1, 0] = 0.5
    posterior = table(3, [(a, b, score) for (a, b), score in scores.items()])
    assert list(posterior.among_best()) == [1.0, 1.0, 0.0]
    assert list(posterior.best()) == [0.5, 0.5, 0.0]
    assert not posterior.information().any()


def test_a_void_cell_counts_for_nobody() -> None:
    posterior = table(2, [(0, 1, 1.0)])
    posterior.tell(1, 0, None)
    assert list(posterior.among_best()) == [1.0, 0.0]


def test_a_table_of_three_as_the_integral_over_strengths_has_it() -> None:
    told: Told = [(0, 1, 1.0), (1, 2, 1.0), (2, 0, 0.0)]
    chances = np.mean([table(3, told, seed).among_best() for seed in range(20)], axis=0)
    assert chances == pytest.approx(integrated(told), abs=0.03)


def integrated(told: Told, draws: int = 200_000) -> np.ndarray:
    """Chances to win the table of three, by weighing draws of everything from the prior."""
    rng = np.random.default_rng(1)
    strength = 2.0 * rng.standard_normal((3, draws))
    bias = UNKNOWN.bias_sd * rng.standard_normal(draws)
    pair = {(a, b): rng.standard_normal(draws) for a, b in ((0, 1), (0, 2), (1, 2))}
    weight, points = np.ones(draws), np.zeros((3, draws))
    known = {(first, second): score for first, second, score in told}
    for a, b in permutations(range(3), 2):
        own = pair[a, b] if a < b else -pair[b, a]
        up = np.exp(0.5 * (strength[a] - strength[b] + bias + own))
        total = up + 1.0 / up + 0.5
        luck = rng.random(draws) * total
        score = np.where(luck < up, 1.0, np.where(luck < up + 0.5, 0.5, 0.0))
        if (a, b) in known:
            score = np.full(draws, known[a, b])
            weight *= (up if known[a, b] else 1.0 / up) / total
        points[a] += score
        points[b] += 1.0 - score
    chances: np.ndarray = (points == points.max(0)) @ weight / weight.sum()
    return chances
