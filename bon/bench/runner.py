"""Plays strategies on every prompt of a world, over processes; how many makes no difference to the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import numpy as np

from bon.bench.kept import Column, Kept
from bon.bench.played import Played, World
from bon.catalog import parse_strategy
from bon.tournament import Strategy

Columns = dict[str, Column]
"""For each field of `Played`, one number a prompt."""
Task = tuple[str, int, int]
"""A strategy on the prompts from the first number up to the second."""
PARTS, MOST_PROMPTS = 16, 250
"""A strategy's prompts are played in so many parts, none larger than this: what progress and --keep go by."""
Told = Callable[[str, int, int], None]
"""Told a strategy, and of how many prompts and comparisons more it is done with."""


def run(
    world: World, texts: Sequence[str], jobs: int, told: Told, kept: Kept | None = None
) -> dict[str, Columns]:
    """Play each strategy on each prompt, but for the parts that are `kept`.

    Raises `BonError` for a strategy that cannot be played here.
    """
    for text in texts:
        world.play(entrant(world, text), 0)  # what is wrong with it is said before the long part
    tables = {text: np.zeros((world.size, len(Played._fields))) for text in texts}
    for text, start, rows in _parts(world, texts, jobs, kept):
        tables[text][start : start + len(rows)] = rows
        told(text, len(rows), int(rows[:, Played._fields.index("comparisons")].sum()))
    return {text: dict(zip(Played._fields, table.T, strict=True)) for text, table in tables.items()}


def entrant(world: World, text: str) -> Strategy:
    """A strategy by its notation, or a yardstick of the world's own."""
    return world.reference(text) or parse_strategy(text)


def _parts(
    world: World, texts: Sequence[str], jobs: int, kept: Kept | None
) -> Iterator[tuple[str, int, Column]]:
    step = max(1, min(MOST_PROMPTS, world.size // PARTS))
    tasks = []
    for text in texts:
        for start in range(0, world.size, step):
            stop = min(start + step, world.size)
            rows = kept.part(text, start, stop) if kept else None
            if rows is None:
                tasks.append((text, start, stop))
            else:
                yield text, start, rows
    for (text, start, stop), rows in _made(world, tasks, jobs):
        if kept:
            kept.add(text, start, stop, rows)
        yield text, start, rows


def _made(world: World, tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Column]]:
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, _play(world, *task)
        return
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_take, initargs=(world,)
    ) as pool:
        running = {pool.submit(_play_here, *task): task for task in tasks}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _play(world: World, text: str, start: int, stop: int) -> Column:
    strategy = entrant(world, text)
    return np.array([world.play(strategy, i) for i in range(start, stop)], dtype=np.float64)


_world: World


def _take(world: World) -> None:
    """In a worker: keep the world, which is too large to send with every part."""
    global _world
    _world = world


def _play_here(text: str, start: int, stop: int) -> Column:
    return _play(_world, text, start, stop)
