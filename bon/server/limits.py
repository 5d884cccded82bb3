"""What a client may ask for, and how much of it at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold for every client, whoever it is."""

    n: int = 64
    """Candidates a request."""
    requests: int = 256
    """Requests in flight; more are told to come again (429)."""
    body: int = 4 << 20
    """Bytes of a request's body."""
    prompt: int = 400_000
    """Characters of a conversation, tools and schemas included."""
    number: float = 100
    """The largest number in a strategy's parameters, but for those that cap the cost of a tournament."""
    at_once: int = 16_384
    """Judge calls with which a tournament may begin: each of them is held in memory while it waits."""
    seconds: float = 600.0
    """Until the best so far is the answer."""
