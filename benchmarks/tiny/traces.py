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


def thinking(expression: str, first: str, second: str) -> str:
    """What the judge writes before `</think>`: the sum recomputed, then both answers beside it."""
    steps = solve(expression)
    right = str(steps[-1][3])
    lines = [working(steps)]
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
