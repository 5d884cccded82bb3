"""The page of `bon report` as a file: what is in it, and what cannot be."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from result_factory import double_round_robin, play

from bon.cli import cli
from bon.report.charts import Lengths, histogram
from bon.report.page import embedded, unbroken, write_report
from bon.schema import result_from_json, result_to_json
from bon.strategies.knockout import knockout
from bon.strategies.round_robin import round_robin
from bon.types import BonError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bon.types import Result

EVIL = "</script><script>document.title='pwned'</script><img src=http://evil.example/x onerror=alert(1)>"


def page_of(tmp_path: Path, *results: Result, title: str = "A run") -> str:
    write_report(results, tmp_path / "report.html", title)
    return (tmp_path / "report.html").read_text("utf-8")


def details_in(page: str) -> Iterator[dict[str, Any]]:
    for block in re.findall(r'class="block">([A-Za-z0-9+/=]*)</script>', page):
        yield from json.loads(zlib.decompress(b64decode(block)))


def index_in(page: str) -> list[dict[str, Any]]:
    [text] = re.findall(r'<script type="application/json" id="index">(.*?)</script>', page)
    rows: list[dict[str, Any]] = json.loads(text)["rows"]
    return rows


# --- what is in it --------------------------------------------------------------------------------


def test_every_result_is_in_the_page_whole(tmp_path: Path) -> None:
    results = [play(identity=f"p{i}", seed=str(i)) for i in range(5)]
    results.append(play(double_round_robin, 5))
    details = list(details_in(page_of(tmp_path, *results)))
    assert [result_from_json(detail) for detail in details] == results


def test_large_runs_are_packed_in_several_blocks(tmp_path: Path) -> None:
    results = [play(n=2, identity=f"p{i}", texts=["x" * 100_000, "y"]) for i in range(7)]
    page = page_of(tmp_path, *results)
    assert page.count('class="block"') == 3
    assert [detail["id"] for detail in details_in(page)] == [f"p{i}" for i in range(7)]


def test_a_knockout_comes_with_its_bracket_and_a_round_robin_without(tmp_path: Path) -> None:
    first, second = details_in(page_of(tmp_path, play(knockout, 4), play(round_robin, 4)))
    place, upper, lower = first["page"]["bracket"]
    assert first["matches"][place]["winner"] == first["winner"]
    assert {type(upper), type(lower)} == {list}
    assert second["page"]["bracket"] is None


def test_the_index_has_what_prompts_are_sorted_and_searched_by(tmp_path: Path) -> None:
    result = play(n=4, texts=["16"] * 4, answer="16")
    [row] = index_in(page_of(tmp_path, result))
    assert row["id"] == "spiders"
    assert row["right"] is True
    assert 0 < row["best"] < 1
    assert row["calls"] == len(result.comparisons)


def test_a_prompt_without_a_winner_is_listed_with_its_error(tmp_path: Path) -> None:
    failed = replace(
        play(n=2), winner=None, ranking=(), matches=(), comparisons=(), error="no engine"
    )
    [row] = index_in(page_of(tmp_path, failed))
    assert row["winner"] is None
    assert row["answer"] == "no engine"


def test_a_page_of_no_results_can_be_written(tmp_path: Path) -> None:
    assert index_in(page_of(tmp_path)) == []


# --- what cannot be -------------------------------------------------------------------------------


def test_text_from_anywhere_is_never_markup(tmp_path: Path) -> None:
    result = replace(
        play(n=2, texts=[EVIL, EVIL], prompt=EVIL, identity=EVIL, answer=EVIL),
        provenance={"strategy": EVIL, "judge": EVIL},
    )
    page = page_of(tmp_path, result, title=EVIL)
    assert page.count("<script") == 3, "the block, the index and the page's own"
    assert page.count("</script") == 3
    assert "<img" not in page


def test_the_page_may_run_its_own_script_and_ask_nobody_anything(tmp_path: Path) -> None:
    page = page_of(tmp_path, play())
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    [script] = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert set(re.findall(r"https?://[^\s\"']*", page)) == {"http://www.w3.org/2000/svg"}


@given(st.text(st.characters(codec=None)))
def test_embedded_json_reads_back_and_cannot_end_its_element(text: str) -> None:
    data = embedded({"text": text})
    assert json.loads(data) == {"text": text}
    assert data.isascii()
    assert not set("<>&") & set(data)


# --- writing it -----------------------------------------------------------------------------------


def test_a_page_that_fails_leaves_the_old_one_whole(tmp_path: Path) -> None:
    def torn() -> Iterator[Result]:
        yield play()
        raise BonError("line 2: torn")

    before = page_of(tmp_path, play())
    with pytest.raises(BonError, match="torn"):
        write_report(torn(), tmp_path / "report.html", "x")
    assert (tmp_path / "report.html").read_text("utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_an_option_in_a_finding_is_kept_whole_and_the_rest_is_text() -> None:
    assert str(unbroken("<b>: raise --judge-max-tokens, or not")) == (
        '&lt;b&gt;: raise <span class="option">--judge-max-tokens</span>, or not'
    )


def test_an_empty_file_makes_no_page(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").touch()
    arguments = ["report", str(tmp_path / "r.jsonl"), "-o", str(tmp_path / "out.html")]
    with pytest.raises(BonError, match="there is no result in"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert not (tmp_path / "out.html").exists()


def test_the_command_writes_where_it_is_told(tmp_path: Path) -> None:
    row = orjson.dumps(result_to_json(play()))
    (tmp_path / "r.jsonl").write_bytes(row + b"\n" + row + b"\n")
    arguments = ["report", str(tmp_path / "r.jsonl"), "-o", str(tmp_path / "out.html")]
    outcome = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "2 prompts" in outcome.stderr
    assert "<title>r</title>" in (tmp_path / "out.html").read_text("utf-8")


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(BonError, match=r"cannot write .*: No such file or directory"):
        write_report([play()], tmp_path / "no" / "report.html", "x")


# --- plots ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_a_histogram_counts_every_value_once_within_its_limits(values: list[float]) -> None:
    made = histogram(values)
    assert made is not None
    counts = [int(bar.text.rpartition(": ")[2].replace(",", "")) for bar in made.bars]
    assert sum(counts) == len(values)
    assert max(bar.height for bar in made.bars) == 1
    assert all(-1e-9 <= tick.at <= 1 + 1e-9 for tick in made.ticks)
    assert 2 <= len(made.ticks) <= 8


def test_a_histogram_of_nothing_is_none() -> None:
    assert histogram([None, None]) is None
    assert Lengths().histograms() is None


def test_lengths_of_candidates_and_winners_stand_over_one_axis() -> None:
    lengths = Lengths()
    lengths.add(play(n=4, texts=["x" * 10, "x" * 100, "x" * 1000, "x" * 100_000]))
    made = lengths.histograms()
    assert made is not None
    everyone, winners = made
    assert everyone.ticks == winners.ticks
    assert (everyone.count, winners.count) == (4, 1)
    assert [bar.left for bar in everyone.bars] == [bar.left for bar in winners.bars]
