"""The comparison graph of a result, for networkx and for everything that reads graph files.

Candidates are nodes. Every verdict is an edge from the candidate it prefers to the other, so that the
strongly connected components are the judge's contradictions; a tie is an edge of weight one half each
way, and a VOID is no edge at all (nodes and graph count them). Edges carry no text: `comparison` is the
verdict's place in the result, where the judge's reasoning is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bon.shape import by_rank
from bon.types import BonError, Comparison, Outcome, Result
from bon.untrusted import last_line, printable

if TYPE_CHECKING:
    import networkx as nx

    Graph: TypeAlias = "nx.MultiDiGraph[int]"


def comparison_graph(result: Result) -> Graph:
    """The result as a multigraph, every attribute an int, float, bool or string; unknown ones absent."""
    import networkx as nx

    graph: Graph = nx.MultiDiGraph(**_graph_attributes(result))
    standings = {s.candidate: s for s in result.ranking}
    for candidate in by_rank(result):
        graph.add_node(candidate, **_node_attributes(result, candidate))
        if candidate in standings:
            standing = standings[candidate]
            graph.add_node(
                candidate,
                rank=standing.rank,
                wins=float(standing.wins),
                losses=float(standing.losses),
                strength=float(standing.strength),
                strength_se=float(standing.strength_se),
                **({} if standing.elo is None else {"elo": float(standing.elo)}),
            )
    for place, comparison in enumerate(result.comparisons):
        for preferred, other, weight in _preferences(comparison):
            attributes = _edge_attributes(place, comparison, weight)
            # One running number for the whole graph: file formats want edge ids to be unique.
            graph.add_edge(preferred, other, key=graph.number_of_edges(), **attributes)
    return graph


def write_graph(graph_or_result: Graph | Result, path: str | Path) -> None:
    """Write a comparison graph in the format that the ending of `path` names.

    `.svg` and `.png` show a result as its bracket where it has one, a graph of few pairs as a ring, anything
    else as a cross table.
    Raises `BonError` for an ending that is not known and for a path that cannot be written.
    """
    path = Path(path)
    try:
        writer_of(path)(graph_or_result, path)
    except OSError as error:
        raise BonError(f"cannot write {path}: {error.strerror or error}") from error


def writer_of(path: Path) -> Callable[[Graph | Result, Path], None]:
    """What writes graphs with the ending of `path`; raises `BonError` where nothing does."""
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise BonError(
            f"cannot write {path.name!r}: a graph's ending is one of {' '.join(WRITERS)}"
        )
    return writer


def _graph_attributes(result: Result) -> dict[str, Any]:
    known: dict[str, Any] = {
        # not "id": networkx takes that out of the graph for GraphML, and reads it back no more
        "prompt_id": printable(result.prompt.id),
        "prompt": printable(result.prompt.text),
        "comparisons": len(result.comparisons),
        "voids": sum(c.verdict.outcome is Outcome.VOID for c in result.comparisons),
    }
    if result.winner is not None:
        known["winner"] = result.winner
    if "strategy" in result.provenance:
        known["strategy"] = printable(str(result.provenance["strategy"]))
    return known


def _node_attributes(result: Result, candidate: int) -> dict[str, Any]:
    response = result.candidates[candidate]
    return {
        "label": last_line(response.text, 60) or "(empty)",
        "winner": candidate == result.winner,
        "characters": len(response.text),
        "tokens": response.tokens,
        "finish_reason": printable(response.finish_reason),
        "same_answer": result.groups.count(result.groups[candidate]),
        "voids": sum(
            c.verdict.outcome is Outcome.VOID and candidate in (c.first, c.second)
            for c in result.comparisons
        ),
    }


def _preferences(comparison: Comparison) -> list[tuple[int, int, float]]:
    first, second = comparison.first, comparison.second
    match comparison.verdict.outcome:
        case Outcome.FIRST:
            return [(first, second, 1.0)]
        case Outcome.SECOND:
            return [(second, first, 1.0)]
        case Outcome.TIE:
            return [(first, second, 0.5), (second, first, 0.5)]
        case Outcome.VOID:
            return []


def _edge_attributes(place: int, comparison: Comparison, weight: float) -> dict[str, Any]:
    verdict = comparison.verdict
    known: dict[str, Any] = {
        "comparison": place,
        "outcome": verdict.outcome.value,
        "shown_first": comparison.first,
        "weight": weight,
        "repeat": comparison.repeat,
        "attempt": comparison.attempt,
        "stage": comparison.stage,
        "output_tokens": verdict.output_tokens,
    }
    if verdict.p_first is not None:
        known["p_first"] = float(verdict.p_first)
    return known


# --- formats --------------------------------------------------------------------------------------


def _as_graph(graph_or_result: Graph | Result) -> Graph:
    if isinstance(graph_or_result, Result):
        return comparison_graph(graph_or_result)
    return graph_or_result


def _write_graphml(graph_or_result: Graph | Result, path: Path) -> None:
    import networkx as nx

    nx.write_graphml(_as_graph(graph_or_result), path)


def _write_gexf(graph_or_result: Graph | Result, path: Path) -> None:
    import networkx as nx

    nx.write_gexf(_as_graph(graph_or_result), path)


def _write_json(graph_or_result: Graph | Result, path: Path) -> None:
    import networkx as nx

    data = nx.node_link_data(_as_graph(graph_or_result), edges="edges")
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _write_dot(graph_or_result: Graph | Result, path: Path) -> None:
    graph = _as_graph(graph_or_result)
    lines = ["digraph comparisons {"]
    lines += [f"  {_dot(key)}={_dot(value)};" for key, value in graph.graph.items()]
    lines.append("  node [shape=box, style=rounded];")
    for node, attributes in graph.nodes(data=True):
        look: dict[str, Any] = {"penwidth": 3} if attributes.get("winner") else {}
        shown = attributes | {"label": f"{node}: {attributes.get('label', '')}"} | look
        lines.append(f"  {node} [{_dot_list(shown)}];")
    for preferred, other, attributes in graph.edges(data=True):
        look = {"style": "dashed"} if attributes.get("outcome") == Outcome.TIE else {}
        lines.append(f"  {preferred} -> {other} [{_dot_list(attributes | look)}];")
    path.write_text("\n".join([*lines, "}"]) + "\n", encoding="utf-8")


def _dot_list(attributes: dict[str, Any]) -> str:
    return ", ".join(f"{_dot(key)}={_dot(value)}" for key, value in attributes.items())


def _dot(value: object) -> str:
    """A DOT value. Strings are quoted; a backslash is doubled, for labels know escapes of their own."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


