"""A tournament without I/O: what a strategy sees, and the machine that plays one.

A strategy is an async function over a `Table`. What it awaits are not futures of an event loop but
requests (`Ask`, `InOrder`, `Together`) that its `Tournament` collects; whoever drives the tournament
answers them in any order, from asyncio beside hundreds of others or from a plain loop:

    tournament = Tournament(knockout, n=8, seed="...")
    todo = tournament.start().asked
    while todo:
        ask = todo.pop()
        todo += tournament.answer(ask, judge(ask.first, ask.second)).asked

Nothing depends on the order of the answers: a coroutine learns only what it awaited itself, votes
count up to the smallest prefix that decides, and everything recorded is sorted by where in the
strategy it was asked, not by when it came back.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar

from bon.types import BonError, Comparison, Match, Outcome, Verdict

T = TypeVar("T")


# --- what a strategy sees ---------------------------------------------------------------------


class Rule(Protocol):
    """A match rule: asks for comparisons of `a` and `b` until it can name the winner."""

    async def __call__(self, table: Table, a: int, b: int) -> Match: ...


class Strategy(Protocol):
    """Plays a tournament and names its winner, or all seats from best to worst."""

    async def __call__(self, table: Table) -> int | Sequence[int]: ...


class Table:
    """What a strategy sees of its tournament: seats 0 to n-1, dealt to candidates at random.

    `sizes[seat]` says how many candidates gave the same final answer as the one in that seat.
    """

    def __init__(self, n: int, seed: str, sizes: Sequence[int] = ()) -> None:
        self.n = n
        self.seats = range(n)
        self.sizes = tuple(sizes) or (1,) * n
        self._seed = seed
        self._asked: Counter[tuple[int, int]] = Counter()
        self._matches: list[Match] = []

    def compare(self, first: int, second: int) -> Ask:
        """Await one judge call with `first` in the first slot; gives the `Comparison`.

        Asked again for the same order, it is the next vote, never the old one. A VOID has already
        been retried once where the tournament allows it.
        """
        if first == second or not (0 <= first < self.n and 0 <= second < self.n):
            raise BonError(f"a strategy compared seats {first} and {second} of {self.n}: take two different seats")
        repeat = self._asked[first, second]
        self._asked[first, second] += 1
        return Ask(first, second, repeat)

    def in_order(
        self, asks: Iterable[Ask], decided: Callable[[Sequence[Comparison]], bool]
    ) -> InOrder:
        """Await several calls at once, but only the smallest prefix for which `decided` is true.

        The rest is abandoned: aborted where it still runs, and no part of the result.
        """
        return InOrder(tuple(asks), decided)

    async def duel(self, a: int, b: int, rule: Rule) -> int:
        """Await a match under `rule`; gives the winning seat."""
        match = await rule(self, a, b)
        self._matches.append(match)
        return match.winner

    def together(self, awaitables: Iterable[Awaitable[T]]) -> Together[T]:
        """Await several comparisons, matches or coroutines of the strategy's own, all at once."""
        return Together(tuple(awaitables))

    def rng(self, purpose: str, *ids: int) -> random.Random:
        """A fresh generator, the same for the same purpose and ids wherever and whenever it is asked for."""
        return random.Random(self._hash(purpose, ids))

    def coin(self, purpose: str, *ids: int) -> bool:
        """A fair coin, the same for the same purpose and ids."""
        return self._hash(purpose, ids) & 1 == 1

    def _hash(self, purpose: str, ids: tuple[int, ...]) -> int:
        text = f"{self._seed}\0{purpose}\0{ids}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


# --- the requests a strategy can await ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """One judge call."""

    first: int
    second: int
    repeat: int
    attempt: int = 0

    def __await__(self) -> Generator[Ask, Comparison, Comparison]:
        return (yield self)


@dataclass(frozen=True, slots=True)
class InOrder:
    """Several judge calls, of which only the smallest deciding prefix counts."""

    asks: tuple[Ask, ...]
    decided: Callable[[Sequence[Comparison]], bool]

    def __await__(self) -> Generator[InOrder, list[Comparison], list[Comparison]]:
        return (yield self)


