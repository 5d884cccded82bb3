"""The ledger: nothing lost but a torn record, nothing served that was not asked for."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bon.cli.ledger import command
from bon.generation import Generation, Reply, Request, Sampling
from bon.ledger import Ledger, LedgerError, candidates_key, content, records, store, verdict_key
from bon.ledger.upkeep import compact, describe, export
from bon.ledgered import LedgeredJudge, LedgeredSampler
from bon.sampler import Sampler
from bon.types import Candidate, EngineError, Message, Outcome, Prompt, Verdict, VoidReason

texts = st.text(max_size=40)
verdicts = st.builds(
    Verdict,
    st.sampled_from([Outcome.FIRST, Outcome.SECOND, Outcome.TIE]),
    st.none() | st.floats(0, 1),
    texts,
    texts,
    prompt_tokens=st.integers(0, 1 << 40),
) | st.builds(
    Verdict, st.just(Outcome.VOID), void_reason=st.sampled_from(list(VoidReason)), detail=texts
)


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Hundreds of ledgers are opened and closed here: on a busy disk that is all waiting."""


def keep(ledger: Ledger, number: int, verdict: Verdict) -> bytes:
    """Keep a verdict about texts that only this number has."""
    key = verdict_key("judge", "q", str(number), "b", 0, 0)
    ledger.add_verdict(
        key, verdict, judge="judge", query="q", first=str(number), second="b", repeat=0, attempt=0
    )
    return key


def kill(ledger: Ledger) -> None:
    """What SIGKILL leaves: files as they are, locks gone."""
    ledger._index.abandon()
    ledger._release()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name) / "ledger"


# --- crashes ------------------------------------------------------------------------------------

moves = st.lists(
    st.one_of(
        st.tuples(st.just("write"), verdicts),
        st.tuples(st.just("close"), st.none()),
        st.tuples(st.just("kill"), st.none()),
        st.tuples(st.just("truncate"), st.floats(0, 1)),
        st.tuples(st.just("lose index"), st.booleans()),
    ),
    max_size=30,
)


@given(moves, st.sampled_from([300, 900, 1 << 20]), st.sampled_from([2, 5, 4096]))
@settings(max_examples=60)
def test_any_interleaving_of_writes_kills_and_truncations_loses_only_the_torn_record(
    moves: list[tuple[str, object]], segment_bytes: int, batch: int
) -> None:
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as name,
        patch.object(store, "SEGMENT_BYTES", segment_bytes),
        patch.object(store, "BATCH", batch),
    ):
        folder = Path(name)
        kept: dict[bytes, tuple[Verdict, int, int]] = {}
        lost: set[bytes] = set()
        ledger = Ledger(folder)
        for number, (move, value) in enumerate(moves):
            if move == "write":
                assert isinstance(value, Verdict)
                key = keep(ledger, number, value)
                place = ledger._fresh.get(key) or ledger._index.find(key)
                assert place is not None
                kept[key] = (value, place.segment, place.start + place.size)
                continue
            ledger.close() if move == "close" else kill(ledger)
            if move == "truncate":
                assert isinstance(value, float)
                number, file = store.segments(folder)[-1]
                left = int(value * file.stat().st_size)
                with file.open("r+b") as stream:
                    stream.truncate(left)
                gone = {k for k, (_, s, end) in kept.items() if s == number and end > left}
                lost |= gone
                kept = {k: v for k, v in kept.items() if k not in gone}
            if move == "lose index":
                index = folder / "index.sqlite"
                index.write_bytes(b"x" * 5000) if value else index.unlink()
            ledger = Ledger(folder)
            assert all(ledger.verdict(key) == verdict for key, (verdict, _, _) in kept.items())
            assert not any(key in ledger for key in lost)
        ledger.close()
        assert describe(folder).damaged_bytes == 0


@given(st.lists(verdicts, min_size=1, max_size=8), st.data())
@settings(max_examples=40)
def test_a_damaged_byte_costs_only_the_record_it_is_in(
    written: list[Verdict], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        with Ledger(name) as ledger:
            keys = [keep(ledger, i, verdict) for i, verdict in enumerate(written)]
            places = [ledger._fresh[key] for key in keys]
        file = store.segment_path(Path(name), 1)
        stored = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(stored) - 1))
        stored[at] ^= data.draw(st.integers(1, 255))
        file.write_bytes(stored)
        rebuild = data.draw(st.booleans())
        if rebuild:
            (Path(name) / "index.sqlite").unlink()
        with Ledger(name, write=False) as ledger:
            for key, place, verdict in zip(keys, places, written, strict=True):
                hit = place.start <= at < place.start + place.size
                assert ledger.verdict(key) == (None if hit else verdict)


