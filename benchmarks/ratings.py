"""Ratings against evalica, choix and arena-rank, in one run: the peer's time over ours.

    python benchmarks/ratings.py            a table, with the method compared and how far answers differ
    python benchmarks/ratings.py --json     {"one_prompt": {"evalica": 6.1, ...}, "batch": ...},
                                            the table on standard error

It needs NumPy and the peers, no more: an environment of their own keeps them out of the checkout's.

    python -m venv peers && peers/bin/pip install numpy evalica choix jax==0.8.1 jaxtyping optax
    peers/bin/pip install --no-deps arena-rank && peers/bin/python benchmarks/ratings.py

Like is compared with like: a peer's Elo with Elo, its Bradley-Terry with Bradley-Terry. A key with
no method in it is Bradley-Terry, but for evalica on one prompt, where it is Elo, the usual rating
of one prompt's round robin; "evalica elo" and the like name the others. Answers are compared
without a prior, which the peers do not have; timed is ours as it comes, with one.

Both sides run in turn, each counts its fastest round, and the clock is the processor time of this
process (wall time for arena-rank, which has threads of its own), so that load on the machine falls
on both. What a peer would need minutes for runs on a part and is scaled up ("part"). Each side
gets the input that it likes best: lists for evalica, past its indexing in million_integers; arrays
for ours. In million_strings both get lists of names, and in "from lists, indexing in" the same lists
of integers, which evalica's public function indexes. null: the peer is not installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# a BLAS with many threads loses time on small matrices; must be set before NumPy loads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# whatever Python runs this, ours are the ratings beside it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from bon.rating import bootstrap, bradley_terry, elo, index_names
from bon.rating.games import FloatArray, IntArray

INSTALL = "pip install evalica choix jax==0.8.1 jaxtyping optax && pip install --no-deps arena-rank"
PEERS = ("evalica", "choix", "arena-rank")
TASKS = ("one_prompt", "batch", "bootstraps", "million_integers", "million_strings")
SEED = 7
N, PROMPTS, RESAMPLES = 16, 10_000, 1_000
ITEMS, MANY = 100, 1_000_000


@dataclass(frozen=True)
class Case:
    """One comparison of ours with a peer's."""

    task: str
    peer: str
    method: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    part: float = 1.0
    """share of the task that ``theirs`` does"""
    apart: Callable[[], float] | None = None
    """largest difference between the two answers, in natural-log odds"""
    main: bool = True

    @property
    def key(self) -> str:
        """Its name in the task's object."""
        return self.peer if self.main else f"{self.peer} {self.method}"


@dataclass(frozen=True)
class Measured:
    """Fastest times in seconds, the peer's for the whole task."""

    case: Case
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


@dataclass(frozen=True)
class Input:
    """Comparisons in the forms that the libraries take."""

    first: IntArray
    second: IntArray
    score: FloatArray

    @property
    def lists(self) -> tuple[list[int], list[int]]:
        return self.first.tolist(), self.second.tolist()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Winner first."""
        won = self.score > 0.5
        winner = np.where(won, self.first, self.second)
        loser = np.where(won, self.second, self.first)
        return list(zip(winner.tolist(), loser.tolist(), strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one object of ratios")
    parser.add_argument("--task", choices=TASKS, action="append", help="only this; may be repeated")
    arguments = parser.parse_args()
    missing = [peer for peer in PEERS if load(peer) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}. To add them: {INSTALL}", file=sys.stderr)
    found: dict[str, dict[str, float | None]] = {}
    wrong = []
    for task in arguments.task or TASKS:
        found[task] = dict.fromkeys((p for p in PEERS if p in missing), None)
        for case in CASES[task]():
            if case.peer in missing:
                continue
            measured = measure(case)
            difference = case.apart() if case.apart else None
            if difference is not None and not difference < 1e-3:
                wrong.append(f"{task}, {case.peer}, {case.method}: answers differ by {difference}")
            found[task][case.key] = round(measured.ratio, 2)
            aside = sys.stderr if arguments.json else sys.stdout
            print(row(measured, difference), file=aside, flush=True)
    if arguments.json:
        print(json.dumps(found))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def row(measured: Measured, difference: float | None) -> str:
    case = measured.case
    apart = "" if difference is None else f"  answers within {difference:.0e}"
    part = "" if case.part == 1.0 else f"  part {case.part:g}"
    return (
        f"{case.task:16} {case.peer:10} {case.method:28} "
        f"{1e3 * measured.theirs:10.3f} ms / {1e3 * measured.ours:9.3f} ms = "
        f"{measured.ratio:7.2f}{apart}{part}"
    )


def measure(case: Case, seconds: float = 6.0) -> Measured:
    """Rounds of one side after the other until the time is up; short calls are repeated.

    A peer whose first round takes longer than that gets no second one.
    """
    clock = time.perf_counter if case.peer == "arena-rank" else time.process_time
    sides = (case.ours, case.theirs)
    case.ours()
    end = time.perf_counter() + seconds
    best = [timed(side, 1, clock) for side in sides]
    repeats = [max(1, int(0.02 / max(once, 1e-9))) for once in best]
    while time.perf_counter() < end:
        for k, side in enumerate(sides):
            best[k] = min(best[k], timed(side, repeats[k], clock))
    return Measured(case, best[0], best[1] / case.part)


def timed(call: Callable[[], Any], repeats: int, clock: Callable[[], float]) -> float:
    """Seconds a call."""
    begin = clock()
    for _ in range(repeats):
        call()
    return (clock() - begin) / repeats


@cache
def load(peer: str) -> Any:
    """The peer's module, or None."""
    name = {"arena-rank": "arena_rank.models.bradley_terry"}.get(peer, peer)
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


