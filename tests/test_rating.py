"""What the ratings promise: who is ahead, by how much, how sure, and what they refuse."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from bon.rating import (
    EloScale,
    NotConverged,
    Prior,
    bootstrap,
    bradley_terry,
    copeland,
    elo,
    elo_average,
    index_names,
    pagerank,
    points,
    probability_above,
    probability_best,
    win_probability,
    win_rate,
)

BRACKET = ([0, 2, 4, 6, 0, 4, 0], [1, 3, 5, 7, 2, 6, 4], [1.0] * 7)
"""Eight candidates, the lower number always wins: 0 is undefeated, four never win."""


class TestBradleyTerry:
    def test_two_candidates_with_equal_results_are_equal(self) -> None:
        fit = bradley_terry([0, 1], [1, 0], [1, 1], n=2)
        assert fit.strength == pytest.approx([0.0, 0.0], abs=1e-12)

    def test_the_mode_solves_its_equation(self) -> None:
        # one win, so by symmetry strength s and -s with 1 - P(win) = s / sd**2
        s = float(bradley_terry([0], [1], [1], n=2, prior=Prior(strength=1.0)).strength[0])
        assert 1.0 - win_probability(2 * s) == pytest.approx(s, abs=1e-10)

    def test_a_bracket_stays_finite_with_its_winner_on_top(self) -> None:
        fit = bradley_terry(*BRACKET, n=8)
        assert np.isfinite(fit.strength).all()
        assert np.isfinite(fit.se).all()
        assert fit.strength.argmax() == 0
        assert probability_best(fit).argmax() == 0

    @pytest.mark.parametrize("sd", [0.01, 1.75, 50.0])
    def test_any_proper_prior_converges_on_a_large_bracket(self, sd: float) -> None:
        alive, first, second = list(range(64)), [], []
        while len(alive) > 1:
            first += alive[::2]
            second += alive[1::2]
            alive = alive[::2]
        fit = bradley_terry(first, second, np.ones(63), n=64, prior=Prior(strength=sd))
        assert fit.strength.argmax() == 0
        assert np.isfinite(fit.strength).all()

    def test_who_never_played_is_average_and_as_unsure_as_the_prior(self) -> None:
        fit = bradley_terry([0], [1], [1], n=3)
        assert fit.strength[2] == pytest.approx(0.0, abs=1e-12)
        assert fit.se[2] == pytest.approx(Prior().strength * np.sqrt(2 / 3))  # from the mean of 3

    def test_no_comparisons_at_all(self) -> None:
        fit = bradley_terry([], [], [], n=3)
        assert fit.strength.tolist() == [0.0, 0.0, 0.0]
        assert probability_best(fit) == pytest.approx([1 / 3] * 3, abs=0.02)

    def test_a_graded_verdict_pulls_as_far_as_its_probability(self) -> None:
        graded = bradley_terry([0], [1], [0.75], n=2, prior=Prior(strength=10.0))
        assert win_probability(graded.strength[0] - graded.strength[1]) == pytest.approx(
            0.75, abs=0.01
        )

    def test_a_fitted_position_tells_slot_from_strength(self) -> None:
        # the first slot always wins, in both orders: that is no strength at all
        first, second = [0, 1, 0, 2, 1, 2], [1, 0, 2, 0, 2, 1]
        fit = bradley_terry(first, second, [1] * 6, n=3, position="fit")
        assert fit.strength == pytest.approx([0, 0, 0], abs=1e-9)
        assert fit.position > 1.0
        assert 0.0 < fit.position_se < 1.0

    def test_a_known_position_is_taken_off(self) -> None:
        plain = bradley_terry([0], [1], [1], n=2)
        handicapped = bradley_terry([0], [1], [1], n=2, position=2.0)
        assert 0.0 < handicapped.strength[0] < plain.strength[0]
        assert handicapped.position_se == 0.0

    def test_a_shared_position_is_surer_than_each_tournaments_own(self) -> None:
        rng = np.random.default_rng(3)
        which = np.repeat(np.arange(40), 30)
        first = rng.integers(0, 6, len(which))
        second = (first + rng.integers(1, 6, len(which))) % 6
        strength = rng.normal(size=(40, 6))
        gap = strength[which, first] - strength[which, second] + 0.7
        score = (rng.random(len(which)) < 1 / (1 + np.exp(-gap))).astype(float)
        shared = bradley_terry(first, second, score, n=6, tournament=which, position="shared")
        own = bradley_terry(first, second, score, n=6, tournament=which, position="fit")
        assert np.ptp(shared.position) == 0.0
        assert shared.position[0] == pytest.approx(0.7, abs=3 * shared.position_se[0])
        assert shared.position_se.max() < own.position_se.min() / 3

    def test_shared_by_one_tournament_is_its_own(self) -> None:
        games: tuple[Any, ...] = ([0, 1, 2, 0, 1], [1, 2, 0, 2, 0], [1, 0.5, 0.5, 1, 0])
        fit: Any = {"position": "fit"}, {"tie": "fit"}
        share: Any = {"position": "shared"}, {"tie": "shared"}
        for term, of_its_own, common in zip(("position", "tie"), fit, share, strict=True):
            own = bradley_terry(*games, n=3, **of_its_own)
            shared = bradley_terry(*games, n=3, **common)
            assert shared.strength == pytest.approx(own.strength, abs=1e-8)
            assert getattr(shared, term) == pytest.approx(getattr(own, term), abs=1e-8)
            assert shared.position_se == pytest.approx(own.position_se)
            assert shared.log_tie_se == pytest.approx(own.log_tie_se)

    def test_davidsons_tie_parameter_follows_the_share_of_ties(self) -> None:
        # equals tie with probability tie / (2 + tie)
        first, second, score = [0] * 30, [1] * 30, [1.0] * 10 + [0.0] * 10 + [0.5] * 10
        wide = Prior(tie=50.0)
        fit = bradley_terry(first, second, score, n=2, tie="fit", prior=wide)
        assert fit.tie / (2 + fit.tie) == pytest.approx(1 / 3, abs=1e-3)

    def test_the_tie_term_set_to_zero_makes_a_tie_half_a_win_each(self) -> None:
        half = bradley_terry([0, 0], [1, 1], [1, 0], n=2)
        tied = bradley_terry([0, 0], [1, 1], [0.5, 0.5], n=2)
        assert tied.strength == pytest.approx(half.strength, abs=1e-12)
        assert tied.se == pytest.approx(half.se)

    def test_a_disconnected_graph_is_said_to_be_one(self) -> None:
        fit = bradley_terry([0, 3], [2, 4], [1, 0], n=6)
        assert not fit.connected
        assert fit.components == [[0, 2], [1], [3, 4], [5]]

    def test_a_comparison_of_weight_zero_connects_nobody(self) -> None:
        fit = bradley_terry([0, 1], [1, 2], [1, 1], n=3, weight=[1, 0])
        assert fit.components == [[0, 1], [2]]

    def test_components_of_a_batch(self) -> None:
        fit = bradley_terry([0, 0], [1, 2], [1, 1], n=[2, 3], tournament=[0, 1])
        assert fit.components == [[[0, 1]], [[0, 2], [1]]]
        assert fit.connected.tolist() == [True, False]

    def test_without_a_prior_the_undefeated_have_no_answer(self) -> None:
        with pytest.raises(ValueError, match="maximum likelihood does not exist in 1 of 1"):
            bradley_terry(*BRACKET, n=8, prior=None)

    def test_without_a_prior_a_batch_names_the_tournament_that_has_no_answer(self) -> None:
        games = ([0, 1, 0, 0], [1, 0, 1, 1], [1, 1, 1, 1])
        with pytest.raises(ValueError, match="1 of 2 tournaments, the first of them number 1"):
            bradley_terry(*games, n=2, tournament=[0, 0, 1, 1], prior=None)

    def test_a_shared_opponent_gives_maximum_likelihood_through_fractions(self) -> None:
        fit = bradley_terry([0], [1], [0.8], n=2, prior=None)
        assert fit.strength[0] - fit.strength[1] == pytest.approx(np.log(4.0), abs=1e-9)

    @pytest.mark.parametrize("extra", [{}, {"position": "fit"}, {"position": "shared"}])
    def test_not_converging_is_raised(self, extra: dict[str, Any]) -> None:
        with pytest.raises(NotConverged, match="1 step"):
            bradley_terry(*BRACKET, n=8, max_iterations=1, **extra)

    @pytest.mark.parametrize("batch", [{}, {"tournament": [0] * 7}])
    def test_numbers_beyond_their_range_are_no_answer(self, batch: dict[str, Any]) -> None:
        with pytest.raises(NotConverged):
            bradley_terry(*BRACKET, n=8, prior=Prior(strength=1e8), weight=[1e6] * 7, **batch)

    def test_maximum_likelihood_of_ties_that_never_happen_is_raised(self) -> None:
        with pytest.raises(NotConverged):
            bradley_terry([0, 1], [1, 0], [1, 1], n=2, prior=None, tie="fit")

    def test_strengths_sum_to_zero(self) -> None:
        for prior in (Prior(), None):
            fit = bradley_terry([0, 1, 2, 0], [1, 2, 0, 1], [1, 1, 1, 0], n=3, prior=prior)
            assert fit.strength.sum() == pytest.approx(0.0, abs=1e-9)


class TestCertainty:
    def test_two_candidates_have_the_normal_chance_of_being_best(self) -> None:
        fit = bradley_terry([0, 0, 1], [1, 1, 0], [1, 1, 1], n=2)
        exact = probability_above(fit)[0, 1]
        assert probability_best(fit, draws=100_000)[0] == pytest.approx(exact, abs=0.005)
        spread = np.sqrt(fit.covariance[0, 0] + fit.covariance[1, 1] - 2 * fit.covariance[0, 1])
        gap = fit.strength[0] - fit.strength[1]
        assert exact == pytest.approx(NormalDist().cdf(gap / spread), abs=1e-12)

    def test_more_of_the_same_results_make_surer(self) -> None:
        one = bradley_terry([0, 1, 2], [1, 2, 0], [1, 1, 0.5], n=3)
        ten = bradley_terry([0, 1, 2], [1, 2, 0], [1, 1, 0.5], n=3, weight=[10, 10, 10])
        assert (ten.se < one.se).all()
        low, high = ten.interval(0.9)
        assert (low < ten.strength).all()
        assert (ten.strength < high).all()

    def test_equals_are_equally_likely_to_be_best(self) -> None:
        first, second = np.triu_indices(4, 1)
        chance = probability_best(bradley_terry(first, second, np.full(6, 0.5), n=4))
        assert chance == pytest.approx([0.25] * 4, abs=0.02)
        assert chance.sum() == pytest.approx(1.0)

    def test_the_same_strengths_always_give_the_same_chances(self) -> None:
        a, b = (probability_best(bradley_terry(*BRACKET, n=8)) for _ in range(2))
        assert a.tolist() == b.tolist()

    def test_laplace_intervals_cover_what_they_say(self) -> None:
        rng = np.random.default_rng(11)
        prior, first, second = Prior(strength=1.0), *np.triu_indices(8, 1)
        truth = rng.normal(size=(400, 8))
        truth -= truth.mean(1, keepdims=True)  # strengths have no other zero
        gap = truth[:, first] - truth[:, second]
        score = (rng.random(gap.shape) < 1 / (1 + np.exp(-gap))).astype(float)
        which = np.repeat(np.arange(400), len(first))
        fit = bradley_terry(
            np.tile(first, 400), np.tile(second, 400), score.ravel(), n=8, tournament=which,
            prior=prior,
        )  # fmt: skip
        low, high = fit.interval(0.8)
        covered = ((low < truth) & (truth < high)).mean()
        assert covered == pytest.approx(0.8, abs=0.05)
        chosen = probability_best(fit)
        right = chosen.argmax(1) == truth.argmax(1)
        assert right.mean() == pytest.approx(chosen.max(1).mean(), abs=0.06)

    def test_a_bootstrap_of_certain_results_is_certain(self) -> None:
        drawn = bootstrap(win_rate, [0] * 5, [1] * 5, [1] * 5, n=2, resamples=20)
        assert drawn.samples.shape == (20, 2)
        assert drawn.probability_best.tolist() == [1.0, 0.0]
        assert drawn.se.tolist() == [0.0, 0.0]

    def test_a_bootstrap_leaves_out_ratings_that_do_not_exist(self) -> None:
        # a redraw may miss candidate 2, whose win rate is then unknown; 3 never plays
        drawn = bootstrap(win_rate, [0, 1], [1, 2], [1, 1], n=4, resamples=200)
        low, high = drawn.interval(0.9)
        assert np.isnan(drawn.samples[:, 2]).any()
        assert (low[:3] <= high[:3]).all()
        assert np.isnan([low[3], high[3], drawn.se[3]]).all()
        assert drawn.probability_best.sum() == pytest.approx(1.0)

    @pytest.mark.parametrize("method", [bradley_terry, elo, win_rate, points, copeland])
    def test_any_batched_method_can_be_bootstrapped(self, method: Any) -> None:
        drawn = bootstrap(method, *BRACKET, n=8, resamples=30)
        again = bootstrap(method, *BRACKET, n=8, resamples=30)
        assert drawn.samples.shape == (30, 8)
        assert np.array_equal(drawn.samples, again.samples, equal_nan=True)

    def test_a_bootstrap_spreads_about_as_the_posterior_without_much_prior(self) -> None:
        rng = np.random.default_rng(5)
        first, second = np.triu_indices(5, 1)
        first, second = np.tile(first, 30), np.tile(second, 30)
        score = (rng.random(len(first)) < 0.6).astype(float)
        wide = Prior(strength=100.0)
        fit = bradley_terry(first, second, score, n=5, prior=None)
        drawn = bootstrap(
            bradley_terry, first, second, score, n=5, resamples=400, rng=rng, prior=wide
        )
        assert drawn.se == pytest.approx(fit.se, rel=0.2)


class TestElo:
    def test_one_game_moves_half_of_k(self) -> None:
        assert elo([0], [1], [1], n=3).tolist() == [1002.0, 998.0, 1000.0]

    def test_the_scale_is_the_callers(self) -> None:
        scale = EloScale(k=32.0, initial=1500.0)
        assert elo([0], [1], [0], n=2, scale=scale).tolist() == [1484.0, 1516.0]

    def test_the_order_of_games_can_change_the_winner_and_the_average_says_so(self) -> None:
        # each beats the next: a cycle, in which the last game read counts most
        games = np.array([[0, 1], [1, 2], [2, 0]])
        winners = {
            int(elo(order[:, 0], order[:, 1], [1, 1, 1], n=3).argmax())
            for order in (games, games[[1, 2, 0]], games[[2, 0, 1]])
        }
        assert len(winners) > 1
        average = elo_average(games[:, 0], games[:, 1], [1, 1, 1], n=3, orders=600)
        assert average.top == pytest.approx([1 / 3] * 3, abs=0.08)
        assert (average.spread > 0.0).all()
        assert average.rating == pytest.approx([1000.0] * 3, abs=0.01)

    def test_the_average_does_not_depend_on_the_rows_order(self) -> None:
        a = elo_average(*BRACKET, n=8)
        b = elo_average(*(x[::-1] for x in BRACKET), n=8)
        assert a.rating.tolist() == b.rating.tolist()

    def test_no_games(self) -> None:
        assert elo([], [], [], n=2).tolist() == [1000.0, 1000.0]
        average = elo_average([], [], [], n=2)
        assert average.rating.tolist() == [1000.0, 1000.0]
        assert average.top.tolist() == [0.5, 0.5]

    def test_weights_beyond_reason_are_refused(self) -> None:
        with pytest.raises(ValueError, match="scale the weights down"):
            elo([0], [1], [1], n=2, weight=[1e9])

    def test_a_tournaments_average_does_not_depend_on_its_company(self) -> None:
        rngs = [np.random.default_rng(k) for k in (5, 6)]
        both = elo_average([0, 1, 0], [1, 2, 1], [1, 1, 0], n=3, tournament=[0, 0, 1], rng=rngs)
        alone = elo_average([0, 1], [1, 2], [1, 1], n=3, rng=[np.random.default_rng(5)])
        assert both.rating[0] == pytest.approx(alone.rating, abs=1e-12)


class TestCounts:
    def test_win_rate_counts_ties_half_and_knows_no_rate_without_games(self) -> None:
        rate = win_rate([0, 0], [1, 1], [1, 0.5], n=3)
        assert rate[:2].tolist() == [0.75, 0.25]
        assert np.isnan(rate[2])

    def test_win_rate_per_opponent_counts_a_frequent_opponent_once(self) -> None:
        games = ([0, 0, 0, 0], [1, 1, 1, 2], [1, 1, 1, 0])
        assert win_rate(*games, n=3)[0] == 0.75
        assert win_rate(*games, n=3, per="opponent")[0] == 0.5

    def test_copeland_of_a_condorcet_winner_is_all_others(self) -> None:
        first, second = np.triu_indices(4, 1)
        assert copeland(first, second, np.ones(6), n=4).tolist() == [3, 1, -1, -3]

    def test_copeland_counts_a_level_pair_for_nobody(self) -> None:
        assert copeland([0, 1], [1, 0], [1, 1], n=2).tolist() == [0, 0]

    def test_pagerank_walks_to_the_winner(self) -> None:
        share = pagerank(*BRACKET, n=8)
        assert share.sum() == pytest.approx(1.0)
        assert share.argmax() == 0

    def test_pagerank_without_games_is_even(self) -> None:
        assert pagerank([], [], [], n=4) == pytest.approx([0.25] * 4)
        assert pagerank([], [], [], n=0).shape == (0,)

    def test_an_unknown_way_of_counting_is_refused(self) -> None:
        with pytest.raises(ValueError, match='per must be "game" or "opponent"'):
            win_rate([0], [1], [1], n=2, per="pair")  # type: ignore[arg-type]


class TestNames:
    def test_names_are_numbered_as_they_appear(self) -> None:
        first, second, names = index_names(["b", "a"], ["c", "b"])
        assert names == ["b", "a", "c"]
        assert (first.tolist(), second.tolist()) == ([0, 1], [2, 0])

    def test_known_names_come_first(self) -> None:
        first, second, names = index_names(["b"], ["a"], known=["x", "a"])
        assert names == ["x", "a", "b"]
        assert (first.tolist(), second.tolist()) == ([2], [1])

    def test_arrays_of_strings(self) -> None:
        names: list[str]
        first, _, names = index_names(np.array(["q", "p", "q"]), np.array(["p", "q", "p"]))
        assert names == ["q", "p"]
        assert first.tolist() == [0, 1, 0]


@pytest.mark.parametrize("method", [bradley_terry, elo, elo_average, win_rate, copeland, points])
class TestBadInput:
    @pytest.mark.parametrize(
        ("games", "options", "complaint"),
        [
            (([0], [1, 0], [1]), {"n": 2}, "vectors of one length"),
            (([[0]], [[1]], [[1]]), {"n": 2}, "vectors of one length"),
            (([0.5], [1], [1]), {"n": 2}, "must hold integers"),
            ((["a"], ["b"], [1]), {"n": 2}, "see index_names"),
            (([0], [2], [1]), {"n": 2}, "must lie in 0..n-1"),
            (([-1], [0], [1]), {"n": 2}, "must lie in 0..n-1"),
            (([1], [1], [1]), {"n": 2}, "row 0 compares candidate 1 with itself"),
            (([0], [1], [2]), {"n": 2}, "score must lie in 0..1"),
            (([0], [1], [float("nan")]), {"n": 2}, "score must lie in 0..1"),
            (([0], [1], [1]), {"n": 2.5}, "n must be a whole number"),
            (([0], [1], [1]), {"n": -2}, "n must not be negative"),
            (([0], [1], [1]), {"n": [2]}, "tournament must be given too"),
            (([0], [1], [1]), {"n": [2], "tournament": [1]}, "tournament must lie in 0..0"),
            (([0], [1], [1]), {"n": 2, "tournament": [-1]}, "tournament must lie in"),
            (([0], [1], [1]), {"n": 2, "tournament": [0, 0]}, "one entry a comparison"),
            (([0], [2], [1]), {"n": [3, 2], "tournament": [1]}, "must lie in 0..n-1"),
            (([0], [1], [1]), {"n": 2, "weight": [1, 1]}, "one entry a comparison"),
            (([0], [1], [1]), {"n": 2, "weight": [-1]}, "finite and not negative"),
            (([0], [1], [1]), {"n": 2, "weight": [float("nan")]}, "finite and not negative"),
        ],
    )
    def test_is_refused_in_one_line(
        self, method: Any, games: Any, options: dict[str, Any], complaint: str
    ) -> None:
        with pytest.raises(ValueError, match=complaint) as refusal:
            method(*games, **options)
        assert "\n" not in str(refusal.value)


def test_bad_options_are_refused() -> None:
    games: tuple[Any, ...] = ([0], [1], [1])
    with pytest.raises(ValueError, match='"fit" or "shared"'):
        bradley_terry(*games, n=2, position="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tie not negative"):
        bradley_terry(*games, n=2, tie=-1.0)
    with pytest.raises(ValueError, match="must be above 0"):
        Prior(strength=0.0)
    with pytest.raises(ValueError, match="orders must be at least 1"):
        elo_average(*games, n=2, orders=0)
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        bootstrap(elo, *games, n=2, resamples=0)
    with pytest.raises(ValueError, match=r"one generator a tournament \(1\), got 2"):
        elo_average(*games, n=2, rng=[np.random.default_rng(k) for k in (0, 1)])
