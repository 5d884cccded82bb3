"""Plays strategies on every prompt of a world, over processes; how many makes no difference to the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

from bon.bench.kept import Column, Kept
from bon.bench.played import Played, World
from bon.blocks import Blocks
from bon.catalog import Entrant, parse_strategy
from bon.posterior.learning import WIDTH, evidence
from bon.profile import UNKNOWN
from bon.tournament import Strategy

Columns = dict[str, Column]
"""For each field of `Played`, one number a prompt."""
PARTS, MOST_PROMPTS = 16, 250
"""A strategy's prompts are played in so many parts, none larger than this: what progress and --keep go by."""
Told = Callable[[str, int, int], None]
"""Told a strategy, and of how many prompts and comparisons more it is done with."""
FIELDS, CALLS = len(Played._fields), Played._fields.index("comparisons")


class Part(NamedTuple):
    """A strategy on the prompts from `start` up to `stop`, all of one block."""

    text: str
    start: int
    stop: int


def run(
    world: World, texts: Sequence[str], jobs: int, told: Told, kept: Kept | None = None
) -> dict[str, Columns]:
    """Play each strategy on each prompt, but for the parts that are `kept`.

    Raises `BonError` for a strategy that cannot be played here.
    """
    courses = {text: Course(world, text) for text in texts}
    for course in courses.values():
        world.play(course.strategy, 0)  # what is wrong with it is said before the long part
    tables = {text: np.zeros((world.size, FIELDS)) for text in texts}
    for part, rows in _played(world, courses, jobs, kept):
        courses[part.text].take(part, rows)
        tables[part.text][part.start : part.stop] = rows[:, :FIELDS]
        told(part.text, len(rows), int(rows[:, CALLS].sum()))
    return {text: dict(zip(Played._fields, table.T, strict=True)) for text, table in tables.items()}


def entrant(world: World, text: str) -> Strategy:
    """A strategy by its notation, or a yardstick of the world's own."""
    return world.reference(text) or parse_strategy(text)


class Course:
    """One strategy on its way through a world: its parts, and what later ones learn of earlier ones."""

    def __init__(self, world: World, text: str) -> None:
        self.strategy = strategy = entrant(world, text)
        self._blocks = Blocks(strategy, world.seats) if isinstance(strategy, Entrant) else None
        step = max(1, min(MOST_PROMPTS, world.size // PARTS))
        starts = set(range(0, world.size, step))
        if self._blocks is not None and self._blocks.learns:
            starts |= set(range(0, world.size, self._blocks.size))
        edges = [*sorted(starts), world.size]
        self.parts = [Part(text, *edge) for edge in pairwise(edges)]

    def ready(self, part: Part) -> bool:
        """Whether all that the part depends on is over."""
        return self._blocks is None or self._blocks.ready(part.start)

    def lessons(self, part: Part) -> list[Lesson]:
        """What the strategy is told on each prompt of the part."""
        blocks, prompts = self._blocks, range(part.start, part.stop)
        if blocks is None or not blocks.learns:
            return []
        return [Lesson(blocks.settings(index), blocks.heard(index)) for index in prompts]

    def take(self, part: Part, rows: Column) -> None:
        """Take note of a part that is over."""
        if self._blocks is None or not self._blocks.learns:
            return
        for index, row in zip(range(part.start, part.stop), rows, strict=True):
            heard = row[FIELDS:] if self._blocks.heard(index) else None
            self._blocks.over(index, int(row[CALLS]), heard)


class Lesson(NamedTuple):
    """What a strategy is told on one prompt beside its parameters, and whether others learn from it."""

    settings: Mapping[str, Any]
    heard: bool


def _played(
    world: World, courses: Mapping[str, Course], jobs: int, kept: Kept | None
) -> Iterator[tuple[Part, Column]]:
    pending = []
    for course in courses.values():
        for part in course.parts:
            rows = kept.part(*part) if kept else None
            if rows is None:
                pending.append(part)
            else:
                yield part, rows
    at_once = 1 if len(pending) < 2 else jobs
    running: dict[Future[Column], Part] = {}
    with _executor(world, at_once) as pool:
        try:
            while pending or running:
                ready = (part for part in pending if courses[part.text].ready(part))
                for part in [part for part, _ in zip(ready, range(2 * at_once - len(running)))]:  # noqa: B905
                    pending.remove(part)
                    running[pool.submit(_play, *part, courses[part.text].lessons(part))] = part
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    part, rows = running.pop(done), done.result()
                    if kept:
                        kept.add(*part, rows)
                    yield part, rows
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _executor(world: World, jobs: int) -> Executor:
    if jobs == 1:
        _take(world)
        return _Here()
    return ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_take, initargs=(world,)
    )


class _Here(Executor):
    """Does at once, in this process, what it is given."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future


_world: World


def _take(world: World) -> None:
    """In a worker: keep the world, which is too large to send with every part."""
    global _world
    _world = world


def _play(text: str, start: int, stop: int, lessons: Sequence[Lesson]) -> Column:
    """A row a prompt: what was played and, where the strategy learns, the evidence it left."""
    strategy = entrant(_world, text)
    rows = np.zeros((stop - start, FIELDS + (WIDTH if lessons else 0)))
    for row, index in zip(rows, range(start, stop), strict=True):
        playing = strategy
        if lessons and isinstance(strategy, Entrant):
            arguments = {**strategy.arguments, **lessons[index - start].settings}
            playing = replace(strategy, arguments=arguments)
        row[:FIELDS], comparisons = _world.play(playing, index)
        if lessons and lessons[index - start].heard:
            profile = lessons[index - start].settings.get("profile", UNKNOWN)
            row[FIELDS:] = evidence(_world.seats[index], comparisons, profile)
    return rows
