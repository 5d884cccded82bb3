"""Measures a folder with both models: `python -m benchmarks.tiny.evaluate [--models DIR] [--json]`.

Everything is measured on held-out problems, sampling at the temperatures that the models ship with.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import Qwen2ForCausalLM

from benchmarks.tiny import problems, prompts, tokenizer, traces
from benchmarks.tiny.fit import device
from benchmarks.tiny.problems import Problem
from benchmarks.tiny.sample import sample

BUNDLED = Path(__file__).parents[2] / "bon" / "bundled"
SAMPLES = 16
VOTES = 5
BUDGETS = (0, 32, 64, 80, 96, 128)
VERDICT_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the folder, with what its own files say about sampling."""

    net: Qwen2ForCausalLM
    encoder: tokenizer.Encoder
    temperature: float
    max_tokens: int

    @classmethod
    def load(cls, folder: Path) -> Model:
        net = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device()).eval()
        encoder = tokenizer.Encoder(Tokenizer.from_file(str(folder / "tokenizer.json")))
        settings = net.generation_config
        return cls(net, encoder, settings.temperature, settings.max_new_tokens)

    def write(self, asked: list[list[int]], seed: int, max_tokens: int = 0) -> list[list[int]]:
        written: list[list[int]] = sample(
            self.net,
            asked,
            temperature=self.temperature,
            max_tokens=max_tokens or self.max_tokens,
            pad=self.encoder.pad,
            end=self.encoder.end,
            seed=seed,
        )
        return written


@dataclass(frozen=True, slots=True)
class Comparison:
    problem: Problem
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """0 or 1, the slot chosen, or None where there is no verdict to read."""

    slot: int | None
    tokens: int


def parse(text: str) -> int | None:
    found = prompts.VERDICT.findall(text.rpartition(tokenizer.CLOSE)[2])
    return prompts.LABELS.index(found[-1]) if found and tokenizer.CLOSE in text else None


def compare(
    judge: Model, asked: Sequence[Comparison], seed: int, budget: int | None = None
) -> list[Verdict]:
    """Verdicts; with a budget, thinking that is not over by then is closed for the judge."""
    encoder = judge.encoder
    heads = [encoder.prompt(prompts.judge(c.problem.prompt, c.first, c.second)) for c in asked]
    if budget is None:
        written = judge.write(heads, seed)
    else:
        close = encoder.text(prompts.CLOSE)
        closed = encoder.text(tokenizer.CLOSE)[0]
        thoughts = judge.write(heads, seed, budget) if budget else [[] for _ in heads]
        thoughts = [ids if closed in ids else ids + close for ids in thoughts]
        ends = judge.write(
            [head + ids for head, ids in zip(heads, thoughts, strict=True)],
            seed + 1,
            VERDICT_TOKENS,
        )
        written = [ids + end for ids, end in zip(thoughts, ends, strict=True)]
    return [Verdict(parse(encoder.decode(ids)), len(ids)) for ids in written]