@dataclass(frozen=True, slots=True)
class Together(Generic[T]):
    """Several awaitables at once."""

    parts: tuple[Awaitable[T], ...]

    def __await__(self) -> Generator[Together[T], list[T], list[T]]:
        return (yield self)


# --- the machine ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """What changed with an answer: calls to make, and calls that no longer matter."""

    asked: tuple[Ask, ...] = ()
    dropped: tuple[Ask, ...] = ()


class Tournament:
    """One tournament in progress; see the module's docstring for how to drive it.

    `retries` says how often a VOID is asked again before the strategy sees it.
    """

    def __init__(
        self,
        strategy: Strategy,
        n: int,
        *,
        seed: str,
        sizes: Sequence[int] = (),
        retries: int = 1,
    ) -> None:
        if n < 1:
            raise BonError("a tournament needs at least one candidate")
        self._table = Table(n, seed, sizes)
        self._root = _Frame(strategy(self._table).__await__())
        self._retries = retries
        self._waiting: dict[Ask, _Waiter] = {}
        self._asked: list[Ask] = []
        self._dropped: list[Ask] = []
        self._played: list[tuple[int, tuple[int, ...], Comparison]] = []
        self._order: list[int] | None = None

    def start(self) -> Step:
        """The first calls to make (none, where the strategy needs none)."""
        self._advance(self._root, None)
        return self._step()

    def answer(self, ask: Ask, verdict: Verdict) -> Step:
        """Take the verdict of a call that was asked for; one that was dropped since is ignored."""
        waiter = self._waiting.pop(ask, None)
        if waiter is None:
            return Step()
        comparison = Comparison(
            ask.first, ask.second, ask.repeat, ask.attempt, waiter.stage, verdict
        )
        waiter.attempts.append(comparison)
        if verdict.outcome is Outcome.VOID and ask.attempt < self._retries:
            waiter.stage += 1
            self._ask(replace(ask, attempt=ask.attempt + 1), waiter)
        else:
            self._deliver(waiter.frame, waiter.position, comparison)
        return self._step()

    @property
    def done(self) -> bool:
        """Whether the strategy has named its winner."""
        return self._order is not None

    @property
    def order(self) -> tuple[int, ...]:
        """The winner's seat, or all seats from best to worst where the strategy ranks them."""
        if self._order is None:
            raise RuntimeError("the tournament is not over")
        return tuple(self._order)

    @property
    def stages(self) -> int:
        """Sequential stages so far: the longest chain of judge calls of which each waited for the last."""
        return self._root.stage

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every call that counted, retries of a VOID included, by stage and then as the strategy asked."""
        return tuple(c for _, _, c in sorted(self._played, key=lambda entry: entry[:2]))

    @property
    def matches(self) -> tuple[Match, ...]:
        """Every match played, by stage and then by seats."""
        matches = self._table._matches
        return tuple(sorted(matches, key=lambda m: (m.stage, min(m.a, m.b), max(m.a, m.b))))

    def _step(self) -> Step:
        step = Step(tuple(self._asked), tuple(self._dropped))
        self._asked.clear()
        self._dropped.clear()
        return step

    def _advance(self, frame: _Frame, value: Any) -> None:
        """Run `frame` to its next request, and whoever waited for it when it ends."""
        while True:
            try:
                request = frame.coroutine.send(value)
            except StopIteration as stop:
                if frame.parent is None:
                    self._finish(stop.value)
                else:
                    frame.parent.horizon = max(frame.parent.horizon, frame.stage)
                    self._deliver(frame.parent, frame.position, stop.value)
                return
            if isinstance(request, Ask):
                frame.expect(1, request)
                self._ask(request, frame.waiter(0))
                return
            if isinstance(request, InOrder) and request.asks:
                frame.expect(len(request.asks), request)
                for position, ask in enumerate(request.asks):
                    self._ask(ask, frame.waiter(position))
                return
            if isinstance(request, Together) and request.parts:
                frame.expect(len(request.parts), request)
                for position, part in enumerate(request.parts):
                    if isinstance(part, Ask):
                        self._ask(part, frame.waiter(position))
                    else:
                        self._advance(frame.child(part.__await__(), position), None)
                return
            if not isinstance(request, InOrder | Together):
                raise BonError(
                    "a strategy may await only compare, in_order, duel and together of its table,"
                    f" not {request!r}"
                )
            value = []

    def _ask(self, ask: Ask, waiter: _Waiter) -> None:
        self._waiting[ask] = waiter
        self._asked.append(ask)

    def _deliver(self, frame: _Frame, position: int, value: Any) -> None:
        """Put one result where `frame` waits for it, and run it on when it has all it needs."""
        frame.results[position] = value
        frame.missing -= 1
        request = frame.request
        if isinstance(request, InOrder):
            taken = frame.deciding_prefix(request.decided)
            if taken is None:
                return
            for ask in [a for a, w in self._waiting.items() if w.frame is frame]:
                del self._waiting[ask]
                self._dropped.append(ask)
        elif frame.missing:
            return
        else:
            taken = len(frame.results)
        results = frame.results[:taken]
        for position in range(taken):
            waiter = frame.waiters.get(position)
            if waiter is not None:
                self._record(frame, waiter)
        frame.stage = max(frame.stage, frame.horizon)
        frame.requests += 1
        self._advance(frame, results[0] if isinstance(request, Ask) else results)

    def _record(self, frame: _Frame, waiter: _Waiter) -> None:
        path = (*frame.path, frame.requests, waiter.position)
        self._played += [(c.stage, path, c) for c in waiter.attempts]
        frame.horizon = max(frame.horizon, waiter.stage)

    def _finish(self, result: int | Sequence[int]) -> None:
        order = [result] if isinstance(result, int) else list(result)
        n = self._table.n
        whole = len(order) == 1 or sorted(order) == list(range(n))
        if not order or not whole or not 0 <= order[0] < n:
            raise BonError(
                f"a strategy must name one seat or order all {n}, not {result!r}"
            )
        self._order = order


class _Frame:
    """A running coroutine of the strategy: what it waits for, and who waits for it."""

    __slots__ = (
        "coroutine",
        "horizon",
        "missing",
        "parent",
        "path",
        "position",
        "prefix",
        "request",
        "requests",
        "results",
        "stage",
        "waiters",
    )

    def __init__(
        self,
        coroutine: Generator[Any, Any, Any],
        parent: _Frame | None = None,
        position: int = 0,
    ) -> None:
        self.coroutine = coroutine
        self.parent = parent
        self.position = position
        self.path: tuple[int, ...] = (
            () if parent is None else (*parent.path, parent.requests, position)
        )
        self.stage = 0 if parent is None else parent.stage
        self.horizon = self.stage
        self.requests = 0
        self.expect(0, None)

    def expect(self, count: int, request: Any) -> None:
        self.request = request
        self.results: list[Any] = [None] * count
        self.missing = count
        self.prefix = 0
        self.waiters: dict[int, _Waiter] = {}

    def waiter(self, position: int) -> _Waiter:
        waiter = self.waiters[position] = _Waiter(self, position, self.stage + 1)
        return waiter

    def child(self, coroutine: Generator[Any, Any, Any], position: int) -> _Frame:
        return _Frame(coroutine, self, position)

    def deciding_prefix(self, decided: Callable[[Sequence[Comparison]], bool]) -> int | None:
        """Length of the smallest complete prefix of results that decides, or of all of them."""
        while self.prefix < len(self.results) and self.results[self.prefix] is not None:
            self.prefix += 1
            if decided(self.results[: self.prefix]):
                return self.prefix
        return self.prefix if self.prefix == len(self.results) else None


class _Waiter:
    """A call that is under way: who awaits it, and the attempts made so far."""

    __slots__ = ("attempts", "frame", "position", "stage")

    def __init__(self, frame: _Frame, position: int, stage: int) -> None:
        self.frame = frame
        self.position = position
        self.stage = stage
        self.attempts: list[Comparison] = []
