"""Ratings against published numbers and against other programs' output.

The tables of citations and of baseball games are public knowledge and stand here. The larger ones
lie outside the project, in `ratings/` of the folder that BON_SHARED_DATA names, by default
`../shared/data` beside the checkout.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from bon.rating import bradley_terry, elo, index_names, pagerank, points, win_rate
from bon.rating.games import FloatArray, IntArray

FOLDER = Path(
    os.environ.get("BON_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")
) / "ratings"  # fmt: skip

needs_data = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no comparisons in {FOLDER} (set BON_SHARED_DATA)"
)

CITATIONS = """
    Biometrika 730 Comm.Statist 33, Biometrika 498 JASA 320, Biometrika 221 JRSS-B 284,
    Comm.Statist 68 JASA 813, Comm.Statist 17 JRSS-B 276, JASA 142 JRSS-B 325"""
"""Citations between statistics journals (Stigler 1994; Agresti, Categorical Data Analysis)."""

BASEBALL = """
    MIL 4 DET 3, MIL 4 TOR 2, MIL 4 NY 3, MIL 6 BOS 1, MIL 4 CLE 2, MIL 6 BAL 0,
    DET 3 MIL 3, DET 4 TOR 2, DET 4 NY 3, DET 6 BOS 0, DET 6 CLE 1, DET 4 BAL 3,
    TOR 2 MIL 5, TOR 4 DET 3, TOR 2 NY 4, TOR 4 BOS 3, TOR 4 CLE 2, TOR 6 BAL 0,
    NY 3 MIL 3, NY 5 DET 1, NY 2 TOR 5, NY 4 BOS 3, NY 4 CLE 2, NY 6 BAL 1,
    BOS 5 MIL 1, BOS 2 DET 5, BOS 3 TOR 3, BOS 4 NY 2, BOS 5 CLE 2, BOS 6 BAL 0,
    CLE 2 MIL 5, CLE 3 DET 3, CLE 3 TOR 4, CLE 4 NY 3, CLE 4 BOS 2, CLE 2 BAL 4,
    BAL 2 MIL 5, BAL 1 DET 5, BAL 1 TOR 6, BAL 2 NY 4, BAL 1 BOS 6, BAL 3 CLE 4"""
"""American League East 1987, the home team first (Agresti, Categorical Data Analysis)."""


def read(table: str) -> tuple[IntArray, IntArray, FloatArray, FloatArray, list[str]]:
    """Rows "x WINS y WINS": a comparison of each outcome, weighted by how often it happened."""
    rows = [row.split() for row in table.split(",")]
    first, second, names = index_names([r[0] for r in rows] * 2, [r[2] for r in rows] * 2)
    score = np.repeat([1.0, 0.0], len(rows))
    return first, second, score, np.array([float(r[k]) for k in (1, 3) for r in rows]), names


def against(names: list[str], strength: FloatArray, zero: str) -> dict[str, float]:
    return dict(zip(names, (strength - strength[names.index(zero)]).tolist(), strict=True))


def test_journals() -> None:
    first, second, score, weight, names = read(CITATIONS)
    fit = bradley_terry(first, second, score, n=4, weight=weight, prior=None)
    expected = {"Biometrika": 0, "Comm.Statist": -2.94907, "JASA": -0.47957, "JRSS-B": 0.26895}
    assert against(names, fit.strength, "Biometrika") == pytest.approx(expected, abs=5e-6)


def test_baseball() -> None:
    first, second, score, weight, names = read(BASEBALL)
    fit = bradley_terry(first, second, score, n=7, weight=weight, prior=None)
    expected = {
        "BAL": 0.0, "BOS": 1.10770, "CLE": 0.68385, "DET": 1.43641,
        "MIL": 1.58136, "NY": 1.24762, "TOR": 1.29449,
    }  # fmt: skip
    assert against(names, fit.strength, "BAL") == pytest.approx(expected, abs=6e-6)


def test_baseball_at_home() -> None:
    # Agresti gives the home team's log odds of winning as .302, standard error .131
    first, second, score, weight, _ = read(BASEBALL)
    fit = bradley_terry(
        first, second, score, n=7, weight=weight, prior=None, position="fit"
    )  # fmt: skip
    assert fit.position == pytest.approx(0.302, abs=5e-4)
    assert fit.position_se == pytest.approx(0.131, abs=5e-4)


def test_a_cycle_with_one_more_comparison() -> None:
    fit = bradley_terry([0, 0, 1, 2], [1, 1, 2, 0], [1] * 4, n=3, prior=None)
    assert fit.strength == pytest.approx([0.419617624, -0.419617624, 0.0], abs=1e-9)


Table = tuple[IntArray, IntArray, FloatArray, list[str], dict[str, dict[str, float]]]


def comparisons(name: str) -> Table:
    """Comparisons of a table and what each method is to give for every item."""
    score = {"left": 1.0, "right": 0.0, "tie": 0.5}
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    first, second, names = index_names([r["left"] for r in rows], [r["right"] for r in rows])
    golden: dict[str, dict[str, float]] = {}
    with (FOLDER / f"{name}-golden.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            golden.setdefault(row["algorithm"], {})[row["item"]] = float(row["score"])
    return first, second, np.array([score[r["winner"]] for r in rows]), names, golden


def golden_values(table: Table, method: str) -> FloatArray:
    return np.array([table[4][method][name] for name in table[3]])


@needs_data
@pytest.mark.parametrize("name", ["simple", "food", "llmfao"])
class TestTables:
    def test_ratings_that_are_numbers_of_their_own(self, name: str) -> None:
        table = comparisons(name)
        first, second, score, names, _ = table
        n = len(names)
        for method, ours in {
            "counting": points(first, second, score, n=n),
            "average_win_rate": win_rate(first, second, score, n=n, per="opponent"),
            "elo": elo(first, second, score, n=n),
            "pagerank": pagerank(first, second, score, n=n),
        }.items():
            assert ours == pytest.approx(golden_values(table, method), abs=1e-9), method

    def test_strengths_which_have_no_zero(self, name: str) -> None:
        table = comparisons(name)
        first, second, score, names, _ = table
        for method, tie in (("bradley_terry", 0.0), ("newman", "fit")):
            fit = bradley_terry(
                first, second, score, n=len(names), prior=None, tie=tie  # type: ignore[arg-type]
            )  # fmt: skip
            expected = np.log(golden_values(table, method))
            assert fit.strength == pytest.approx(expected - expected.mean(), abs=1e-9), method


@needs_data
@pytest.mark.parametrize("name", ["testcase-pairwise-1", "testcase-pairwise-2"])
def test_maximum_likelihood_of_pairwise_cases(name: str) -> None:
    case = json.loads((FOLDER / f"{name}.json").read_text())
    winner, loser = np.array(case["data"]).T
    fit = bradley_terry(winner, loser, np.ones(len(winner)), n=case["n_items"], prior=None)
    assert fit.strength == pytest.approx(case["ml_est"], abs=1e-9)