# --- inputs


def everyone_wins_and_loses(won: FloatArray) -> bool:
    """Whether a maximum-likelihood answer exists, so that unregularised peers have one too."""
    reach = (won > 0).astype(float)
    for _ in range(5):
        reach = ((reach + reach @ reach) > 0).astype(float)
    return bool(reach.all())


@cache
def prompts(count: int) -> list[Input]:
    """Round robins of N candidates with standard normal strengths, every candidate having won
    and lost so that there is a maximum-likelihood answer."""
    rng = np.random.default_rng(SEED)
    first, second = np.triu_indices(N, 1)
    made: list[Input] = []
    while len(made) < count:
        strength = rng.normal(size=N)
        chance = 1.0 / (1.0 + np.exp(strength[second] - strength[first]))
        score = (rng.random(len(first)) < chance).astype(float)
        won = np.zeros((N, N))
        won[first, second], won[second, first] = score, 1.0 - score
        if everyone_wins_and_loses(won):
            made.append(Input(first, second, score))
    return made


@cache
def million() -> Input:
    rng = np.random.default_rng(SEED)
    first = rng.integers(0, ITEMS, MANY)
    second = (first + rng.integers(1, ITEMS, MANY)) % ITEMS
    strength = rng.normal(size=ITEMS)
    chance = 1.0 / (1.0 + np.exp(strength[second] - strength[first]))
    return Input(first, second, (rng.random(MANY) < chance).astype(float))


# --- the peers, each behind one small function


def winners(score: FloatArray) -> list[Any]:
    evalica = load("evalica")
    return [evalica.Winner.X if s else evalica.Winner.Y for s in score.tolist()]


def evalica_rate(method: str, prompt: Input) -> Callable[[], Any]:
    """evalica's public function on lists of integers."""
    rate = getattr(load("evalica"), method)
    (first, second), outcome = prompt.lists, winners(prompt.score)
    return lambda: rate(first, second, outcome)


def evalica_strength(prompt: Input, n: int) -> FloatArray:
    scores = evalica_rate("bradley_terry", prompt)().scores
    return centred(np.log(np.array([scores[i] for i in range(n)])))


def evalica_core(method: str, prompt: Input, n: int) -> Callable[[], Any]:
    """evalica's compiled kernel on lists of integers, past its indexing and its pandas."""
    core = getattr(load("evalica")._brzo, method)
    given: dict[str, Any] = {"xs": prompt.lists[0], "ys": prompt.lists[1], "total": n}
    given |= {"winners": winners(prompt.score), "weights": [1.0] * len(prompt.first)}
    given |= {"win_weight": 1.0, "tie_weight": 0.5}
    if method == "elo":
        given |= {"initial": 1000.0, "base": 10.0, "scale": 400.0, "k": 4.0}
    else:
        given |= {"tolerance": 1e-6, "limit": 100}
    return lambda: core(**given)


def choix_rate(prompt: Input, n: int) -> Callable[[], FloatArray]:
    rate, pairs = load("choix").ilsr_pairwise, prompt.pairs
    return lambda: np.asarray(rate(n, pairs))


