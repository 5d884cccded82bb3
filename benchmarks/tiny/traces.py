"""The texts that the tiny models learn to write, and the wrong answers made up for the judge.

The policy's text is always right. So is the judge's thinking; only the responses that it is shown
in its prompt may be wrong.
"""

from __future__ import annotations

import random
import re

Step = tuple[int, str, int, int]
"""(a, operator, b, a operator b)"""

_BOXED = re.compile(r"\\boxed\{(-?\d+)\}")


def terms(expression: str) -> tuple[int, list[tuple[str, int]]]:
    """`4 + 13 - 8` as its first term and the (operator, term) pairs that follow."""
    first, *rest = expression.split(" ")
    return int(first), [(op, int(b)) for op, b in zip(rest[::2], rest[1::2], strict=True)]


def solve(expression: str, slips: dict[int, int] | None = None) -> list[Step]:
    """The steps of a chain sum, left to right; `slips` adds an error to the results of some."""
    total, rest = terms(expression)
    steps: list[Step] = []
    for index, (op, b) in enumerate(rest):
        result = (total + b if op == "+" else total - b) + (slips or {}).get(index, 0)
        steps.append((total, op, b, result))
        total = result
    return steps


def working(steps: list[Step]) -> str:
    return "\n".join(f"{a} {op} {b} = {c}" for a, op, b, c in steps)


def response(steps: list[Step]) -> str:
    """What the policy writes: a line a step, then the answer in a box on its own line."""
    return f"{working(steps)}\n\\boxed{{{steps[-1][3]}}}"


def final_answer(text: str) -> str | None:
    """The last boxed whole number of a response."""
    found = _BOXED.findall(text)
    return found[-1] if found else None


def wrong_response(expression: str, rng: random.Random) -> str:
    """A made-up wrong response: one or two slips of a digit or a carry, carried through."""
    while True:
        last = len(terms(expression)[1])
        slips = {
            rng.randrange(last): rng.choice((-1, 1))
            * rng.choice((1, 1, 2, 3))
            * 10 ** rng.randrange(3)
            for _ in range(rng.choice((1, 1, 1, 2)))
        }
        steps = solve(expression, slips)
        if steps[-1][3] != solve(expression)[-1][3]:
            return response(steps)


OFFSET = 1_000
"""The judge's running total starts here, so that it never goes below zero."""


def digits(number: int, width: int) -> str:
    """Digits from the units up, for a carry is known before the digit that it goes into."""
    return f"{number:0{width}d}"[::-1]


def added(total: int, op: str, term: int) -> tuple[str, str]:
    """One line of a sum: what is given, and what is to be worked out.

    Behind each digit but the last stands whether it carries over (`'`) or not (`.`), so that no digit
    depends on more than the three marks in its own column.
    """
    result = total + term if op == "+" else total - term
    marks = ""
    for place in range(4):
        unit = 10 ** (place + 1)
        low = total % unit + term % unit if op == "+" else total % unit - term % unit
        marks += digits(result, 4)[place] + ("" if place == 3 else "." if 0 <= low < unit else "'")
    return f"\n{op}{digits(term, 2)}=", marks


def recomputation(expression: str) -> str:
    """The sum in a form that a tiny model gets right where it fails at the policy's.

    A line a term, all of one length, so that the digits which make up a digit stand at fixed distances
    before it; digits from the units up; an offset in place of a sign; at last the result as usual.
    """
    first, rest = terms(expression)
    total = OFFSET
    text = ".".join(digits(total, 4))
    for op, term in [("+", first), *rest]:
        text += "".join(added(total, op, term))
        total += term if op == "+" else -term
    return f"{text}\n= {total - OFFSET}"


def drill(rng: random.Random, lines: int = 9) -> list[tuple[str, bool]]:
    """A long chain in the form of `recomputation`, in pieces; True for those that are to be worked out."""
    total = OFFSET + rng.randrange(-300, 400)
    pieces = [(".".join(digits(total, 4)), False)]
    for _ in range(lines):
        term = rng.randrange(10, 100)
        plus = total < OFFSET - 300 or (total < OFFSET + 400 and rng.random() < 0.5)
        given, wanted = added(total, "+" if plus else "-", term)
        total += term if plus else -term
        pieces += [(given, False), (wanted, True)]
    return [*pieces, ("\n=", False), (f" {total - OFFSET}", True)]


def thinking(expression: str, first: str, second: str) -> str:
    """What the judge writes before `</think>`: the sum recomputed, then both answers beside it."""
    right = str(solve(expression)[-1][3])
    lines = [recomputation(expression)]
    for slot, text in ((1, first), (2, second)):
        answer = final_answer(text) or "none"
        lines.append(f"{slot}: {answer} vs {right} {'ok' if answer == right else 'no'}")
    return "\n".join(lines)


def verdict(expression: str, first: str, second: str, rng: random.Random) -> int:
    """1 or 2: the right response; else the nearer answer; else a coin."""
    right = solve(expression)[-1][3]

    def error(text: str) -> float:
        answer = final_answer(text)
        return float("inf") if answer is None else abs(int(answer) - right)

    one, two = error(first), error(second)
    if one == two:
        return rng.choice((1, 2))
    return 1 if one < two else 2