# GitHub and other hosts refuse a Mermaid flowchart of more edges; a page cannot raise the limit.
MERMAID_EDGES = 500


def _write_mermaid(graph_or_result: Graph | Result, path: Path) -> None:
    """One arrow a pair, from the one preferred more often, with the score; dotted where level."""
    graph = _as_graph(graph_or_result)
    lines = ["flowchart LR"]
    for node, attributes in graph.nodes(data=True):
        label = f"{node} · {_mermaid(str(attributes.get('label', ''))[:40])}"
        lines.append(
            f'  c{node}(["★ {label}"])' if attributes.get("winner") else f'  c{node}["{label}"]'
        )
    arrows = []
    place = {node: i for i, node in enumerate(graph)}
    for a, b in {tuple(sorted(edge, key=place.__getitem__)) for edge in graph.edges()}:
        forth = sum(e["weight"] for e in graph.get_edge_data(a, b, default={}).values())
        back = sum(e["weight"] for e in graph.get_edge_data(b, a, default={}).values())
        (u, more), (v, less) = sorted([(a, forth), (b, back)], key=lambda side: -side[1])
        arrow = "-.-" if more == less else "-->"
        arrows.append((place[a] + place[b], place[a], f'  c{u} {arrow}|"{more:g}–{less:g}"| c{v}'))
    arrows.sort()
    if len(arrows) > MERMAID_EDGES:
        lines.append(f"  %% {len(arrows)} pairs; the {MERMAID_EDGES} nearest the top are drawn")
    lines += [line for _, _, line in arrows[:MERMAID_EDGES]]
    winners = [f"c{node}" for node, winner in graph.nodes(data="winner") if winner]
    if winners:
        lines.append(f"  style {winners[0]} stroke:#0f766e,stroke-width:3px")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _mermaid(text: str) -> str:
    """Text inside a quoted Mermaid label, where markup and Markdown would otherwise be read."""
    return "".join(c if c.isalnum() or c in " .,·–+-=/:'" else f"#{ord(c)};" for c in text)


def _write_picture(graph_or_result: Graph | Result, path: Path) -> None:
    from bon.drawing.bracket import draw_bracket
    from bon.drawing.crosstable import draw_cross_table
    from bon.drawing.ring import draw_ring, suits
    from bon.shape import bracket, cross_table

    voids: set[tuple[int, int]] = set()
    if isinstance(graph_or_result, Result):
        final = bracket(graph_or_result)
        if final is not None and final.round < 10:
            draw_bracket(graph_or_result, final, path)
            return
        tallies = cross_table(graph_or_result)
        voids = {pair for pair, tally in tallies.items() if tally.voids > tally.verdicts == 0}
    graph = _as_graph(graph_or_result)
    draw = draw_ring if suits(graph) else draw_cross_table
    draw(graph, path, voids)


WRITERS: dict[str, Callable[[Graph | Result, Path], None]] = {
    ".graphml": _write_graphml,
    ".gexf": _write_gexf,
    ".dot": _write_dot,
    ".json": _write_json,
    ".mmd": _write_mermaid,
    ".svg": _write_picture,
    ".png": _write_picture,
}