@given(st.lists(st.binary(max_size=60), max_size=10), st.binary(max_size=30))
def test_scanning_finds_every_record_behind_any_rubbish(
    payloads: list[bytes], rubbish: bytes
) -> None:
    rubbish = rubbish.replace(records.MAGIC[:1], b"")  # whole records may be anything but rubbish
    packed = [records.pack(bytes(15) + bytes([i]), 1, p) for i, p in enumerate(payloads)]
    found = list(records.scan(b"".join(rubbish + record for record in packed) + rubbish))
    read = [part.payload for part in found if isinstance(part, records.Record)]
    assert read == payloads
    gaps = [part for part in found if isinstance(part, records.Gap)]
    assert len(gaps) == (len(payloads) + 1 if rubbish else 0)


@given(st.binary(max_size=300))
def test_scanning_never_fails_and_covers_every_byte(data: bytes) -> None:
    at = 0
    for part in records.scan(data):
        assert part.start == at
        at = part.end
    assert at == len(data)


def test_an_index_of_another_boot_is_made_anew(folder: Path) -> None:
    ledger = Ledger(folder)
    key = keep(ledger, 1, Verdict(Outcome.TIE))
    kill(ledger)
    with sqlite3.connect(folder / "index.sqlite") as db:
        db.execute("UPDATE note SET boot = 'yesterday'")
        db.execute("UPDATE covered SET bytes = 7")
    db.close()
    with Ledger(folder) as ledger:
        assert ledger.verdict(key) == Verdict(Outcome.TIE)


# --- keys and content ---------------------------------------------------------------------------

calls = st.tuples(texts, texts, texts, texts, st.integers(0, 9), st.integers(0, 1))


@given(calls, calls)
def test_different_calls_have_different_keys(
    one: tuple[str, str, str, str, int, int], other: tuple[str, str, str, str, int, int]
) -> None:
    assert (verdict_key(*one) == verdict_key(*other)) == (one == other)


@given(verdicts, calls)
def test_verdicts_come_back_as_they_went_in(
    verdict: Verdict, call: tuple[str, str, str, str, int, int]
) -> None:
    judge, query, first, second, repeat, attempt = call
    data = content.verdict_to_bytes(verdict, judge, query, first, second, repeat, attempt)
    assert content.verdict_from_bytes(data) == verdict


def test_text_that_is_not_unicode_is_kept_as_it_is(folder: Path) -> None:
    verdict = Verdict(Outcome.FIRST, text="half a pair: \ud83d")
    with Ledger(folder) as ledger:
        key = verdict_key("judge", "\udcff", "a", "b", 0, 0)
        ledger.add_verdict(
            key, verdict, judge="j", query="\udcff", first="a", second="b", repeat=0, attempt=0
        )
        assert ledger.verdict(key) == verdict


def test_candidates_are_no_verdict(folder: Path) -> None:
    key = candidates_key("policy", (8, 0.7), [Message("user", "hi")])
    candidates = (Candidate("a", "thought", "length", 7), Candidate("b"))
    with Ledger(folder) as ledger:
        ledger.add_candidates(key, candidates, "policy")
        assert ledger.candidates(key) == candidates
        assert ledger.verdict(key) is None


def test_the_first_verdict_under_a_key_stays(folder: Path) -> None:
    with Ledger(folder) as ledger:
        key = keep(ledger, 1, Verdict(Outcome.FIRST))
        keep(ledger, 1, Verdict(Outcome.SECOND))
        assert ledger.verdict(key) == Verdict(Outcome.FIRST)


# --- readers and writers ------------------------------------------------------------------------


def _write_elsewhere(folder: Path, answer: multiprocessing.Queue[str]) -> None:
    try:
        Ledger(folder)
        answer.put("opened")
    except LedgerError as error:
        answer.put(str(error))


def test_a_second_writer_is_told_at_once_and_readers_are_welcome(folder: Path) -> None:
    with Ledger(folder) as ledger:
        key = keep(ledger, 1, Verdict(Outcome.FIRST))
        with pytest.raises(LedgerError, match="is being written by another run"):
            Ledger(folder)
        context = multiprocessing.get_context("spawn")
        answer: multiprocessing.Queue[str] = context.Queue()
        process = context.Process(target=_write_elsewhere, args=(folder, answer))
        process.start()
        assert "is being written by another run" in answer.get(timeout=30)
        process.join()
        with Ledger(folder, write=False) as one, Ledger(folder, write=False) as another:
            assert one.verdict(key) == another.verdict(key) == Verdict(Outcome.FIRST)
    Ledger(folder).close()


