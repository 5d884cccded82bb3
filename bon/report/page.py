"""`bon report`: one self-contained page of a run, for people who will never see a terminal.

What the page shows first (numbers, findings, plots, the index of prompts) stands in it as HTML and
JSON. Everything else is compressed in blocks of results that the browser unpacks when a prompt is
opened, so that 10,000 prompts load at once. A content security policy forbids the page any request
and any script but its own; text of models reaches the page as text alone.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from bon.diagnostics import Diagnosis, diagnose_each
from bon.findings import findings
from bon.report.charts import Lengths, histogram
from bon.schema import result_to_json
from bon.shape import Node, bracket, by_rank
from bon.summary import Total
from bon.types import BonError, Result
from bon.untrusted import last_line, one_line

SCRIPTS = (
    "dom",
    "pairs",
    "data",
    "list",
    "bracket",
    "crosstable",
    "graph",
    "match",
    "prompt",
    "main",
)
"""The page's script, in the order in which its parts need each other."""

BLOCK = 1 << 18
"""Characters of JSON in one compressed block, about: unpacked in a few milliseconds."""

LEAST_CERTAIN = 40
"""Prompts that stand on the page as HTML: what is printed, and read where scripts are off."""


def write_report(results: Iterable[Result], path: str | Path, title: str) -> int:
    """Write the page; gives the number of prompts. Results are read once and not kept.

    Raises `BonError` where `path` cannot be written; then a page that was there is still whole.
    """
    path = Path(path).expanduser()
    part = path.with_name(path.name + ".part")
    try:
        with TemporaryFile("w+", encoding="ascii") as blocks:
            page = _read(results, blocks)
            with part.open("w", encoding="utf-8") as out:
                _write(page, blocks, title, out)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BonError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return len(page.rows)


class _Page:
    """What is kept of each result: its line in the index and its numbers."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.total = Total()
        self.lengths = Lengths()
        self.provenance: dict[str, set[str]] = {}
        self.block_of: list[int] = []


def _read(results: Iterable[Result], blocks: IO[str]) -> _Page:
    page = _Page()
    details: list[str] = []
    block = size = 0
    for result, diagnosis in diagnose_each(results):
        page.rows.append(row_of(result, diagnosis))
        page.total.add(diagnosis)
        page.lengths.add(result)
        for key, value in result.provenance.items():
            page.provenance.setdefault(key, set()).add(one_line(str(value), 80))
        page.block_of.append(block)
        details.append(json.dumps(detail_of(result, diagnosis), separators=(",", ":")))
        size += len(details[-1])
        if size > BLOCK:
            blocks.write(_packed(details))
            details, size, block = [], 0, block + 1
    if details:
        blocks.write(_packed(details))
    return page


def _packed(details: list[str]) -> str:
    data = b64encode(zlib.compress(f"[{','.join(details)}]".encode("ascii"))).decode("ascii")
    return f'<script type="application/octet-stream" class="block">{data}</script>\n'


def row_of(result: Result, diagnosis: Diagnosis) -> dict[str, Any]:
    """A line of the index: what prompts are listed, sorted and searched by."""
    won = None if result.winner is None else result.candidates[result.winner]
    right = diagnosis.truth and bool(diagnosis.truth.winner)
    return {
        "id": one_line(result.prompt.id, 200),
        "prompt": one_line(result.prompt.text, 240),
        "answer": last_line(won.text, 100) if won else one_line(result.error or "no winner", 100),
        "winner": result.winner,
        "best": _rounded(diagnosis.p_best),
        "margin": _rounded(diagnosis.margin),
        "right": right,
        "candidates": len(result.candidates),
        "calls": diagnosis.voids.of,
        "voids": diagnosis.voids.hits,
        "flips": diagnosis.flips.hits,
        "coins": diagnosis.coins.hits,
        "circles": len(diagnosis.contradictions),
        "tokens": diagnosis.cost["judge_output_tokens"],
    }


def detail_of(result: Result, diagnosis: Diagnosis) -> dict[str, Any]:
    """A result as the schema has it, with what the page needs to draw it."""
    final = bracket(result)
    return result_to_json(result) | {
        "page": {
            "labels": [last_line(c.text, 80) or "(empty)" for c in result.candidates],
            "right": diagnosis.truth and diagnosis.truth.right,
            "order": by_rank(result),
            "bracket": None
            if final is None
            else tree_of(final, {id(m): i for i, m in enumerate(result.matches)}),
            "circles": diagnosis.contradictions,
            "apart": diagnosis.components if diagnosis.agreement else (),
            "best": _rounded(diagnosis.p_best),
            "margin": _rounded(diagnosis.margin),
            "agreement": diagnosis.agreement,
        }
    }


def tree_of(node: Node | int, place: dict[int, int]) -> Any:
    """A candidate as its number, a match as [its place, its upper entrant, its lower entrant]."""
    if not isinstance(node, Node):
        return node
    return [place[id(node.match)], tree_of(node.a, place), tree_of(node.b, place)]


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


# --- the page -------------------------------------------------------------------------------------


def _write(page: _Page, blocks: IO[str], title: str, out: IO[str]) -> None:
    environment = Environment(
        loader=PackageLoader("bon.report", "assets"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "\n".join(asset(f"{name}.js") for name in SCRIPTS)
    script = f'\n(() => {{\n"use strict";\n{script}\n}})();\n'
    summary = page.total.summary()
    certain = sorted(range(len(page.rows)), key=lambda i: _certainty(page.rows[i]))
    index = {"rows": page.rows, "blocks": page.block_of}
    context = {
        "title": title,
        "summary": summary,
        "findings": [unbroken(finding) for finding in findings(summary)],
        "provenance": {k: sorted(v) for k, v in sorted(page.provenance.items())},
        "least_certain": [page.rows[i] for i in certain[:LEAST_CERTAIN]],
        "certainty": histogram([row["best"] for row in page.rows], low=0.0, high=1.0),
        "margins": histogram([row["margin"] for row in page.rows]),
        "lengths": page.lengths.histograms(),
        "style": Markup(asset("page.css")),
        "script": Markup(script),
        "script_hash": b64encode(sha256(script.encode()).digest()).decode("ascii"),
        "index": embedded(index),
        "blocks": _copied(blocks),
    }
    for piece in environment.get_template("page.html").generate(context):
        out.write(piece)


def embedded(data: object) -> Markup:
    """JSON that can stand in a script element: no character of it can end the element."""
    text = json.dumps(data, separators=(",", ":"))
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def _copied(blocks: IO[str]) -> Iterator[Markup]:
    blocks.seek(0)
    while piece := blocks.read(1 << 20):
        yield Markup(piece)


def _certainty(row: dict[str, Any]) -> float:
    return -1.0 if row["best"] is None else float(row["best"])


def unbroken(finding: str) -> Markup:
    """The sentence with the options in it kept whole: a line may end at any other hyphen."""
    pieces = re.split(r"(--[a-z-]+)", finding)
    return Markup("").join(
        Markup('<span class="option">{}</span>').format(piece) if i % 2 else piece
        for i, piece in enumerate(pieces)
    )


def asset(name: str) -> str:
    """A file of the page by its name."""
    return (Path(__file__).parent / "assets" / name).read_text("utf-8")
