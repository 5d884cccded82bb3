"""The simulated world: candidates with a known worth, a judge made of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

from bon.bench.limit import limit
from bon.bench.played import Played, played
from bon.bench.reference import exact_posterior
from bon.catalog import parse_notation
from bon.judge.simulated import Preference, SeatJudge, bradley_terry, flips, simulated
from bon.simulate import play
from bon.tournament import Strategy, Tournament
from bon.types import BonError, Comparison, VoidReason

KINDS = ("order", "strengths", "labels")
WRONG_ANSWERS = 4


@dataclass(frozen=True)
class Simulated:
    """Prompts of n candidates, and the faults of their judge. Raises `BonError` for what is no chance."""

    n: int = 16
    size: int = 1000
    kind: str = "order"
    """`order`: a total order, missed equally often at any distance; `strengths`: Bradley-Terry, normal
    with deviation `spread`; `labels`: right or wrong, each right with chance `right`."""
    flip: float = 0.2
    """How often the judge names the worse one; two equals are an even chance."""
    spread: float = 1.0
    right: float = 0.4
    bias: float = 0.0
    """Log-odds in favour of the first slot."""
    ties: float = 0.0
    voids: float = 0.0
    graded: float = 0.0
    persistence: float = 0.0
    """The share of each pair's error that all its repeats have in common."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or self.size < 1:
            raise BonError("a simulated world needs at least 1 candidate and 1 prompt")
        if not 0.0 <= self.flip <= 0.5:
            raise BonError(f"the flip rate is {self.flip:g}: give a chance from 0 to 0.5")
        if not 0.0 <= self.right <= 1.0:
            raise BonError(f"the share of right candidates is {self.right:g}: give 0 to 1")
        self._judge((0.0, 1.0), 0)

    @property
    def seats(self) -> Sequence[int]:
        return [self.n] * self.size

    def play(self, strategy: Strategy, index: int) -> tuple[Played, Sequence[Comparison]]:
        key = blake2b(f"{self.seed}/{index}".encode(), digest_size=8).hexdigest()
        world = Random(key)
        worth = self._worths(world)
        tournament = Tournament(
            strategy,
            self.n,
            seed=key,
            teams=self._teams(worth, world),
            truth=worth,
        )
        play(tournament, self._judge(worth, int(key, 16)))
        chosen = worth[tournament.order[0]]
        best = max(worth)
        if self.kind == "labels":
            return self._played(tournament, chosen, best - chosen)
        regret = best - chosen
        if self.kind == "order" and self.n > 1:
            regret /= self.n - 1
        return self._played(tournament, float(chosen == best), regret)

    def limit(self, error: float) -> float | None:
        plain = not (self.bias or self.ties or self.voids or self.graded or self.persistence)
        return limit(self.n, self.flip, error) if plain and self.kind == "order" else None

    def reference(self, text: str) -> Strategy | None:
        name, parameters = parse_notation(text)
        if name != "exact-posterior":
            return None
        if self.kind != "order" or self.flip in (0.0, 0.5):
            raise BonError(
                "exact-posterior needs the world `order` and a flip rate between 0 and 0.5"
            )
        unknown = set(parameters) - {"error"}
        if unknown:
            raise BonError(f"exact-posterior has no parameter {min(unknown)!r}; known: error")
        try:
            error = float(parameters.get("error", "0.05"))
        except ValueError:
            raise BonError("exact-posterior:error is a chance, such as 0.05") from None
        return exact_posterior(self.flip, error)

    def _played(
        self, tournament: Tournament, right: float, regret: float
    ) -> tuple[Played, Sequence[Comparison]]:
        comparisons = tournament.comparisons
        return played(comparisons, tournament.stages, right, regret), comparisons

    def _worths(self, rng: Random) -> list[float]:
        if self.kind == "strengths":
            return [rng.gauss(0.0, self.spread) for _ in range(self.n)]
        if self.kind == "labels":
            return [float(rng.random() < self.right) for _ in range(self.n)]
        return [float(worth) for worth in rng.sample(range(self.n), self.n)]

    def _teams(self, worth: Sequence[float], rng: Random) -> Sequence[int]:
        """Right answers agree; wrong ones are of a few kinds, the first of them the commonest."""
        if self.kind != "labels":
            return ()
        wrong = range(1, WRONG_ANSWERS + 1)
        kinds = rng.choices(wrong, weights=[1.0 / kind for kind in wrong], k=self.n)
        return [0 if right else kind for right, kind in zip(worth, kinds, strict=True)]

    def _judge(self, worth: Sequence[float], seed: int) -> SeatJudge:
        prefers: Preference
        if self.kind == "strengths":
            prefers = bradley_terry(worth)
        elif self.kind in KINDS:
            prefers = flips(worth, self.flip)
        else:
            raise BonError(f"unknown kind of world {self.kind!r}; known: {', '.join(KINDS)}")
        return simulated(
            prefers,
            seed=seed,
            persistence=self.persistence,
            bias=self.bias,
            ties=self.ties,
            voids={VoidReason.UNPARSABLE: self.voids} if self.voids else None,
            graded=self.graded,
        )