def arena_rate(prompt: Input, n: int) -> Callable[[], FloatArray]:
    """arena-rank from a data frame, as it asks for; its compilation falls into the first call."""
    pandas = importlib.import_module("pandas")
    data = importlib.import_module("arena_rank.utils.data_utils").PairDataset
    model = load("arena-rank").BradleyTerry
    frame = pandas.DataFrame(
        {
            "model_a": prompt.first,
            "model_b": prompt.second,
            "winner": np.where(prompt.score > 0.5, "model_a", "model_b"),
        }
    )

    def rate() -> FloatArray:
        fitted = model(n_competitors=n)
        fitted.fit(data.from_pandas(frame))
        return np.asarray(fitted.params["ratings"])

    return rate


def centred(strength: FloatArray) -> FloatArray:
    moved: FloatArray = strength - strength.mean()
    return moved


def likeliest(prompt: Input, n: int) -> FloatArray:
    """Ours without a prior, to compare answers with peers that have none."""
    return bradley_terry(prompt.first, prompt.second, prompt.score, n=n, prior=None).strength


def distance(a: FloatArray, b: FloatArray) -> float:
    return float(np.abs(centred(a) - centred(b)).max())


# --- the tasks


def one_prompt() -> Iterator[Case]:
    one = prompts(1)[0]
    a, b, s = one.first, one.second, one.score

    def strengths() -> Any:
        return bradley_terry(a, b, s, n=N)

    if load("evalica"):
        yield Case(
            "one_prompt",
            "evalica",
            "elo",
            lambda: elo(a, b, s, n=N),
            evalica_rate("elo", one),
            apart=lambda: elo_distance(one, N),
        )
        yield Case(
            "one_prompt",
            "evalica",
            "bradley_terry",
            strengths,
            evalica_rate("bradley_terry", one),
            apart=lambda: distance(evalica_strength(one, N), likeliest(one, N)),
            main=False,
        )
    if load("choix"):
        rate = choix_rate(one, N)
        yield Case(
            "one_prompt", "choix", "bradley_terry", strengths, rate,
            apart=lambda: distance(rate(), likeliest(one, N)),
        )  # fmt: skip
    if load("arena-rank"):
        arena = arena_rate(one, N)
        yield Case(
            "one_prompt", "arena-rank", "bradley_terry", strengths, arena,
            apart=lambda: distance(arena(), likeliest(one, N)),
        )  # fmt: skip


def elo_distance(prompt: Input, n: int) -> float:
    scores = evalica_rate("elo", prompt)().scores
    ours = elo(prompt.first, prompt.second, prompt.score, n=n)
    return float(np.abs(ours - [scores[i] for i in range(n)]).max())


