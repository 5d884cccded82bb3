"""Comparison graphs beside a run: one a prompt, drawn while the judge goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bon.types import BonError, Result


def graph_folder(folder: str, ending: str) -> Path:
    """The folder for graphs of this format; raises `BonError` where it cannot be, or nobody knows the format."""
    from bon.graph import WRITERS

    if f".{ending}" not in WRITERS:
        known = ", ".join(known.removeprefix(".") for known in WRITERS)
        raise BonError(f"unknown graph format {ending!r}; known: {known}")
    target = Path(folder).expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BonError(f"cannot write {folder}: {error.strerror or error}") from error
    return target


@contextmanager
def drawing(folder: Path, ending: str) -> Iterator[Callable[[Result], None]]:
    """Takes results, and draws them in a thread of its own: a picture takes as long as many judge calls.

    Leaving it waits for what is still to be drawn, and raises what went wrong first. Left by an
    exception, it draws no more.
    """
    from bon.graph import write_graph
    from bon.untrusted import file_stem

    failures: list[BaseException] = []

    def note(done: Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            failures.append(error)

    def draw(result: Result) -> None:
        path = folder / f"{file_stem(result.prompt.id)}.{ending}"
        pool.submit(write_graph, result, path).add_done_callback(note)

    pool = ThreadPoolExecutor(1, thread_name_prefix="drawing")
    try:
        yield draw
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
    if failures:
        raise failures[0]