def interval(values: Sequence[float], draws: int = 2_000) -> tuple[float, float]:
    """95% bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    sampled = rng.choice(np.asarray(values, float), (draws, len(values))).mean(1)
    low, high = np.quantile(sampled, (0.025, 0.975))
    return float(low), float(high)


def majority(answers: Sequence[str | None], problem: Problem) -> float:
    """Chance that a plurality vote, ties at random, is right; candidates without an answer abstain."""
    votes = Counter(answer for answer in answers if answer is not None)
    top = max(votes.values(), default=0)
    tied = [answer for answer, count in votes.items() if count == top]
    return sum(problems.score(a, problem) for a in tied) / len(tied) if tied else 0.0


def measure_policy(chosen: list[Problem], texts: list[list[str]]) -> dict[str, float]:
    answers = [[traces.final_answer(text) for text in row] for row in texts]
    right = np.array(
        [[problems.score(a, p) for a in row] for p, row in zip(chosen, answers, strict=True)]
    )
    halves = [right[:, :8], right[:, 8:]]
    rows = list(zip(chosen, answers, strict=True))
    return {
        "problems": len(chosen),
        "pass@1": float(right.mean()),
        "pass@8": float(np.mean([half.any(1) for half in halves])),
        "pass@16": float(right.any(1).mean()),
        "majority@8": float(
            np.mean([(majority(a[:8], p) + majority(a[8:], p)) / 2 for p, a in rows])
        ),
        "majority@16": float(np.mean([majority(a, p) for p, a in rows])),
        "unboxed": float(np.mean([[a is None for a in row] for row in answers])),
    }


def measure_judge(judge: Model, pairs: list[tuple[Problem, str, str]], seed: int) -> dict[str, Any]:
    """On pairs of (problem, right response, wrong response), each in both orders, VOTES times."""
    orders = [
        [Comparison(p, a, b) for p, a, b in pairs],
        [Comparison(p, b, a) for p, a, b in pairs],
    ]
    start = time.monotonic()
    verdicts = [
        [compare(judge, orders[order], seed + 10 * vote + order) for order in (0, 1)]
        for vote in range(VOTES)
    ]
    seconds = time.monotonic() - start
    slots = np.array(
        [[[-1 if v.slot is None else v.slot for v in o] for o in vote] for vote in verdicts]
    )
    hits = (slots == np.array([0, 1])[None, :, None]).astype(float)  # vote, order, pair
    valid = slots >= 0
    both = valid.all(1)
    agree = hits[:, 0] == hits[:, 1]
    accuracy = hits.mean((0, 1))

    def voted(count: int) -> float:
        """Majority of `count` votes in alternating orders, from either first order; a draw is half."""
        lead = np.where(valid, 2 * hits - 1, 0)
        sums = [sum(lead[v, (v + flip) % 2] for v in range(count)) for flip in (0, 1)]
        return float(np.mean((np.sign(sums) + 1) / 2))

    forced = {}
    for budget in BUDGETS:
        runs = [compare(judge, orders[order], seed + 500 + order, budget) for order in (0, 1)]
        forced[str(budget)] = float(
            np.mean([[v.slot == order for v in runs[order]] for order in (0, 1)])
        )
    tokens = [v.tokens for vote in verdicts for order in vote for v in order]
    return {
        "pairs": len(pairs),
        "verdicts": int(slots.size),
        "accuracy": float(hits.mean()),
        "accuracy_interval": interval(accuracy.tolist()),
        "accuracy_by_votes": {str(k): voted(k) for k in (1, 3, 5)},
        "accuracy_by_thinking_budget": forced,
        "order_agreement": float(agree[both].mean()),
        "position_bias": float((slots[valid] == 0).mean() - 0.5),
        "void_rate": float(1 - valid.mean()),
        "tokens_per_verdict": float(np.mean(tokens)),
        "verdicts_per_second": slots.size / seconds,
        "pairs_always_right": float((accuracy == 1).mean()),
        "pairs_mostly_wrong": float((accuracy < 0.5).mean()),
    }


def knockout(
    judge: Model, chosen: list[Problem], texts: list[list[str]], seed: int
) -> dict[str, Any]:
    """Single-elimination brackets, one comparison a match, one candidate a distinct answer."""
    rng = random.Random(seed)
    seats: list[list[str]] = []
    for row in texts:
        groups = {traces.final_answer(text) or text: text for text in reversed(row)}
        seats.append(rng.sample(sorted(groups.values()), len(groups)))
    comparisons = coins = 0
    while any(len(row) > 1 for row in seats):
        matches = [
            (i, k, rng.random() < 0.5)
            for i, row in enumerate(seats)
            for k in range(0, len(row) - 1, 2)
        ]
        asked = [
            Comparison(chosen[i], *(seats[i][k : k + 2] if not flip else seats[i][k : k + 2][::-1]))
            for i, k, flip in matches
        ]
        winners: list[list[str]] = [row[len(row) // 2 * 2 :] for row in seats]
        seed += 2
        for (i, _, _), pair, verdict in zip(
            matches, asked, compare(judge, asked, seed), strict=True
        ):
            comparisons += 1
            coins += verdict.slot is None
            slot = rng.randrange(2) if verdict.slot is None else verdict.slot
            winners[i].append(pair.second if slot else pair.first)
        seats = winners
    won = [
        float(problems.score(traces.final_answer(r[0]), p))
        for r, p in zip(seats, chosen, strict=True)
    ]
    answers = [[traces.final_answer(text) for text in row] for row in texts]
    rows = list(zip(chosen, answers, strict=True))
    chance = [float(np.mean([problems.score(a, p) for a in row])) for p, row in rows]
    vote = [majority(row, p) for p, row in rows]
    gains = {"random": np.subtract(won, chance), "majority": np.subtract(won, vote)}
    return {
        "problems": len(chosen),
        "candidates": len(texts[0]),
        "random": float(np.mean(chance)),
        "majority": float(np.mean(vote)),
        "knockout": float(np.mean(won)),
        "oracle": float(np.mean([any(problems.score(a, p) for a in row) for p, row in rows])),
        "gain_over": {k: float(v.mean()) for k, v in gains.items()},
        "gain_interval": {k: interval(v.tolist()) for k, v in gains.items()},
        "comparisons": comparisons,
        "void_rate": coins / max(comparisons, 1),
    }


def evaluate(models: Path, size: int, seed: int, validation: bool = False) -> dict[str, Any]:
    policy, judge = Model.load(models / "tiny-policy"), Model.load(models / "tiny-rrm")
    chosen = problems.validation() if validation else problems.load(models / "problems.jsonl")
    chosen = chosen[:size]
    start = time.monotonic()
    heads = [policy.encoder.prompt(prompts.policy(p.prompt)) for p in chosen]
    written = policy.write([head for head in heads for _ in range(SAMPLES)], seed)
    decoded = [policy.encoder.decode(ids) for ids in written]
    texts = [decoded[i : i + SAMPLES] for i in range(0, len(decoded), SAMPLES)]
    seconds = time.monotonic() - start
    rng = random.Random(seed)
    pairs: list[tuple[Problem, str, str]] = []
    for problem, row in zip(chosen, texts, strict=True):
        right = [t for t in row if problems.score(traces.final_answer(t), problem)]
        wrong = [t for t in row if not problems.score(traces.final_answer(t), problem)]
        if right and wrong:
            pairs.append((problem, rng.choice(right), rng.choice(wrong)))
    return {
        "policy": {
            **measure_policy(chosen, texts),
            "tokens_per_response": float(np.mean([len(ids) for ids in written])),
            "responses_per_second": len(written) / seconds,
        },
        "judge": measure_judge(judge, pairs, seed + 1_000),
        "knockout@8": knockout(judge, chosen, [row[:8] for row in texts], seed + 5_000),
    }


def report(figures: dict[str, Any], indent: str = "") -> None:
    for key, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            report(value, indent + "  ")
        else:
            values = value if isinstance(value, tuple) else (value,)
            shown = " to ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values)
            print(f"{indent}{key:<28} {shown}")


def overlap(models: Path) -> int:
    """How many of the folder's problems the recipe trains on, or could have."""
    from benchmarks.tiny.train import Scale

    shipped = {p.prompt for p in problems.load(models / "problems.jsonl")}
    checked = problems.held_out() + problems.validation()
    return len(shipped & {p.prompt for p in problems.training(Scale().problems, checked)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=Path, default=BUNDLED, help="folder with both models")
    parser.add_argument("--problems", type=int, default=400, help="how many problems (400)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", action="store_true", help="the problems meant for tuning")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    shared = overlap(options.models)
    if shared:
        sys.exit(f"{shared} problems of {options.models} are in the training data")
    figures = {"problems_shared_with_training": shared}
    figures |= evaluate(options.models, options.problems, options.seed, options.validation)
    if options.json:
        print(json.dumps(figures))
    else:
        report(figures)


if __name__ == "__main__":
    main()
