"""A tournament without I/O: what a strategy sees, and the machine that plays one.

A strategy is an async function over a `Table`. What it awaits are not futures of an event loop but
requests (`Ask`, `InOrder`, `Together`) that its `Tournament` collects; whoever drives the tournament
answers them in any order, from asyncio beside hundreds of others or from a plain loop:

    tournament = Tournament(knockout, n=8, seed="...")
    todo = [*tournament.start().asked]
    while todo:
        ask = todo.pop()
        todo += tournament.answer(ask, judge(ask.first, ask.second)).asked

Nothing depends on the order of the answers: a coroutine learns only what it awaited itself, votes
count up to the smallest prefix that decides, and everything recorded is sorted by where in the
strategy it was asked, not by when it came back.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import index, itemgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

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

    What is known of the candidate in each seat stands in tuples, a value a seat. `sizes`: how many
    candidates it plays for. `places`: its place in the input. `teams`: seats whose final answer is the
    same have the same number. `scores` and `truth` (1 right, 0 wrong, or any worth): empty where the
    input has none.

    `votes`: how many verdicts there are to be had of a pair; None without limit, 2 one in each order, 1
    one alone. A recorded judge has no more than it has.
    """

    def __init__(
        self,
        n: int,
        seed: str,
        sizes: Sequence[int] = (),
        *,
        places: Sequence[int] = (),
        teams: Sequence[int] = (),
        scores: Sequence[float] = (),
        truth: Sequence[float] = (),
        votes: int | None = None,
    ) -> None:
        self.n = n
        self.seats = range(n)
        self.sizes = tuple(sizes) or (1,) * n
        self.places = tuple(places) or tuple(range(n))
        self.teams = tuple(teams) or tuple(range(n))
        self.scores = tuple(scores)
        self.truth = tuple(truth)
        self.votes = votes
        self._seed = seed
        self._asked: dict[tuple[int, int], int] = {}
        self._matches: list[Match] = []

    def compare(self, first: int, second: int) -> Ask:
        """Await one judge call with `first` in the first slot; gives the `Comparison`.

        Asked again for the same order, it is the next vote, never the old one. A VOID has already
        been retried once where the tournament allows it. Coroutines that run together keep to pairs
        of their own after their first calls: which vote is next must not depend on who is quicker.
        """
        pair = self._pair(first, second)
        repeat = self._asked.get(pair, 0)
        self._asked[pair] = repeat + 1
        return Ask(*pair, repeat)

    def in_order(
        self, asks: Iterable[Ask], decided: Callable[[Sequence[Comparison]], bool]
    ) -> InOrder:
        """Await several calls at once, but only the smallest prefix for which `decided` is true.

        The rest is abandoned: aborted where it still runs, and no part of the result.
        """
        return InOrder(tuple(asks), decided)

    async def duel(self, a: int, b: int, rule: Rule) -> int:
        """Await a match under `rule`; gives the winning seat."""
        return (await self.match(a, b, rule)).winner

    async def match(self, a: int, b: int, rule: Rule) -> Match:
        """As `duel`, but gives the whole match: what decided it, and by which comparisons."""
        match = await rule(self, *self._pair(a, b))
        self._matches.append(match)
        return match

    def met(self, seat: int) -> int:
        """How many matches of this seat are over; only those that the caller awaited are sure to be."""
        return sum(seat == m.a or seat == m.b for m in self._matches)

    def asked(self, a: int, b: int) -> int:
        """How many comparisons of these two have been asked for, in both orders."""
        return self._asked.get((a, b), 0) + self._asked.get((b, a), 0)

    def together(self, awaitables: Iterable[Awaitable[T]]) -> Together[T]:
        """Await several comparisons, matches or coroutines of the strategy's own, all at once."""
        return Together(tuple(awaitables))

    def rng(self, purpose: str, *ids: int) -> random.Random:
        """A fresh generator, the same for the same purpose and ids wherever and whenever it is asked for."""
        return random.Random(self._hash(purpose, ids))

    def coin(self, purpose: str, *ids: int) -> bool:
        """A fair coin, the same for the same purpose and ids."""
        return self._hash(purpose, ids) & 1 == 1

    def _pair(self, a: int, b: int) -> tuple[int, int]:
        """Both seats as plain integers, also where NumPy's come in; they end up in hashes and files."""
        try:
            pair = self.seats.index(a), self.seats.index(b)
        except ValueError:
            pair = (0, 0)
        if pair[0] == pair[1]:
            raise BonError(
                f"a strategy compared seats {a!r} and {b!r}: take two different ones of 0 to {self.n - 1}"
            )
        return pair

    def _hash(self, purpose: str, ids: tuple[int, ...]) -> int:
        text = "\0".join((self._seed, purpose, *map(str, ids))).encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


