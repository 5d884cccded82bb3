"""The table of serving figures in benchmarks/README.md, and the benchmark that writes it."""

from __future__ import annotations

import orjson

from benchmarks.serving import PAGE, RESULTS, page_with, table


def test_the_page_has_the_figures_that_were_measured() -> None:
    page = PAGE.read_text("utf-8")
    assert page_with(page, orjson.loads(RESULTS.read_bytes())) == page


def test_what_was_not_measured_is_said_to_be_so() -> None:
    lines = table({"measured": {}}).splitlines()[2:]
    assert len(lines) > 8
    assert all("not measured" in line for line in lines)
