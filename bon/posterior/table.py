"""Who will have won a double round robin, when only some of its cells have been played.

The model. A cell is one directed comparison. What favours its first candidate, in log-odds, is

    strength[first] - strength[second] + position bias + what is particular to this pair

all of them normal and independent beforehand, and ties follow Davidson. Each verdict moves the normal
belief about all cells by matching the two moments of the one cell that was played (assumed density
filtering: on few verdicts the mode of the posterior, as Laplace's method takes it, is far from its
mean). Samples of the belief are carried along by the same linear step, each completes the unplayed
cells of the table by a verdict, and its winners are the candidates with the best mean score.

Played cells are known and never played again, so this is for judges that are asked once per order.

Sources: Davidson (1970) for ties; Minka (2001) and TrueSkill (2007) for moment matching; expected
information (Lindley, 1956) as the price of a cell.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bon.profile import BARE, UNKNOWN, Profile

Floats = npt.NDArray[np.float64]

SAMPLES, DRAWS = (512, 4096), 180_000
"""Fewest and most samples of the belief; in between, as many as make so many open cells in all. What is
told of a cell is a difference of small chances: with 512 samples, half of it is their noise."""
STRENGTH_SD = 2.0
PAIR_SD = 1.0
"""Standard deviations before any verdict, in log-odds: a candidate's strength, and what no strength
explains about a pair (judges are not transitive)."""
TIE_AT_REST, TIE_WEIGHT = 0.5, 2.0
"""Davidson's tie parameter before any verdict, and how many ties that is worth."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(25)
_WEIGHTS /= _WEIGHTS.sum()