def test_a_reader_and_its_writer_never_wait_for_each_other(folder: Path) -> None:
    with Ledger(folder) as ledger, Ledger(folder, write=False) as reader:
        with patch.object(store, "BATCH", 1):
            keys = [keep(ledger, number, Verdict(Outcome.TIE)) for number in range(3)]
            assert [reader.verdict(key) for key in keys] == [Verdict(Outcome.TIE)] * 3
            keys.append(keep(ledger, 3, Verdict(Outcome.FIRST)))
        assert reader.verdict(keys[3]) == Verdict(Outcome.FIRST)


def test_reading_where_there_is_no_ledger_says_so(folder: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger at"):
        Ledger(folder, write=False)
    with pytest.raises(LedgerError, match="there is no ledger at"):
        describe(folder)


def test_a_full_disk_is_told_and_leaves_whole_records(folder: Path) -> None:
    ledger = Ledger(folder)
    first = keep(ledger, 1, Verdict(Outcome.FIRST))

    def short_write(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    real = os.write
    with (
        patch.object(os, "write", short_write),
        pytest.raises(LedgerError, match="no space left"),
    ):
        keep(ledger, 2, Verdict(Outcome.SECOND))
    with pytest.raises(LedgerError, match="no space left"):  # it does not go on as if nothing were
        keep(ledger, 3, Verdict(Outcome.SECOND))
    ledger.close()
    with Ledger(folder) as ledger:
        assert ledger.cut == 0
        assert ledger.verdict(first) == Verdict(Outcome.FIRST)
        second = keep(ledger, 2, Verdict(Outcome.TIE))
        assert ledger.verdict(second) == Verdict(Outcome.TIE)


def test_a_folder_that_vanishes_is_noticed(folder: Path) -> None:
    ledger = Ledger(folder)
    keep(ledger, 1, Verdict(Outcome.FIRST))
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(LedgerError, match="its folder is gone"):
        ledger.sync()
    ledger.close()


# --- upkeep -------------------------------------------------------------------------------------


def test_compaction_keeps_every_verdict_in_fewer_bytes(folder: Path) -> None:
    written = {}
    with patch.object(store, "SEGMENT_BYTES", 5000), Ledger(folder) as ledger:
        for i in range(50):
            verdict = Verdict(Outcome.FIRST, reasoning=f"{i} is more than {i - 1}. " * 20)
            written[keep(ledger, i, verdict)] = verdict
    with store.segment_path(folder, 2).open("r+b") as stream:
        stream.write(b"damage")
    before, after = compact(folder)
    info = describe(folder)
    assert after < before / 2
    assert (info.segments, info.damaged_bytes, info.duplicates) == (1, 0, 0)
    with Ledger(folder) as ledger:
        found = {key: ledger.verdict(key) for key in written}
        assert sum(verdict is None for verdict in found.values()) == 1
        assert all(verdict in (None, written[key]) for key, verdict in found.items())
        keep(ledger, 99, Verdict(Outcome.TIE))
    assert compact(folder)[1] <= after + 500


def test_a_compaction_that_is_cut_off_loses_nothing(folder: Path) -> None:
    with Ledger(folder) as ledger:
        keys = [keep(ledger, i, Verdict(Outcome.FIRST, text="x" * 99)) for i in range(9)]
    with (
        patch.object(Path, "unlink", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        compact(folder)
    info = describe(folder)
    assert (info.verdicts, info.duplicates) == (9, 9)
    with Ledger(folder) as ledger:
        assert all(key in ledger for key in keys)


def test_export_is_a_row_a_verdict(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Ledger(folder) as ledger:
        key = keep(ledger, 1, Verdict(Outcome.FIRST, 0.75, "because"))
        keep(ledger, 2, Verdict(Outcome.VOID, void_reason=VoidReason.TRUNCATED))
        ledger.add_candidates(candidates_key("p", (), []), (Candidate("a"),), "p")
    assert export(folder, folder / "verdicts.parquet") == 2
    rows = parquet.read_table(folder / "verdicts.parquet").to_pylist()
    assert [row["outcome"] for row in rows] == ["first", "void"]
    assert rows[0]["key"] == key.hex()
    assert (rows[0]["p_first"], rows[0]["reasoning"]) == (0.75, "because")
    assert rows[1]["void_reason"] == "truncated"


# --- the judge and the sampler with a ledger ----------------------------------------------------


FIRST = Verdict(Outcome.FIRST)


@dataclass
class Counting:
    """A judge that counts its calls and takes its time."""

    identity: str = "counting"
    calls: int = 0
    verdict: Verdict = FIRST
    seconds: float = 0.001

    async def compare(
        self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
    ) -> Verdict:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        return self.verdict


async def ask(judge: LedgeredJudge, query: str = "q", repeat: int = 0) -> Verdict:
    return await judge.compare(query, "a", "b", repeat=repeat, attempt=0, priority=0)


def test_equal_calls_at_once_are_made_once(folder: Path) -> None:
    async def run(ledger: Ledger) -> int:
        counting = Counting()
        judge = LedgeredJudge(counting, ledger)
        await asyncio.gather(*(ask(judge) for _ in range(5)), ask(judge, repeat=1))
        await ask(judge)
        return counting.calls

    with Ledger(folder) as ledger:
        assert asyncio.run(run(ledger)) == 2


def test_when_the_one_who_asks_is_aborted_another_asks(folder: Path) -> None:
    async def run(ledger: Ledger) -> tuple[int, list[object]]:
        counting = Counting(seconds=0.02)
        judge = LedgeredJudge(counting, ledger)
        tasks = [asyncio.create_task(ask(judge)) for _ in range(3)]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        outcomes: list[object] = await asyncio.gather(*tasks, return_exceptions=True)
        return counting.calls, outcomes

    with Ledger(folder) as ledger:
        calls, outcomes = asyncio.run(run(ledger))
    assert calls == 2
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [Verdict(Outcome.FIRST)] * 2


def test_a_failure_of_the_back_end_is_asked_again_next_time(folder: Path) -> None:
    failed = Verdict(Outcome.VOID, void_reason=VoidReason.FAILED)
    unparsable = replace(failed, void_reason=VoidReason.UNPARSABLE)
    with Ledger(folder) as ledger:
        for verdict, calls in ((failed, 2), (unparsable, 1)):
            counting = Counting(verdict.void_reason or "", verdict=verdict)
            for _ in range(2):
                assert asyncio.run(ask(LedgeredJudge(counting, ledger))) == verdict
            assert counting.calls == calls


def test_another_judge_is_never_served_these_verdicts(folder: Path) -> None:
    with Ledger(folder) as ledger:
        for identity in ("one", "another"):
            counting = Counting(identity)
            asyncio.run(ask(LedgeredJudge(counting, ledger)))
            assert counting.calls == 1


def test_an_engine_that_dies_wakes_everyone_who_waits(folder: Path) -> None:
    class Dying(Counting):
        async def compare(
            self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
        ) -> Verdict:
            await asyncio.sleep(0.001)
            raise EngineError("dead")

    async def run(ledger: Ledger) -> list[object]:
        judge = LedgeredJudge(Dying(), ledger)
        asks = [ask(judge) for _ in range(3)]
        return list(await asyncio.gather(*asks, return_exceptions=True))

    with Ledger(folder) as ledger:
        assert all(isinstance(error, EngineError) for error in asyncio.run(run(ledger)))


@dataclass
class Echo:
    """A policy that says what number its answer is."""

    identity: str = "echo"
    capacity: int = 4
    calls: int = 0

    async def generate(self, request: Request) -> Reply:
        self.calls += 1
        answers = [f"{self.calls}.{i}" for i in range(request.sampling.n)]
        return Reply(tuple(Generation(text, "stop", (1, 2)) for text in answers), 3)


def test_the_same_prompt_is_sampled_once_for_the_same_settings(folder: Path) -> None:
    echo = Echo()
    prompt = Prompt("1", (Message("user", "hi"),))
    with Ledger(folder) as ledger:

        def sample(sampler: Sampler, prompt: Prompt = prompt) -> tuple[Candidate, ...]:
            return asyncio.run(LedgeredSampler(sampler, ledger).sample(prompt))

        sampler = Sampler(echo, Sampling(10, n=2))
        first = sample(sampler)
        assert sample(sampler, replace(prompt, id="2")) == first
        assert echo.calls == 1
        sample(replace(sampler, seed=1))
        sample(replace(sampler, sampling=Sampling(11, n=2)))
        sample(replace(sampler, system="Be brief."))
        sample(sampler, Prompt("1", (Message("user", "ho"),)))
        assert echo.calls == 5


# --- the command --------------------------------------------------------------------------------


def test_the_command_describes_compacts_and_exports(folder: Path) -> None:
    with Ledger(folder) as ledger:
        for i in range(9):
            keep(ledger, i, Verdict(Outcome.FIRST, reasoning="as before, " * 30))

    def bon(*arguments: str) -> str:
        result = CliRunner().invoke(command, [*arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    assert "verdicts     9 (9 first)" in bon("info", str(folder))
    assert json.loads(bon("info", str(folder), "--json"))["judges"] == {"judge": 9}
    assert "now" in bon("compact", str(folder))
    assert "9 verdicts" in bon("export", str(folder), "-o", str(folder / "v.parquet"))
