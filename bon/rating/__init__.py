"""Ratings from pairwise comparisons: NumPy on integer arrays, one tournament or many at once.

    strengths = bradley_terry(first, second, score, n=8)
    strengths.strength, strengths.se, strengths.interval(.95), strengths.components
    probability_best(strengths)

Every method takes the arrays that ``bon.rating.games`` describes.
"""

from bon.rating.counts import copeland, pagerank, points, win_rate
from bon.rating.elo_ratings import EloAverage, EloScale, elo, elo_average
from bon.rating.games import NotConverged
from bon.rating.intervals import Bootstrap, bootstrap, probability_above, probability_best
from bon.rating.names import index_names
from bon.rating.posterior import Prior
from bon.rating.strengths import Strengths, bradley_terry, win_probability

__all__ = [
    "Bootstrap",
    "EloAverage",
    "EloScale",
    "NotConverged",
    "Prior",
    "Strengths",
    "bootstrap",
    "bradley_terry",
    "copeland",
    "elo",
    "elo_average",
    "index_names",
    "pagerank",
    "points",
    "probability_above",
    "probability_best",
    "win_probability",
    "win_rate",
]
