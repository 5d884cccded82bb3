"""The comparison graph, its file formats and its pictures."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_factory import Judge, double_knockout, double_round_robin, noisy_judge, play

from bon.drawing.ring import pairs_of, suits
from bon.graph import comparison_graph, write_graph
from bon.strategies.knockout import knockout
from bon.strategies.round_robin import round_robin
from bon.types import BonError, Outcome, Verdict, VoidReason

if TYPE_CHECKING:
    from pathlib import Path

    from bon.tournament import Ask

nx = pytest.importorskip("networkx")

NASTY = (
    'say "hi" <script>alert(1)</script> & `code` \\ #1; ]] --> \x1b[31mred\x00 \u202eright\ud800'
)


def always(outcome: Outcome) -> Judge:
    reason = VoidReason.FAILED if outcome is Outcome.VOID else None
    return lambda ask: Verdict(outcome, void_reason=reason)


# --- the graph ------------------------------------------------------------------------------------


def test_an_edge_leads_from_the_preferred_candidate_to_the_other() -> None:
    graph = comparison_graph(play(n=2, judge=always(Outcome.SECOND)))
    [(preferred, other, attributes)] = graph.edges(data=True)
    assert attributes["shown_first"] == other
    assert graph.nodes[preferred]["winner"]
    assert attributes["weight"] == 1.0


def test_a_tie_is_half_an_edge_each_way() -> None:
    graph = comparison_graph(play(n=2, judge=always(Outcome.TIE)))
    assert sorted((u, v, w) for u, v, w in graph.edges(data="weight")) == [(0, 1, 0.5), (1, 0, 0.5)]


def test_a_void_is_no_edge_but_is_counted() -> None:
    graph = comparison_graph(play(n=2, judge=always(Outcome.VOID)))
    assert graph.number_of_edges() == 0
    assert graph.graph["voids"] == 2, "the call and its retry"
    assert [graph.nodes[node]["voids"] for node in sorted(graph)] == [2, 2]


def test_a_candidate_that_another_played_for_is_no_node() -> None:
    result = play(n=3)
    unplayed = replace(
        result, candidates=(*result.candidates, result.candidates[0]), groups=(0, 1, 2, 0)
    )
    graph = comparison_graph(unplayed)
    assert set(graph) == {0, 1, 2}
    assert graph.nodes[0]["same_answer"] == 2


def test_contradictions_are_strongly_connected_components() -> None:
    def rock_paper_scissors(ask: Any) -> Verdict:
        return Verdict(Outcome.FIRST if (ask.first - ask.second) % 3 == 1 else Outcome.SECOND)

    graph = comparison_graph(play(round_robin, 3, judge=rock_paper_scissors))
    assert [len(part) for part in nx.strongly_connected_components(graph)] == [3]


@settings(max_examples=40)
@given(st.integers(2, 7), st.integers(0, 50), st.sampled_from([knockout, double_round_robin]))
def test_every_verdict_is_in_the_graph_once(n: int, seed: int, strategy: Any) -> None:
    result = play(strategy, n, seed=str(seed))
    graph = comparison_graph(result)
    heard = [i for i, c in enumerate(result.comparisons) if c.score_first is not None]
    weight: dict[int, float] = dict.fromkeys(heard, 0.0)
    for _, _, attributes in graph.edges(data=True):
        weight[attributes["comparison"]] += attributes["weight"]
    assert weight == dict.fromkeys(heard, 1.0)


# --- files ----------------------------------------------------------------------------------------


def with_types(graph: Any) -> tuple[Any, Any]:
    def typed(attributes: dict[str, Any], but: set[str]) -> dict[str, Any]:
        return {k: (type(v).__name__, v) for k, v in attributes.items() if k not in but}

    nodes = {node: typed(data, set()) for node, data in graph.nodes(data=True)}
    edges = sorted(
        # Readers add the edge's id, which the multigraph has as its key, and GEXF also that key.
        (u, v, sorted(typed(data, {"id", "networkx_key"}).items()))
        for u, v, data in graph.edges(data=True)
    )
    return nodes, edges


def read_back(path: Path) -> Any:
    if path.suffix == ".graphml":
        return nx.read_graphml(path, node_type=int, edge_key_type=int, force_multigraph=True)
    if path.suffix == ".gexf":
        return nx.read_gexf(path, node_type=int)
    return nx.node_link_graph(json.loads(path.read_text("utf-8")), edges="edges")


@pytest.mark.parametrize("ending", [".graphml", ".gexf", ".json"])
@pytest.mark.parametrize("strategy", [knockout, double_knockout, double_round_robin])
def test_a_file_gives_the_same_graph_with_the_same_types(
    ending: str, strategy: Any, tmp_path: Path
) -> None:
    texts = [NASTY, "", "שלום עולם", "👩‍🚀 done", "a\nb\r\nc", "x" * 100_000]
    graph = comparison_graph(play(strategy, 6, texts=texts, prompt=NASTY))
    write_graph(graph, tmp_path / f"g{ending}")
    assert with_types(read_back(tmp_path / f"g{ending}")) == with_types(graph)


@pytest.mark.parametrize("ending", [".graphml", ".json"])
def test_a_file_keeps_what_is_known_of_the_whole_graph(ending: str, tmp_path: Path) -> None:
    graph = comparison_graph(play(identity="spiders/2"))
    known = dict(graph.graph)
    write_graph(graph, tmp_path / f"g{ending}")
    assert graph.graph == known, "writing a graph takes nothing out of it"
    kept = read_back(tmp_path / f"g{ending}").graph
    assert {key: kept[key] for key in known} == known
    assert known["prompt_id"] == "spiders/2"


def test_dot_quotes_whatever_a_candidate_says(tmp_path: Path) -> None:
    write_graph(
        play(n=2, judge=always(Outcome.FIRST), texts=[NASTY + "\\", 'a" -> evil; "b']),
        tmp_path / "g.dot",
    )
    text = (tmp_path / "g.dot").read_text("utf-8")
    # Outside of quoted strings nothing is left of it.
    bare = re.sub(r'"(?:\\.|[^"\\])*"', "", text, flags=re.DOTALL)
    assert not set(bare) - set(
        "digraph comparisons node shape=box, style=rounded; {}[]->=.\n0123456789trufalsewd"
    )
    assert bare.count("->") == 1


def test_mermaid_has_one_arrow_a_pair_and_no_markup(tmp_path: Path) -> None:
    result = play(double_round_robin, 5, texts=[NASTY] * 5)
    write_graph(result, tmp_path / "g.mmd")
    text = (tmp_path / "g.mmd").read_text("utf-8")
    assert text.startswith("flowchart LR\n")
    assert len(re.findall(r"^  c\d -[-.][->] *\|", text, flags=re.MULTILINE)) == 10
    assert "<" not in text
    assert "`" not in text


def test_mermaid_stays_below_the_edges_that_hosts_draw(tmp_path: Path) -> None:
    write_graph(play(round_robin, 40), tmp_path / "g.mmd")
    text = (tmp_path / "g.mmd").read_text("utf-8")
    assert text.count("|") == 2 * 500
    assert "pairs; the 500 nearest the top are drawn" in text


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [knockout, double_knockout, round_robin])
@pytest.mark.parametrize("n", [2, 7])
def test_a_picture_is_well_formed_whatever_candidates_say(
    strategy: Any, n: int, tmp_path: Path
) -> None:
    result = play(
        strategy, n, texts=([NASTY, "$x_1$ 漢字", "👩‍🚀", "", "שלום"] * 2)[:n], prompt=NASTY * 9
    )
    write_graph(result, tmp_path / "g.svg")
    assert ET.fromstring((tmp_path / "g.svg").read_bytes()).tag.endswith("svg")


def test_a_result_gives_the_same_picture_each_time(tmp_path: Path) -> None:
    for name in ("1.svg", "2.svg"):
        write_graph(play(n=4), tmp_path / name)
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


def test_a_graph_of_few_pairs_is_a_ring_and_a_full_one_a_cross_table(tmp_path: Path) -> None:
    few = comparison_graph(play(double_knockout, 8, judge=noisy_judge("1", void=0, tie=0)))
    full = comparison_graph(play(round_robin, 8))
    assert suits(few)
    assert not suits(full)
    assert not suits(comparison_graph(play(n=2)))
    write_graph(few, tmp_path / "few.svg")
    assert ET.fromstring((tmp_path / "few.svg").read_bytes()).tag.endswith("svg")


def test_a_pair_of_the_ring_has_the_winner_first_and_both_orders_added_up() -> None:
    async def twice(table: Any) -> int:
        await table.compare(1, 0)
        await table.compare(0, 1)
        await table.compare(2, 0)
        return 1

    def higher(ask: Ask) -> Verdict:
        return Verdict(Outcome.FIRST if ask.first > ask.second else Outcome.SECOND)

    assert set(pairs_of(comparison_graph(play(twice, 3, judge=higher)))) == {
        (1, 0, 2.0, 0.0),
        (2, 0, 1.0, 0.0),
    }


def test_a_png_is_a_png(tmp_path: Path) -> None:
    write_graph(play(judge=noisy_judge("1", void=0.5)), tmp_path / "g.png")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_a_bare_graph_is_drawn_as_a_cross_table(tmp_path: Path) -> None:
    write_graph(comparison_graph(play()), tmp_path / "g.svg")
    assert (tmp_path / "g.svg").stat().st_size > 10_000


def test_a_result_without_a_winner_has_a_picture(tmp_path: Path) -> None:
    result = replace(
        play(n=2), winner=None, ranking=(), matches=(), comparisons=(), error="the judge died"
    )
    write_graph(result, tmp_path / "g.svg")
    assert (tmp_path / "g.svg").exists()


# --- bad input ------------------------------------------------------------------------------------


def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        BonError, match=r"'g\.pdf'.*\.graphml \.gexf \.dot \.json \.mmd \.svg \.png"
    ):
        write_graph(play(), tmp_path / "g.pdf")


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(BonError, match=r"cannot write .*: No such file or directory"):
        write_graph(play(), tmp_path / "no" / "g.json")