# --- the requests a strategy can await ----------------------------------------------------------


class Ask(NamedTuple):
    """One judge call. A named tuple, because it is hashed several times in its short life."""

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


class Step(NamedTuple):
    """What changed with an answer: calls to make, and calls that no longer matter."""

    asked: tuple[Ask, ...] = ()
    dropped: tuple[Ask, ...] = ()


NOTHING = Step()


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
        places: Sequence[int] = (),
        teams: Sequence[int] = (),
        scores: Sequence[float] = (),
        truth: Sequence[float] = (),
        votes: int | None = None,
        retries: int = 1,
    ) -> None:
        if n < 1:
            raise BonError("a tournament needs at least one candidate")
        self._table = Table(
            n, seed, sizes, places=places, teams=teams, scores=scores, truth=truth, votes=votes
        )
        self._root = _Frame(strategy(self._table).__await__())
        self._retries = retries
        self._waiters: dict[Ask, _Waiter | None] = {}
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
        waiter = self._waiters.get(ask)
        if waiter is None:
            return NOTHING
        self._waiters[ask] = None
        comparison = Comparison(
            ask.first, ask.second, ask.repeat, ask.attempt, waiter.stage, verdict
        )
        waiter.attempts.append(comparison)
        if verdict.outcome is Outcome.VOID and ask.attempt < self._retries:
            waiter.stage += 1
            self._ask(ask._replace(attempt=ask.attempt + 1), waiter)
        else:
            self._deliver(waiter.frame, waiter.position, comparison)
        return self._step()

    def cut_short(self) -> None:
        """End it where it stands: verdicts that are here count, also those that wait for others.

        The strategy has named nobody then; further answers are ignored.
        """
        if self.done:
            return
        # whoever has not ended waits for a call, itself or through those that it waits for
        waiting = [waiter.frame for waiter in self._waiters.values() if waiter is not None]
        live: dict[int, _Frame] = {}
        while waiting:
            frame = waiting.pop()
            if id(frame) not in live:
                live[id(frame)] = frame
                waiting += [frame.parent] if frame.parent is not None else []
        for frame in live.values():
            for waiter in frame.waiters:
                self._record(frame, waiter)
        self._waiters = dict.fromkeys(self._waiters)
        self._order = []

    @property
    def done(self) -> bool:
        """Whether it is over: the strategy has named its winner, or it was cut short."""
        return self._order is not None

    @property
    def order(self) -> tuple[int, ...]:
        """The winner's seat, or all seats from best to worst where the strategy ranks them.

        Empty where the tournament was cut short.
        """
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
        return tuple(c for _, _, c in sorted(self._played, key=itemgetter(0, 1)))

    @property
    def matches(self) -> tuple[Match, ...]:
        """Every match played, by stage, then by seats, then by votes."""

        def place(match: Match) -> tuple[int, int, int, list[int]]:
            repeats = [comparison.repeat for comparison in match.comparisons]
            return match.stage, min(match.a, match.b), max(match.a, match.b), repeats

        return tuple(sorted(self._table._matches, key=place))

    def _step(self) -> Step:
        if not self._asked and not self._dropped:
            return NOTHING
        step = Step(tuple(self._asked), tuple(self._dropped))
        self._asked.clear()
        self._dropped.clear()
        return step

    def _advance(self, frame: _Frame, value: Any) -> None:
        """Run `frame` to its next request, and whoever waited for it when it ends."""
        parts: Sequence[Any] = ()
        while not parts:
            try:
                request = frame.coroutine.send(value)
            except StopIteration as stop:
                self._end(frame, stop.value)
                return
            if isinstance(request, Ask):
                parts = (request,)
            elif isinstance(request, InOrder):
                parts = request.asks
            elif isinstance(request, Together):
                parts = request.parts
            else:
                raise _foreign(request)
            value = []
        frame.expect(request, len(parts))
        for position, part in enumerate(parts):
            if isinstance(part, Ask):
                self._ask(part, frame.waiter(position))
            elif begin := getattr(part, "__await__", None):
                self._advance(_Frame(begin(), frame, position), None)
            else:
                raise _foreign(part)

    def _end(self, frame: _Frame, value: Any) -> None:
        parent = frame.parent
        if parent is None:
            self._finish(value)
        else:
            if frame.stage > parent.horizon:
                parent.horizon = frame.stage
            self._deliver(parent, frame.position, value)

    def _ask(self, ask: Ask, waiter: _Waiter) -> None:
        if ask in self._waiters:
            raise BonError(
                f"a strategy awaited one comparison of {ask.first} and {ask.second} twice:"
                " call compare again for another"
            )
        waiter.ask = ask
        self._waiters[ask] = waiter
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
        elif frame.missing:
            return
        else:
            taken = len(frame.results)
        for waiter in frame.waiters:
            if waiter.position < taken:
                self._record(frame, waiter)
            elif self._waiters[waiter.ask]:
                self._waiters[waiter.ask] = None
                self._dropped.append(waiter.ask)
        frame.stage = frame.horizon
        frame.requests += 1
        results = frame.results[:taken]
        self._advance(frame, results[0] if isinstance(request, Ask) else results)

    def _record(self, frame: _Frame, waiter: _Waiter) -> None:
        path = (*frame.path, frame.requests, waiter.position)
        self._played += [(c.stage, path, c) for c in waiter.attempts]
        if waiter.stage > frame.horizon:
            frame.horizon = waiter.stage

    def _finish(self, result: Any) -> None:
        seats = self._table.seats
        try:
            order = [index(seat) for seat in (result if isinstance(result, Iterable) else [result])]
        except TypeError:
            order = []
        if sorted(order) != list(seats) and not (len(order) == 1 and order[0] in seats):
            raise BonError(
                f"a strategy must name one seat or order all {len(seats)}, not {result!r}"
            )
        self._order = order