def batch() -> Iterator[Case]:
    many = prompts(PROMPTS)
    first, second, score = (
        np.concatenate([getattr(p, name) for p in many]) for name in ("first", "second", "score")
    )
    which = np.repeat(np.arange(PROMPTS), len(many[0].first))

    def strengths() -> Any:
        return bradley_terry(first, second, score, n=N, tournament=which)

    def each(calls: list[Callable[[], Any]]) -> Callable[[], None]:
        def run() -> None:
            for call in calls:
                call()

        return run

    if load("evalica"):
        part = many[: PROMPTS // 10]
        yield Case(
            "batch", "evalica", "bradley_terry", strengths,
            each([evalica_rate("bradley_terry", p) for p in part]), part=0.1,
        )  # fmt: skip
        yield Case(
            "batch", "evalica", "elo",
            lambda: elo(first, second, score, n=N, tournament=which),
            each([evalica_rate("elo", p) for p in part]), part=0.1, main=False,
        )  # fmt: skip
    for peer, rate, share in (("choix", choix_rate, 0.01), ("arena-rank", arena_rate, 0.0002)):
        if load(peer):
            calls: list[Callable[[], Any]] = [rate(p, N) for p in many[: round(PROMPTS * share)]]
            yield Case("batch", peer, "bradley_terry", strengths, each(calls), part=share)


def bootstraps() -> Iterator[Case]:
    one = prompts(1)[0]
    a, b, s = one.first, one.second, one.score
    rng = np.random.default_rng(SEED)
    redraws = [
        Input(a[rows], b[rows], s[rows]) for rows in rng.integers(0, len(a), (RESAMPLES, len(a)))
    ]

    def resampled() -> Any:
        return bootstrap(bradley_terry, a, b, s, n=N, resamples=RESAMPLES)

    if load("evalica"):
        calls = [evalica_rate("bradley_terry", redraw) for redraw in redraws]
        yield Case(
            "bootstraps", "evalica", "bradley_terry", resampled, lambda: [call() for call in calls]
        )
        evalica, (first, second), outcome = load("evalica"), one.lists, winners(s)
        yield Case(
            "bootstraps", "evalica", "its own bootstrap()", resampled,
            lambda: evalica.bootstrap(
                evalica.bradley_terry, first, second, outcome,
                n_resamples=RESAMPLES, bootstrap_method="percentile",
            ),
            main=False,
        )  # fmt: skip
    if load("choix"):
        # a resample may leave someone without a win: choix then needs its own regularisation
        rate = load("choix").ilsr_pairwise
        pairs = [redraw.pairs for redraw in redraws[: RESAMPLES // 20]]
        yield Case(
            "bootstraps", "choix", "bradley_terry", resampled,
            lambda: [rate(N, p, alpha=0.01) for p in pairs], part=0.05,
        )  # fmt: skip
    if load("arena-rank"):
        calls = [arena_rate(redraw, N) for redraw in redraws[: RESAMPLES // 500]]
        yield Case(
            "bootstraps", "arena-rank", "bradley_terry", resampled,
            lambda: [call() for call in calls], part=0.002,
        )  # fmt: skip


def million_integers() -> Iterator[Case]:
    many = million()
    a, b, s = many.first, many.second, many.score

    def strengths() -> Any:
        return bradley_terry(a, b, s, n=ITEMS)

    if load("evalica"):
        yield Case(
            "million_integers", "evalica", "bradley_terry", strengths,
            evalica_core("bradley_terry", many, ITEMS),
            apart=lambda: distance(evalica_strength(many, ITEMS), likeliest(many, ITEMS)),
        )  # fmt: skip
        yield Case(
            "million_integers", "evalica", "elo", lambda: elo(a, b, s, n=ITEMS),
            evalica_core("elo", many, ITEMS),
            apart=lambda: elo_distance(many, ITEMS), main=False,
        )  # fmt: skip
        (first, second), score = many.lists, s.tolist()
        yield Case(
            "million_integers", "evalica", "elo, from lists, indexing in",
            lambda: elo(first, second, score, n=ITEMS),
            evalica_rate("elo", many), main=False,
        )  # fmt: skip
    for peer, rate in (("choix", choix_rate), ("arena-rank", arena_rate)):
        if load(peer):
            yield against(
                Case("million_integers", peer, "bradley_terry", strengths, rate(many, ITEMS))
            )


def against(case: Case) -> Case:
    """The case with its answers checked: ``theirs`` returns strengths."""
    many = million()
    return Case(
        case.task, case.peer, case.method, case.ours, case.theirs,
        apart=lambda: distance(case.theirs(), likeliest(many, ITEMS)),
    )  # fmt: skip


def million_strings() -> Iterator[Case]:
    many = million()
    names = [f"organisation-{i % 9}/model-{i}-instruct" for i in range(ITEMS)]
    xs, ys = ([names[i] for i in side] for side in many.lists)
    scores = many.score.tolist()

    def strengths() -> Any:
        first, second, known = index_names(xs, ys)
        return bradley_terry(first, second, scores, n=len(known))

    def ratings() -> Any:
        first, second, known = index_names(xs, ys)
        return elo(first, second, scores, n=len(known))

    if load("evalica"):
        evalica, outcome = load("evalica"), winners(many.score)
        yield Case(
            "million_strings", "evalica", "bradley_terry", strengths,
            lambda: evalica.bradley_terry(xs, ys, outcome),
        )  # fmt: skip
        yield Case(
            "million_strings", "evalica", "elo", ratings,
            lambda: evalica.elo(xs, ys, outcome), main=False,
        )  # fmt: skip
    if load("choix"):
        rate = load("choix").ilsr_pairwise

        def indexed() -> Any:
            number = {name: i for i, name in enumerate(dict.fromkeys(xs))}
            won = zip(xs, ys, scores, strict=True)
            return rate(
                ITEMS, [(number[x], number[y]) if s else (number[y], number[x]) for x, y, s in won]
            )

        yield Case("million_strings", "choix", "bradley_terry", strengths, indexed)
    if load("arena-rank"):
        named = Input(np.array(xs, dtype=object), np.array(ys, dtype=object), many.score)
        yield Case(
            "million_strings", "arena-rank", "bradley_terry", strengths, arena_rate(named, ITEMS)
        )


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "one_prompt": one_prompt,
    "batch": batch,
    "bootstraps": bootstraps,
    "million_integers": million_integers,
    "million_strings": million_strings,
}


if __name__ == "__main__":
    sys.exit(main())
