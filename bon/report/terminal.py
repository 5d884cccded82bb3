"""Results in the terminal: one in full, or a run at a glance. Readable at 80 columns, with or without colour."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rich import box
from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from bon.diagnostics import Diagnosis, diagnose, diagnose_each
from bon.findings import findings
from bon.shape import Node, Tally, bracket, by_rank, cross_table
from bon.shares import Part
from bon.summary import Total, summarise
from bon.types import BonError, Decision, Result
from bon.untrusted import last_line, one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

WIN, LOSS, DOUBT, FAINT = "bold green", "red", "yellow", "dim"


def find_result(results: Iterable[Result], identity: str) -> Result:
    """The first result of this id; raises `BonError` with near ones where there is none."""
    known: list[str] = []
    for result in results:
        if result.prompt.id == identity:
            return result
        known.append(result.prompt.id)
    near = [one_line(k, 60) for k in get_close_matches(identity, known, n=3, cutoff=0.5)]
    hint = f"near: {', '.join(near)}" if near else f"there are {len(known)} others"
    raise BonError(f"no result has the id {one_line(identity, 60)!r}; {hint}")


def show_result(result: Result, console: Console) -> None:
    """The prompt, the bracket or cross table, the ranking with intervals, the winning text."""
    [diagnosis] = diagnose([result])
    _heading(console, one_line(result.prompt.id, 60))
    console.print(Text(printable(result.prompt.text)), style=FAINT)
    console.print()
    console.print(_facts(result, diagnosis))
    if result.error:
        console.print(Text(f"Error: {printable(result.error)}", style=LOSS))
    final = bracket(result)
    drawn = final and draw_bracket(result, final, console.width)
    if drawn:
        _heading(console, "Bracket")
        console.print(drawn, no_wrap=True, overflow="crop")
    elif result.comparisons:
        _heading(console, "Cross table")
        console.print(draw_cross_table(result), no_wrap=True, overflow="crop")
    if result.ranking:
        _heading(console, "Ranking")
        console.print(_ranking(result))
    notes = findings(summarise([diagnosis]))
    if notes:
        _heading(console, "Notes")
        console.print("\n".join(f"· {note}" for note in notes), style=DOUBT, markup=False)
    if result.winner is not None:
        _heading(console, f"Winner: candidate {result.winner}")
        console.print(Text(printable(result.candidates[result.winner].text)))


def show_run(results: Iterable[Result], console: Console) -> None:
    """One line a prompt, in the order of the file, then the run's numbers and findings in words."""
    total = Total()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("id", no_wrap=True, max_width=36)
    table.add_column("winner", justify="right")
    table.add_column("best", justify="right")
    table.add_column("calls", justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("answer", no_wrap=True, ratio=1)
    for result, diagnosis in diagnose_each(results):
        total.add(diagnosis)
        table.add_row(
            Text(one_line(result.prompt.id, 36)),
            "–" if result.winner is None else str(result.winner),
            "" if diagnosis.p_best is None else f"{diagnosis.p_best:.0%}",
            str(len(result.comparisons)),
            _mark(diagnosis),
            _answer(result, diagnosis),
        )
    console.print(table)
    console.print("best: the chance that the winner is the best of its prompt", style=FAINT)
    summary = total.summary()
    cost = summary.cost
    console.print(
        f"{summary.prompts} prompts, {cost.get('comparisons', 0):,} judge calls,"
        f" {cost.get('judge_output_tokens', 0):,} tokens written by the judge",
        highlight=False,
    )
    if summary.accuracy:
        a = summary.accuracy
        console.print(
            f"right: winner {a.winner.mean:.1%} [{a.winner.low:.1%}, {a.winner.high:.1%}], random {a.random:.1%},"
            f" majority {a.majority:.1%}, oracle {a.oracle:.1%}",
            markup=False,
            highlight=False,
        )
    for finding in findings(summary):
        console.print(Text(f"· {finding}", style=DOUBT))


def _mark(diagnosis: Diagnosis) -> Text:
    if diagnosis.truth is None:
        return Text("")
    return Text("✓", style="green") if diagnosis.truth.winner else Text("✗", style=LOSS)


def _heading(console: Console, title: str) -> None:
    console.print()
    console.rule(Text(title, style="bold"), align="left", style=FAINT)


def _facts(result: Result, diagnosis: Diagnosis) -> Text:
    calls, stages = diagnosis.cost["comparisons"], diagnosis.cost["stages"]
    others = [name for name, agrees in diagnosis.agreement.items() if not agrees]
    facts = [
        one_line(str(result.provenance.get("strategy", "")), 40),
        _plural(len(result.candidates), "candidate"),
        _plural(calls, "judge call") + (f" in {_plural(stages, 'stage')}" if calls else ""),
        _some(diagnosis.voids, "void"),
        _some(diagnosis.ties, "tie"),
        _some(diagnosis.flips, "flip"),
        f"{diagnosis.coins.hits} decided by coin" if diagnosis.coins.hits else "",
    ]
    if diagnosis.agreement and diagnosis.p_best is not None:
        facts.append(f"chance that the winner is the best {diagnosis.p_best:.0%}")
        facts.append("" if diagnosis.margin is None else f"margin {diagnosis.margin:+.2f}")
    if others:
        facts.append(f"another winner by {', '.join(others)}")
    if diagnosis.agreement and diagnosis.components:
        facts.append(f"verdicts leave {len(diagnosis.components)} groups unconnected")
    text = Text(" · ".join(filter(None, facts)))
    if diagnosis.truth and result.winner is not None:
        right = diagnosis.truth.right[result.winner]
        text.append(" · right" if right else " · wrong", WIN if right else LOSS)
        if not right and result.prompt.answer is not None:
            text.append(f", the answer is {one_line(result.prompt.answer, 40)}", LOSS)
    return text


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _some(part: Part, noun: str) -> str:
    return _plural(part.hits, noun) if part.hits else ""


def _answer(result: Result, diagnosis: Diagnosis) -> Text:
    if result.winner is None:
        return Text(one_line(result.error or "no winner", 60), style=LOSS)
    text = result.candidates[result.winner].text
    style = ""
    if diagnosis.truth:
        style = "green" if diagnosis.truth.right[result.winner] else LOSS
    return Text(last_line(text, 60), style=style)


# --- the bracket ----------------------------------------------------------------------------------


def draw_bracket(result: Result, final: Node, width: int) -> Text | None:
    """The bracket with rounds from left to right; None where it has more rounds than fit.

    0 The answer is 16 ─┐
                        ├─ 1 ─┐
    1 The answer is 17 ─┘     ├─ 1
    2 The answer is 18 ───────┘
    """
    rounds = final.round + 1
    step = min(14, (width - 24) // rounds)
    if step < 7:
        return None
    label = width - rounds * step - 1
    grid = _Grid(2 * len(list(final)) + 1, rounds * step)
    labels: dict[int, int] = {}
    _place(result, final, grid, labels, step, iter(range(0, grid.height, 2)))
    lines = []
    by_row = {row: candidate for candidate, row in labels.items()}
    for row in range(grid.height):
        line = Text()
        if row in by_row:
            line.append_text(_leaf(result, by_row[row], label))
        else:
            line.append(" " * label)
        lines.append(line.append_text(grid.line(row)))
    if any(node.match.decision is not Decision.VERDICTS for node in final):
        lines.append(Text("~ a coin decided, for the verdicts were split or void", style=FAINT))
    return Text("\n").join(lines)


def _place(
    result: Result,
    entrant: Node | int,
    grid: _Grid,
    labels: dict[int, int],
    step: int,
    rows: Iterable[int],
) -> tuple[int, int, bool]:
    """Draw a subtree; give the row and column where its line goes on, and whether the winner is on it."""
    if not isinstance(entrant, Node):
        labels[entrant] = next(iter(rows))
        return labels[entrant], 0, entrant == result.winner
    join = entrant.round * step
    ends = [_place(result, child, grid, labels, step, rows) for child in (entrant.a, entrant.b)]
    (top, _, _), (bottom, _, _) = ends
    middle = (top + bottom) // 2
    for row, column, winning in ends:
        style = WIN if winning else FAINT
        grid.put(row, column, "─" * (join - column), style)
        for between in range(min(row, middle), max(row, middle) + 1):
            grid.put(between, join, "│", style)
        grid.put(row, join, "┐" if row == top else "┘", style)
    match = entrant.match
    winning = match.winner == result.winner
    coin = "" if match.decision is Decision.VERDICTS else "~"
    says = f" {match.winner}{coin} "
    grid.put(middle, join, "├─", WIN if winning else FAINT)
    grid.put(middle, join + 2, says, WIN if winning else DOUBT if coin else "")
    return middle, join + 2 + len(says), winning


def _leaf(result: Result, candidate: int, width: int) -> Text:
    style = WIN if candidate == result.winner else ""
    number = f"{candidate:>3} "
    said = last_line(result.candidates[candidate].text, width)
    room = width - len(number) - 1
    if Text(said).cell_len > room:
        said = set_cell_size(said, room - 1).rstrip() + "…"
    line = Text(number, style=style or "bold").append(said, style)
    line.append(" ")
    return line.append("─" * (width - line.cell_len), WIN if style else FAINT)


class _Grid:
    """Characters with styles, to be drawn over each other."""

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self._cells = [[(" ", "")] * width for _ in range(height)]

    def put(self, row: int, column: int, text: str, style: str) -> None:
        for offset, character in enumerate(text):
            if column + offset < len(self._cells[row]):
                self._cells[row][column + offset] = (character, style)

    def line(self, row: int) -> Text:
        text = Text()
        for character, style in self._cells[row]:
            text.append(character, style)
        text.rstrip()
        return text


# --- the cross table and the ranking --------------------------------------------------------------


def draw_cross_table(result: Result) -> Text:
    """Rows against columns, best first: verdicts won, or a sign where there are too many columns."""
    order, table = by_rank(result), cross_table(result)
    cell = 4 if len(order) <= 16 else 3 if len(order) <= 22 else 2 if len(order) <= 34 else 1
    lines = []
    if cell > 1 and max(order) >= 10 ** (cell - 1):  # the tens above the ones
        lines.append(
            Text(" " * 5 + "".join(f"{c // 10 or '':>{cell}}" for c in order), style=FAINT)
        )
        lines.append(Text(" " * 5 + "".join(f"{c % 10:>{cell}}" for c in order), style=FAINT))
    elif cell > 1:
        lines.append(Text(" " * 5 + "".join(f"{c:>{cell}}" for c in order), style=FAINT))
    for row in order:
        line = Text(f"{row:>4} ", style=WIN if row == result.winner else "")
        for column in order:
            text, style = _cell(table.get((row, column)), row == column, cell)
            line.append(f"{text:>{cell}}", style)
        lines.append(line)
    key = (
        "verdicts that the row won against the column  × void  · not asked"
        if cell > 2
        else "the row is + ahead  - behind  = level  × void  · not asked"
    )
    lines.append(Text(f"     {key}", style=FAINT))
    return Text("\n").join(lines)


def _cell(tally: Tally | None, diagonal: bool, width: int) -> tuple[str, str]:
    if diagonal:
        return "\\", FAINT
    if tally is None:
        return "·", FAINT
    if tally.score is None:
        return "×", DOUBT
    style = "green" if tally.score > 0.5 else LOSS if tally.score < 0.5 else ""
    if width <= 2:
        return "+" if tally.score > 0.5 else "-" if tally.score < 0.5 else "=", style
    won = tally.wins + tally.ties / 2
    whole = f"{int(won)}" if won >= 1 or won == 0 else ""
    return (whole + "½" if won % 1 else whole), style


def _ranking(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, expand=True, header_style=FAINT)
    table.add_column("", justify="right")
    table.add_column("#", justify="right")
    rated = any(s.wins or s.losses for s in result.ranking)
    table.add_column("won–lost" if rated else "", justify="right", no_wrap=True)
    table.add_column("strength, 95%" if rated else "", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("answer", no_wrap=True, ratio=1)
    reach = [1.96 * s.strength_se for s in result.ranking]
    low = min(s.strength - r for s, r in zip(result.ranking, reach, strict=True))
    high = max(s.strength + r for s, r in zip(result.ranking, reach, strict=True))
    for s, r in sorted(zip(result.ranking, reach, strict=True), key=lambda pair: pair[0].rank):
        same = result.groups.count(s.candidate)
        answer = Text(last_line(result.candidates[s.candidate].text, 80))
        if same > 1:
            answer = Text(f"×{same} ", style=FAINT).append_text(answer)
        table.add_row(
            str(s.rank),
            str(s.candidate),
            f"{s.wins:g}–{s.losses:g}" if rated else "",
            f"{s.strength:+.2f} [{s.strength - r:+.2f}, {s.strength + r:+.2f}]" if rated else "",
            _whisker(s.strength - r, s.strength, s.strength + r, low, high, 14) if rated else "",
            answer,
            style=WIN if s.candidate == result.winner else "",
        )
    return table


def _whisker(low: float, middle: float, high: float, least: float, most: float, width: int) -> Text:
    def column(value: float) -> int:
        return round((value - least) / ((most - least) or 1.0) * (width - 1))

    line = [" "] * width
    for i in range(column(low), column(high) + 1):
        line[i] = "─"
    line[column(middle)] = "●"
    return Text("".join(line))