def _foreign(request: object) -> BonError:
    return BonError(
        "a strategy may await only compare, in_order, duel and together of its table,"
        f" not {request!r}"
    )


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
        self.stage: int = 0 if parent is None else parent.stage
        self.horizon = self.stage
        self.requests: int = 0

    def expect(self, request: Any, count: int) -> None:
        self.request = request
        self.results: list[Any] = [None] * count
        self.missing = count
        self.prefix = 0
        self.waiters: list[_Waiter] = []

    def waiter(self, position: int) -> _Waiter:
        waiter = _Waiter(self, position)
        self.waiters.append(waiter)
        return waiter

    def deciding_prefix(self, decided: Callable[[Sequence[Comparison]], bool]) -> int | None:
        """Length of the smallest complete prefix of results that decides, or of all of them."""
        while self.prefix < len(self.results) and self.results[self.prefix] is not None:
            self.prefix += 1
            if decided(self.results[: self.prefix]):
                return self.prefix
        return self.prefix if self.prefix == len(self.results) else None


class _Waiter:
    """A call that is under way: who awaits it, and the attempts made so far."""

    __slots__ = ("ask", "attempts", "frame", "position", "stage")
    ask: Ask

    def __init__(self, frame: _Frame, position: int) -> None:
        self.frame = frame
        self.position = position
        self.stage = frame.stage + 1
        self.attempts: list[Comparison] = []
