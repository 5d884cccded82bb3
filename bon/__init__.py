"""Best of N by tournament: sample candidates, let a reward reasoning model compare them, keep the winner."""

__version__ = "0.1.0"