class TablePosterior:
    """Beliefs about the n (n - 1) cells of a table, some of them played."""

    def __init__(self, n: int, rng: np.random.Generator, *, profile: Profile = UNKNOWN) -> None:
        self.n = n
        first, second = np.nonzero(~np.eye(n, dtype=bool))
        self._cells = np.stack([first, second])
        self._cell = np.full((n, n), -1)
        self._cell[first, second] = np.arange(len(first))
        spread, advantage = _design(n, first, second, profile.bias_sd)
        self._mean = np.full(len(first), profile.bias)
        self._covariance = spread @ spread.T
        count = int(np.clip(DRAWS // max(len(first), 1), *SAMPLES))
        half = rng.standard_normal((count // 2, spread.shape[1]))
        self._samples = np.concatenate([half, -half]) @ spread.T + profile.bias
        self._luck = rng.random(self._samples.shape)
        self._advantage = advantage
        # Points as if the second won every open cell; what the first wins is taken over from there.
        self._points = np.full(n, n - 1.0)
        self._verdicts = np.full(n, 2.0 * (n - 1))
        self._open = np.ones(len(first), dtype=bool)
        at_rest = TIE_AT_REST if profile.tie_rate is None else _tie_parameter(profile.tie_rate)
        self._ties, self._tie_exposure = TIE_WEIGHT, TIE_WEIGHT / at_rest
        self._complete()

    @property
    def modesty(self) -> float:
        """Its stated error is no smaller than the realised one."""
        return 1.0

    def tell(
        self, first: int, second: int, score: float | None, grade: tuple[float, float] = BARE
    ) -> None:
        """Take the verdict of a cell: 1 where the first won, 0 the second, .5 a tie, None a VOID.

        Its grade makes no difference: the cell holds the verdict itself.
        """
        cell = self._cell[first, second]
        self._open[cell] = False
        if score is None:
            self._verdicts[[first, second]] -= 1.0
            self._points[second] -= 1.0
        else:
            self._points += score * self._advantage[cell]
            self._move(cell, score)
        self._complete()

    def best(self) -> Floats:
        """Chance of each candidate to win the table; co-winners share theirs."""
        return self._wins

    def among_best(self) -> Floats:
        """Chance of each candidate to be the winner or a co-winner of the table."""
        return self._among

    def information(self) -> Floats:
        """What each cell [first, second] is expected to tell about the winner, in nats."""
        share = 1.0 / len(self._samples)
        first, second = self._first.T @ self._winner * share, self._second.T @ self._winner * share
        joint = np.stack([first, second, self._wins - first - second])
        np.maximum(joint, 1e-12, out=joint)
        alone = joint.sum(2, keepdims=True) * np.maximum(self._wins, 1e-12)
        gain = np.zeros((self.n, self.n))
        gain[tuple(self._cells[:, self._open])] = (joint * np.log(joint / alone)).sum((0, 2))
        return gain

    def _move(self, cell: int, score: float) -> None:
        """Match the moments of this cell after its verdict, and carry everything else along."""
        mean, variance = self._mean[cell], self._covariance[cell, cell]
        nodes = mean + variance**0.5 * _NODES
        up, down, total = _davidson(nodes, self._tie)
        likelihood = up if score == 1.0 else down if score == 0.0 else np.full_like(up, self._tie)
        weight = _WEIGHTS * likelihood / total
        weight /= weight.sum()
        moved = weight @ nodes
        narrowed = weight @ (nodes - moved) ** 2
        gain = self._covariance[cell] / variance
        own = self._samples[:, cell]
        self._samples += np.outer(moved - own + (narrowed / variance) ** 0.5 * (own - mean), gain)
        self._mean += gain * (moved - mean)
        self._covariance -= np.outer(gain, gain) * (variance - narrowed)
        self._ties += score == 0.5
        self._tie_exposure += float(_WEIGHTS @ (1.0 / total))

    @property
    def _tie(self) -> float:
        return self._ties / self._tie_exposure

    def _complete(self) -> None:
        """Let each sample play the open cells, and see who wins its table."""
        up, _, total = _davidson(self._samples[:, self._open], self._tie)
        luck = self._luck[:, self._open] * total
        self._first = (luck < up).astype(np.float64)
        self._second = (luck >= up + self._tie).astype(np.float64)
        scores = 0.5 * (1.0 + self._first - self._second)
        points = self._points + scores @ self._advantage[self._open]
        means = points / np.maximum(self._verdicts, 1.0)
        winner = (means >= means.max(1, keepdims=True) - 1e-9).astype(np.float64)
        self._among: Floats = winner.mean(0)
        self._winner = winner / winner.sum(1, keepdims=True)
        self._wins: Floats = self._winner.mean(0)


def _design(
    n: int, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], bias_sd: float
) -> tuple[Floats, Floats]:
    """What each cell is made of, in standard deviations; and who gains what from a first's win."""
    cells = np.arange(len(first))
    advantage = np.zeros((len(first), n))
    advantage[cells, first], advantage[cells, second] = 1.0, -1.0
    pairs = np.zeros((len(first), n, n))
    low, high = np.minimum(first, second), np.maximum(first, second)
    pairs[cells, low, high] = np.where(first < second, PAIR_SD, -PAIR_SD)
    upper = np.triu_indices(n, 1)
    bias = np.full((len(first), 1), bias_sd)
    return np.hstack([STRENGTH_SD * advantage, bias, pairs[:, upper[0], upper[1]]]), advantage


def _davidson(log_odds: Floats, tie: float) -> tuple[Floats, Floats, Floats]:
    """Weights of FIRST and of SECOND, and their total with a tie's."""
    up = np.exp(np.clip(0.5 * log_odds, -30.0, 30.0))
    down = 1.0 / up
    return up, down, up + down + tie


def _tie_parameter(tie_rate: float) -> float:
    """Davidson's tie parameter at which so many verdicts on fresh pairs are ties."""
    up, down, _ = _davidson((2.0 * STRENGTH_SD**2 + PAIR_SD**2) ** 0.5 * _NODES, 0.0)
    low, high = 1e-3, 1e3
    for _ in range(40):
        middle = (low * high) ** 0.5
        if float(_WEIGHTS @ (middle / (up + down + middle))) < tie_rate:
            low = middle
        else:
            high = middle
    return low
