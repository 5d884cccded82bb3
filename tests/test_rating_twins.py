"""Every fast path against a plain twin, and what must hold for any comparisons whatever.

The twins are loops over rows in plain Python, written from the definitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bon.rating.games as games_module
from bon.rating import (
    Prior,
    bootstrap,
    bradley_terry,
    copeland,
    elo,
    elo_average,
    pagerank,
    points,
    probability_above,
    probability_best,
    win_rate,
)

Row = tuple[int, int, float, float]
"""first, second, score, weight"""


@dataclass(frozen=True)
class Played:
    """A tournament as rows, and as the arguments of a rating."""

    n: int
    rows: list[Row] = field(default_factory=list)

    @property
    def args(self) -> tuple[list[int], list[int], list[float]]:
        return [r[0] for r in self.rows], [r[1] for r in self.rows], [r[2] for r in self.rows]

    @property
    def weight(self) -> list[float]:
        return [r[3] for r in self.rows]

    def rate(self, method: Callable[..., Any], **options: Any) -> Any:
        return method(*self.args, n=self.n, weight=self.weight, **options)


@st.composite
def tournaments(
    draw: st.DrawFn, weights: tuple[float, ...] = (0.0, 0.5, 1.0, 1.0, 2.0, 2.5), most: int = 5
) -> Played:
    n = draw(st.integers(1, most))
    if n == 1:
        return Played(n)
    seat = st.integers(0, n - 1)
    score = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))
    row = st.tuples(seat, seat, score, st.sampled_from(weights)).filter(lambda r: r[0] != r[1])
    return Played(n, draw(st.lists(row, max_size=12)))


# --- Bradley-Terry


def outcome_law(x: float, tie: float) -> tuple[float, float, float]:
    """P(first), P(tie), P(second)."""
    first, second = math.exp(x / 2), math.exp(-x / 2)
    total = first + tie + second
    return first / total, tie / total, second / total


def plain_log_posterior(
    played: Played, prior: Prior, strength: list[float], position: float, log_tie: float | None
) -> float:
    total = -sum(s * s for s in strength) / (2 * prior.strength**2)
    for a, b, score, weight in played.rows:
        tie = 0.0 if log_tie is None else math.exp(log_tie)
        p, tied, q = outcome_law(strength[a] - strength[b] + position, tie)
        if score == 0.5 and log_tie is not None:
            total += weight * math.log(tied)
        else:
            total += weight * (score * math.log(p) + (1 - score) * math.log(q))
    return total


def plain_climb(value: Callable[[list[float]], float], at: list[float]) -> list[float]:
    """The top of a smooth concave function by Newton with numerical derivatives."""
    h = 1e-4

    def bumped(*bumps: tuple[int, float]) -> float:
        x = list(at)
        for i, by in bumps:
            x[i] += by
        return value(x)

    for _ in range(100):
        k = range(len(at))
        slope = [(bumped((i, h)) - bumped((i, -h))) / (2 * h) for i in k]
        bend = [
            [
                (
                    bumped((i, h), (j, h)) - bumped((i, h), (j, -h))
                    - bumped((i, -h), (j, h)) + bumped((i, -h), (j, -h))
                ) / (4 * h * h)
                for j in k
            ]
            for i in k
        ]  # fmt: skip
        step = np.linalg.solve(np.array(bend) - 1e-12 * np.eye(len(at)), slope)
        scale = min(1.0, 1.0 / max(1e-9, float(np.abs(step).max())))
        at = [x - scale * float(s) for x, s in zip(at, step, strict=True)]
        if np.abs(step).max() < 1e-8:
            return at
    raise AssertionError("the twin did not converge")


@given(tournaments(most=4), st.sampled_from([0.0, 0.8]))
def test_strengths_are_the_top_of_the_posterior(played: Played, position: float) -> None:
    prior = Prior()
    top = plain_climb(
        lambda s: plain_log_posterior(played, prior, s, position, None), [0.0] * played.n
    )
    fit = played.rate(bradley_terry, position=position)
    assert fit.strength == pytest.approx(top, abs=1e-6)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("n", "games"), [(8, 1e4), (16, 1e3), (32, 1e3), (64, 99), (64, 1e3), (128, 1e4)]
)
def test_strengths_of_a_perfect_order_are_the_top_of_the_posterior(
    n: int, games: float, batch: int
) -> None:
    """Worths are then so far apart that rounding swallows careless steps."""
    better, worse = np.triu_indices(n, 1)
    tournament = np.repeat(np.arange(batch), len(better))
    fit = bradley_terry(
        np.tile(better, batch),
        np.tile(worse, batch),
        np.ones(len(tournament)),
        n=n,
        tournament=tournament,
        weight=np.full(len(tournament), games),
    )
    met = games * (1.0 - np.eye(n))
    for found in fit.strength:
        chance = 1.0 / (1.0 + np.exp(found[None, :] - found[:, None]))
        spread = met * chance * chance.T
        precision = Prior().strength ** -2
        upset = np.triu(met * chance.T, 1)  # wins less those expected, without a difference
        slope = upset.sum(1) - upset.sum(0) - precision * found
        bend = np.diag(spread.sum(1) + precision) - spread
        assert np.abs(np.linalg.solve(bend, slope)).max() < 1e-9


@pytest.mark.parametrize("batch", [1, 2])
def test_a_climb_may_be_long(batch: int) -> None:
    better, worse = (np.tile(side, batch) for side in np.triu_indices(64, 1))
    tournament = np.repeat(np.arange(batch), len(better) // batch)
    won, weight = np.ones(len(better)), np.full(len(better), 1e6)
    fit = bradley_terry(better, worse, won, n=64, tournament=tournament, weight=weight)
    assert fit.iterations.min() > 100
    assert (np.diff(fit.strength) < 0.0).all()


@settings(max_examples=40)
@given(tournaments(most=3))
def test_fitted_terms_are_the_top_of_the_posterior(played: Played) -> None:
    prior, n = Prior(), played.n

    def value(x: list[float]) -> float:
        terms = x[n] ** 2 / prior.position**2 + (x[n + 1] - math.log(0.5)) ** 2 / prior.tie**2
        return plain_log_posterior(played, prior, x[:n], x[n], x[n + 1]) - terms / 2

    top = plain_climb(value, [0.0] * n + [0.0, math.log(0.5)])
    fit = played.rate(bradley_terry, position="fit", tie="fit")
    assert [*fit.strength, fit.position, math.log(fit.tie)] == pytest.approx(top, abs=1e-5)


@settings(max_examples=40)
@given(tournaments(most=4))
def test_covariance_is_the_inverse_curvature_without_the_common_shift(played: Played) -> None:
    prior, n, h = Prior(), played.n, 1e-3
    fit = played.rate(bradley_terry)

    def value(*bumps: tuple[int, float]) -> float:
        x = fit.strength.tolist()
        for i, by in bumps:
            x[i] += by
        return plain_log_posterior(played, prior, x, 0.0, None)

    bend = np.array([
        [
            (value((i, h), (j, h)) - value((i, h), (j, -h))
             - value((i, -h), (j, h)) + value((i, -h), (j, -h))) / (4 * h * h)
            for j in range(n)
        ]
        for i in range(n)
    ])  # fmt: skip
    centre = np.eye(n) - 1 / n
    assert fit.covariance == pytest.approx(centre @ np.linalg.inv(-bend) @ centre, abs=1e-4)
    assert fit.se == pytest.approx(np.sqrt(np.maximum(np.diag(fit.covariance), 0)), abs=1e-9)


@given(tournaments())
def test_the_plain_model_and_the_general_one_agree(played: Played) -> None:
    # a position of next to nothing takes the path of slots and ties
    plain = played.rate(bradley_terry)
    general = played.rate(bradley_terry, position=1e-300)
    batch = played.rate(bradley_terry, tournament=[0] * len(played.rows)) if played.rows else plain
    assert plain.strength == pytest.approx(general.strength, abs=1e-9)
    assert plain.strength == pytest.approx(batch.strength.ravel(), abs=1e-9)
    assert plain.se == pytest.approx(general.se, abs=1e-9)


@settings(max_examples=60)
@given(
    n=st.sampled_from([2, 4, 16, 40]),
    spread=st.sampled_from([0.0, 0.3, 1.0, 4.0, 30.0]),
    games=st.sampled_from([1, 12, 400]),
    trust=st.sampled_from([0.05, 1.75, 50.0]),
    seed=st.integers(0, 99),
)
def test_a_tournament_alone_climbs_to_the_top(
    n: int, spread: float, games: int, trust: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n, games)
    second = (first + rng.integers(1, n, games)) % n
    strength = spread * rng.normal(size=n)
    score = (np.tanh((strength[first] - strength[second]) / 2) > 2 * rng.random(games) - 1) * 1.0
    found = bradley_terry(first, second, score, n=n, prior=Prior(trust)).strength
    chance = 0.5 + 0.5 * np.tanh((found[first] - found[second]) / 2)
    slope = -found / trust**2
    np.add.at(slope, first, score - chance)
    np.add.at(slope, second, chance - score)
    # the log posterior curves by at least 1 / trust**2 in every direction
    assert np.linalg.norm(slope) * trust**2 < 1e-8 * max(1.0, trust**2)
    assert found.sum() == pytest.approx(0.0, abs=1e-9 * max(1.0, trust**2))


@given(tournaments())
def test_slots_mirror(played: Played) -> None:
    mirrored = Played(played.n, [(b, a, 1.0 - s, w) for a, b, s, w in played.rows])
    for term in (0.0, "fit"):
        one, two = (p.rate(bradley_terry, position=term) for p in (played, mirrored))
        assert one.strength == pytest.approx(two.strength, abs=1e-8)
        assert one.position == pytest.approx(-two.position, abs=1e-8)


@settings(max_examples=40)
@given(tournaments(), st.randoms())
def test_only_who_played_whom_matters(played: Played, random: Any) -> None:
    seat = list(range(played.n))
    random.shuffle(seat)
    rows = [(seat[a], seat[b], s, w) for a, b, s, w in played.rows]
    random.shuffle(rows)
    renamed = Played(played.n, rows)
    for method in (win_rate, points, copeland, pagerank):
        expected = played.rate(method)
        assert renamed.rate(method)[seat] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    strength = played.rate(bradley_terry).strength
    assert renamed.rate(bradley_terry).strength[seat] == pytest.approx(strength, abs=1e-8)


@given(tournaments())
def test_everything_is_finite_and_chances_sum_to_one(played: Played) -> None:
    fit = played.rate(bradley_terry, position="fit", tie="fit")
    low, high = fit.interval()
    for values in (fit.strength, fit.se, low, high, fit.position_se, fit.log_tie_se):
        assert np.isfinite(values).all()
    assert probability_best(fit, draws=64).sum() == pytest.approx(1.0)
    above = probability_above(fit)
    assert above + above.T == pytest.approx(np.ones((played.n, played.n)))


@given(tournaments())
def test_components_are_what_a_walk_reaches(played: Played) -> None:
    near: dict[int, set[int]] = {i: {i} for i in range(played.n)}
    for a, b, _, weight in played.rows:
        if weight:
            near[a].add(b)
            near[b].add(a)
    left, groups = set(near), []
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = set().union(*(near[i] for i in edge)) - group
        groups.append(sorted(group))
        left -= group
    assert played.rate(bradley_terry).components == groups


@given(tournaments(most=4))
def test_maximum_likelihood_exists_where_every_group_lost_to_the_rest(played: Played) -> None:
    beaten: dict[int, set[int]] = {i: set() for i in range(played.n)}
    for a, b, score, weight in played.rows:
        if weight and score > 0:
            beaten[a].add(b)
        if weight and score < 1:
            beaten[b].add(a)
    everyone = set(range(played.n))
    groups = [{i for i in everyone if code >> i & 1} for code in range(1, 2**played.n - 1)]
    exists = all(any(beaten[i] - group for i in group) for group in groups)
    try:
        # tiny scores put the top very far out: that it is found in time is not the point here
        played.rate(bradley_terry, prior=None, max_iterations=0)
    except ValueError:
        assert not exists
    except RuntimeError:
        assert exists


# --- Elo


def plain_elo(n: int, rows: list[Row]) -> list[float]:
    rating = [1000.0] * n
    for a, b, score, weight in rows:
        while weight > 0:
            expected = 1 / (1 + 10 ** ((rating[b] - rating[a]) / 400))
            change = 4 * min(weight, 1.0) * (score - expected)
            rating[a] += change
            rating[b] -= change
            weight -= 1
    return rating


@given(tournaments())
def test_elo_reads_game_after_game(played: Played) -> None:
    assert played.rate(elo) == pytest.approx(plain_elo(played.n, played.rows), abs=1e-9)


@pytest.mark.parametrize("n", [2, 16, 256, 257])  # winners and losers as bytes, and as a list
def test_elo_of_decided_games_reads_game_after_game(n: int) -> None:
    rng = np.random.default_rng(n)
    first = rng.integers(0, n, 600)
    second = (first + rng.integers(1, n, 600)) % n
    score = rng.integers(0, 2, 600).astype(float)
    rows = [(a, b, s, 1.0) for a, b, s in zip(first.tolist(), second.tolist(), score, strict=True)]
    assert elo(first, second, score, n=n) == pytest.approx(plain_elo(n, rows), abs=1e-9)


@given(tournaments(weights=(1.0,)))
def test_average_elo_is_the_mean_of_shuffled_passes(played: Played) -> None:
    rows = sorted(played.rows)
    source = np.random.default_rng(4).spawn(1)[0]
    order = source.permuted(np.tile(np.arange(len(rows)), (7, 1)), axis=1)
    passes = np.array([plain_elo(played.n, [rows[i] for i in one]) for one in order.tolist()])
    average = played.rate(elo_average, orders=7, rng=np.random.default_rng(4))
    assert average.rating == pytest.approx(passes.mean(0), abs=1e-9)
    assert average.spread == pytest.approx(passes.std(0), abs=1e-9)
    leads = passes >= passes.max(1, keepdims=True) - 1e-12
    assert average.top.sum() == pytest.approx(1.0)
    if len(rows) == 1:
        assert average.top == pytest.approx((leads / leads.sum(1, keepdims=True)).mean(0))


# --- counting


def plain_pair_points(played: Played) -> dict[tuple[int, int], float]:
    won: dict[tuple[int, int], float] = {}
    for a, b, score, weight in played.rows:
        if weight:
            won[a, b] = won.get((a, b), 0.0) + weight * score
            won[b, a] = won.get((b, a), 0.0) + weight * (1 - score)
    return won


@given(tournaments())
def test_counts(played: Played) -> None:
    won, n = plain_pair_points(played), played.n
    rate, per_opponent, total, net = [], [], [], []
    for i in range(n):
        met = [j for j in range(n) if (i, j) in won]
        mine = sum(won[i, j] for j in met)
        games = sum(won[i, j] + won[j, i] for j in met)
        shares = [won[i, j] / (won[i, j] + won[j, i]) for j in met]
        rate.append(mine / games if met else math.nan)
        per_opponent.append(sum(shares) / len(met) if met else math.nan)
        total.append(mine)
        margins = [won[i, j] - won[j, i] for j in met]
        net.append(sum((m > 0) - (m < 0) for m in margins))
    assert played.rate(win_rate) == pytest.approx(rate, abs=1e-12, nan_ok=True)
    assert played.rate(win_rate, per="opponent") == pytest.approx(
        per_opponent, abs=1e-12, nan_ok=True
    )
    assert played.rate(points) == pytest.approx(total, abs=1e-12)
    if all(abs(won[p] - won[p[::-1]]) > 1e-9 or won[p] == won[p[::-1]] for p in won):
        assert played.rate(copeland).tolist() == net


@given(tournaments())
def test_pagerank_is_where_a_walk_settles(played: Played) -> None:
    won, n = plain_pair_points(played), played.n
    share = [1 / n] * n
    for _ in range(300):
        moved = [0.15 / n] * n
        for loser in range(n):
            out = {j: won.get((j, loser), 0.0) for j in range(n)}
            total = sum(out.values())
            for j in range(n):
                moved[j] += 0.85 * share[loser] * (out[j] / total if total else 1 / n)
        share = moved
    assert played.rate(pagerank) == pytest.approx(share, abs=1e-9)


# --- weights


def values(rated: Any) -> Any:
    """The numbers of any rating."""
    for name in ("strength", "rating", "samples"):
        if hasattr(rated, name):
            return getattr(rated, name)
    return rated


def bootstrapped(*args: Any, **options: Any) -> Any:
    return bootstrap(bradley_terry, *args, resamples=5, **options)


def fitted(*args: Any, **options: Any) -> Any:
    return bradley_terry(*args, position="fit", tie="fit", **options)


ALL = [
    bradley_terry,
    fitted,
    elo,
    elo_average,
    win_rate,
    points,
    copeland,
    pagerank,
    bootstrapped,
]


@settings(max_examples=30)
@pytest.mark.parametrize("method", ALL)
@given(played=tournaments())
def test_a_comparison_of_weight_zero_changes_nothing(method: Any, played: Played) -> None:
    counted = Played(played.n, [row for row in played.rows if row[3]])
    with_zeros, without = values(played.rate(method)), values(counted.rate(method))
    assert with_zeros == pytest.approx(without, abs=1e-12, nan_ok=True)


@settings(max_examples=30)
@pytest.mark.parametrize("method", ALL)
@given(played=tournaments(weights=(1.0, 2.0, 3.0)))
def test_weight_two_is_the_comparison_twice(method: Any, played: Played) -> None:
    twice = Played(played.n, [(a, b, s, 1.0) for a, b, s, w in played.rows for _ in range(int(w))])
    assert values(played.rate(method)) == pytest.approx(
        values(twice.rate(method)), abs=1e-9, nan_ok=True
    )


# --- batches


@pytest.mark.parametrize("method", ALL)
@settings(max_examples=25)
@pytest.mark.parametrize("cells", [40, 1 << 16])
@given(batch=st.lists(tournaments(), min_size=1, max_size=6), random=st.randoms())
def test_a_batch_is_its_tournaments(
    method: Any, cells: int, batch: list[Played], random: Any
) -> None:
    rows = [(number, row) for number, played in enumerate(batch) for row in played.rows]
    if method not in (elo, bootstrapped):  # they tell rows by their place
        random.shuffle(rows)
    options: dict[str, Any] = {}
    if method in (elo_average, bootstrapped):
        options["rng"] = [np.random.default_rng(k) for k in range(len(batch))]
    together = Played(0, [row for _, row in rows])
    before = games_module.CELLS_AT_ONCE
    games_module.CELLS_AT_ONCE = cells
    try:
        rated = values(
            method(
                *together.args,
                n=[played.n for played in batch],
                tournament=[number for number, _ in rows],
                weight=together.weight,
                **options,
            )
        )
    finally:
        games_module.CELLS_AT_ONCE = before
    assert rated.shape[0] == len(batch)
    assert rated.shape[-1] == max(played.n for played in batch)
    for k, played in enumerate(batch):
        if options:
            options["rng"] = [np.random.default_rng(k)]
        alone = values(played.rate(method, **options))
        assert rated[k][..., : played.n] == pytest.approx(alone, abs=1e-9, nan_ok=True)
        assert np.isnan(rated[k][..., played.n :]).all()


@given(batch=st.lists(tournaments(), min_size=1, max_size=4))
def test_errors_and_chances_of_a_batch_are_those_of_its_tournaments(batch: list[Played]) -> None:
    rows = [(number, row) for number, played in enumerate(batch) for row in played.rows]
    together = Played(0, [row for _, row in rows])
    fit = bradley_terry(
        *together.args,
        n=[played.n for played in batch],
        tournament=[number for number, _ in rows],
        weight=together.weight,
        position="fit",
    )
    chance, above = probability_best(fit, draws=256), probability_above(fit)
    for k, played in enumerate(batch):
        alone, n = played.rate(bradley_terry, position="fit"), played.n
        assert fit.se[k][:n] == pytest.approx(alone.se, abs=1e-9)
        assert fit.position_se[k] == pytest.approx(alone.position_se)
        assert fit.covariance[k][:n, :n] == pytest.approx(alone.covariance, abs=1e-9)
        assert above[k][:n, :n] == pytest.approx(probability_above(alone), abs=1e-9)
        assert chance[k][:n].sum() == pytest.approx(1.0)
        assert fit.components[k] == alone.components


def test_a_batch_of_nothing() -> None:
    for method in (bradley_terry, elo, win_rate, copeland, points, elo_average):
        assert values(method([], [], [], n=3, tournament=[])).shape[0] == 0
    empty = values(bradley_terry([], [], [], n=[2, 0], tournament=[]))
    assert np.array_equal(empty, [[0.0, 0.0], [np.nan, np.nan]], equal_nan=True)


# --- bootstrap


@given(tournaments(weights=(1.0,)))
def test_a_bootstrap_rates_the_rows_it_draws(played: Played) -> None:
    drawn = bootstrap(points, *played.args, n=played.n, resamples=4, rng=np.random.default_rng(9))
    source = np.random.default_rng(9).spawn(1)[0]
    m = len(played.rows)
    for k, place in enumerate((source.random((4, m)) * m).astype(int).tolist()):
        total = [0.0] * played.n
        for row in place:
            a, b, score, _ = played.rows[row]
            total[a] += score
            total[b] += 1 - score
        assert drawn.samples[k] == pytest.approx(total, abs=1e-9)
