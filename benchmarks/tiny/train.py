"""Trains tiny-policy and tiny-rrm from scratch: `python -m benchmarks.tiny.train --out DIR`.

1. A tokenizer is trained on the texts of the domain.
2. A base model learns right solutions, and samples responses to training problems on its way.
3. The policy is the base after a little more of the same, stopped early: its mistakes are its own.
4. The judge is the base after learning to recompute and compare, on pairs of those responses and
   of made-up ones.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen2ForCausalLM

from benchmarks.tiny import problems, prompts, tokenizer, traces
from benchmarks.tiny.fit import Example, Shape, build, device, fit
from benchmarks.tiny.problems import Problem
from benchmarks.tiny.sample import sample

SHAPE = Shape(hidden=128, layers=3, heads=2, head_dim=64, inner=384)
POLICY_TEMPERATURE = 1.5
"""What tiny-policy ships with; chosen on validation problems, with the length of its training."""
POOL_TEMPERATURE = 1.0
"""Of the responses that the judge learns from first: closer to the mistakes that are hard to tell."""
POLICY_TOKENS = 128
JUDGE_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything a run does."""

    problems: int = 200_000
    base_problems: int = 60_000
    base_steps: int = 2_200
    policy_steps: int = 900
    sampled_problems: int = 3_000
    samples: int = 6
    drill_steps: int = 3_600
    sums_steps: int = 500
    judge_rounds: tuple[int, ...] = (600, 750, 2_400)
    last_round: int = 900
    batch: int = 64


QUICK = Scale(
    problems=500,
    base_problems=400,
    base_steps=10,
    policy_steps=10,
    sampled_problems=20,
    drill_steps=10,
    sums_steps=10,
    judge_rounds=(10, 10),
    last_round=10,
    batch=8,
)


Pool = list[tuple[Problem, list[str], list[str]]]
"""Problems with right and with wrong responses."""


@dataclass(slots=True)
class Responses:
    """Distinct sampled responses to one training problem."""

    right: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)


def train_tokenizer(train: list[Problem]) -> Tokenizer:
    rng = random.Random(0)
    corpus: list[str] = ["system", "user", "none"]
    for problem in train[:2_000]:
        right = traces.response(traces.solve(problem.expression))
        wrong = traces.wrong_response(problem.expression, rng)
        corpus.append("".join(prompts.policy(problem.prompt)) + right)
        corpus.append("".join(prompts.judge(problem.prompt, right, wrong)))
        corpus.append(traces.thinking(problem.expression, right, wrong) + prompts.CLOSE)
        corpus += [f"\\boxed{{{label}}}" for label in prompts.LABELS]
    return tokenizer.train(corpus)


def policy_example(problem: Problem, encoder: tokenizer.Encoder) -> Example:
    prompt = encoder.prompt(prompts.policy(problem.prompt))
    completion = [*encoder.text(traces.response(traces.solve(problem.expression))), encoder.end]
    return Example(prompt + completion, [False] * len(prompt) + [True] * len(completion))


def judge_example(
    problem: Problem, first: str, second: str, encoder: tokenizer.Encoder, rng: random.Random
) -> Example:
    """Think, close, decide; one in eight breaks the thinking off, as a thinking budget does."""
    prompt = encoder.prompt(prompts.judge(problem.prompt, first, second))
    thought = encoder.text(traces.thinking(problem.expression, first, second))
    close = encoder.text(prompts.CLOSE)
    label = prompts.LABELS[traces.verdict(problem.expression, first, second, rng) - 1]
    decision = [*encoder.text(f"\\boxed{{{label}}}"), encoder.end]
    whole = rng.random() >= 0.125
    if not whole:
        thought = thought[: rng.randrange(len(thought))]
    return Example(
        prompt + thought + close + decision,
        [False] * len(prompt)
        + [True] * len(thought)
        + [whole] * len(close)
        + [True] * len(decision),
    )


def sample_responses(
    model: Qwen2ForCausalLM,
    chosen: list[Problem],
    samples: int,
    encoder: tokenizer.Encoder,
    seed: int,
    into: dict[Problem, Responses],
    temperature: float = POOL_TEMPERATURE,
) -> float:
    """Adds to `into`; gives the share that is right."""
    asked = [problem for problem in chosen for _ in range(samples)]
    written = sample(
        model,
        [encoder.prompt(prompts.policy(problem.prompt)) for problem in asked],
        temperature=temperature,
        max_tokens=POLICY_TOKENS,
        pad=encoder.pad,
        end=encoder.end,
        seed=seed,
    )
    hits = 0
    for problem, ids in zip(asked, written, strict=True):
        text = encoder.decode(ids)
        responses = into.setdefault(problem, Responses())
        right = problems.score(traces.final_answer(text), problem)
        (responses.right if right else responses.wrong).add(text)
        hits += right
    return hits / len(asked)


def odd_response(rng: random.Random) -> str:
    """A response that answers nothing: noise, another language, a broken-off line."""
    noise = "".join(
        chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x590, 0x700)))) for _ in range(20)
    )
    return rng.choice(("", "I do not know.", "42", noise, "\\boxed{}", "12+30=", "🙂"))


def pair_source(
    train: list[Problem],
    pool: Pool,
    encoder: tokenizer.Encoder,
) -> Callable[[random.Random], Example]:
    """Pairs for the judge: half sampled (`pool`), half made up."""

    def draw(rng: random.Random) -> Example:
        if rng.random() < 0.5:
            problem, right, wrong = rng.choice(pool)
        else:
            problem, right, wrong = rng.choice(train), [], []
        rights = right or [traces.response(traces.solve(problem.expression))]

        def bad() -> str:
            if rng.random() < 0.03:
                return odd_response(rng)
            return rng.choice(wrong) if wrong else traces.wrong_response(problem.expression, rng)

        kind = rng.random()
        if kind < 0.75:
            pair = [rng.choice(rights), bad()]
        elif kind < 0.92:
            pair = [bad(), bad()]
        else:
            pair = [rng.choice(rights), rng.choice(rights)]
        rng.shuffle(pair)
        return judge_example(problem, pair[0], pair[1], encoder, rng)

    return draw


def drill_source(encoder: tokenizer.Encoder) -> Callable[[random.Random], Example]:
    """Long chains of the judge's own form of a sum, without a prompt: nothing but arithmetic to learn."""

    def draw(rng: random.Random) -> Example:
        ids: list[int] = []
        learn: list[bool] = []
        for text, wanted in traces.drill(rng):
            piece = encoder.text(text)
            ids += piece
            learn += [wanted] * len(piece)
        return Example(ids, learn)

    return draw


def bare_pair_source(
    train: list[Problem], encoder: tokenizer.Encoder
) -> Callable[[random.Random], Example]:
    """Pairs of bare final answers: short, so that many sums are seen in little time."""

    def draw(rng: random.Random) -> Example:
        problem = rng.choice(train)
        right = int(problem.answer)
        answers = [right, right + rng.choice((-1, 1)) * rng.choice((1, 2, 10, 10, 20, 100, 7))]
        if rng.random() < 0.1:
            answers[0] = right - 10
        rng.shuffle(answers)
        first, second = (f"\\boxed{{{answer}}}" for answer in answers)
        return judge_example(problem, first, second, encoder, rng)

    return draw


def save(
    model: Qwen2ForCausalLM,
    vocabulary: Tokenizer,
    chat: str,
    temperature: float,
    max_tokens: int,
    folder: Path,
) -> None:
    """A Hugging Face folder with bf16 weights."""
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_p=1.0,
        top_k=0,
        max_new_tokens=max_tokens,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    dtype = model.dtype
    model.to(torch.bfloat16).save_pretrained(folder)
    model.to(dtype)
    tokenizer.save(vocabulary, chat, folder, model.config.max_position_embeddings)


class Log:
    """Lines with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:5.0f} s] {text}", flush=True)


def save_responses(sampled: dict[Problem, Responses], path: Path) -> None:
    rows = [(p.id, sorted(r.right), sorted(r.wrong)) for p, r in sampled.items()]
    path.write_text(json.dumps(rows), encoding="utf-8")


def load_responses(path: Path, train: list[Problem]) -> Pool:
    """Those problems of which a wrong response is known."""
    by_id = {problem.id: problem for problem in train}
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [(by_id[key], right, wrong) for key, right, wrong in rows if wrong]


def load_base(out: Path) -> tuple[Qwen2ForCausalLM, Tokenizer]:
    base = Qwen2ForCausalLM.from_pretrained(out / "base", dtype=torch.float32).to(device())
    return base, Tokenizer.from_file(str(out / "base" / "tokenizer.json"))


def train_base(out: Path, train: list[Problem], scale: Scale, log: Log) -> None:
    """Writes the model that both start from, and responses of its checkpoints."""
    vocabulary = train_tokenizer(train)
    encoder = tokenizer.Encoder(vocabulary)
    solutions = [policy_example(p, encoder) for p in train[: scale.base_problems]]
    base = build(SHAPE, encoder.pad, encoder.end, seed=1)
    log(f"base: {base.num_parameters()} parameters, {vocabulary.get_vocab_size()} tokens")
    sampled: dict[Problem, Responses] = {}

    def sample_now(part: int, size: int) -> None:
        chosen = train[part * scale.sampled_problems :][:size]
        share = sample_responses(base, chosen, scale.samples, encoder, part, sampled)
        log(f"sampled {scale.samples} responses to each of {size} problems: {share:.3f} right")

    few = scale.sampled_problems // 4
    fit(
        base,
        lambda rng: rng.choice(solutions),
        steps=scale.base_steps,
        batch=scale.batch,
        rate=3e-3,
        pad=encoder.pad,
        seed=2,
        name="base",
        at={
            scale.base_steps * 8 // 10: lambda: sample_now(1, few),
            scale.base_steps * 9 // 10: lambda: sample_now(2, few),
        },
    )
    save(base, vocabulary, tokenizer.POLICY_CHAT, POLICY_TEMPERATURE, POLICY_TOKENS, out / "base")
    sample_now(0, scale.sampled_problems)
    save_responses(sampled, out / "base-responses.json")


def train_policy(out: Path, train: list[Problem], scale: Scale, log: Log) -> None:
    """Writes tiny-policy: the base, trained a little longer on problems that are new to it; and responses of it."""
    policy, vocabulary = load_base(out)
    encoder = tokenizer.Encoder(vocabulary)
    log("policy")
    fit(
        policy,
        lambda rng: policy_example(rng.choice(train[scale.base_problems :]), encoder),
        steps=scale.policy_steps,
        batch=scale.batch,
        rate=1e-3,
        pad=encoder.pad,
        seed=3,
        name="policy",
        warmup=scale.policy_steps // 10,
    )
    chat, folder = tokenizer.POLICY_CHAT, out / "tiny-policy"
    save(policy, vocabulary, chat, POLICY_TEMPERATURE, POLICY_TOKENS, folder)
    chosen = train[3 * scale.sampled_problems :][: scale.sampled_problems]
    sampled: dict[Problem, Responses] = {}
    share = sample_responses(policy, chosen, scale.samples, encoder, 3, sampled, POLICY_TEMPERATURE)
    log(f"sampled {scale.samples} responses to each of {len(chosen)} problems: {share:.3f} right")
    save_responses(sampled, out / "policy-responses.json")


def adapt(
    judge: Qwen2ForCausalLM,
    out: Path,
    train: list[Problem],
    pool: Pool,
    encoder: tokenizer.Encoder,
    scale: Scale,
) -> None:
    """The last round: with the policy's own responses, as hot as it ships, among the pairs."""
    own = load_responses(out / "policy-responses.json", train)
    fit(
        judge,
        pair_source(train, [*pool, *own], encoder),
        steps=scale.last_round,
        batch=scale.batch,
        rate=1e-3,
        pad=encoder.pad,
        seed=99,
        name="judge, last round",
    )


def train_judge(out: Path, train: list[Problem], scale: Scale, log: Log) -> None:
    """Writes tiny-rrm: the base, trained on to add, then to recompute sums, then to compare responses."""
    judge, vocabulary = load_base(out)
    encoder = tokenizer.Encoder(vocabulary)
    pool = load_responses(out / "base-responses.json", train)
    log(f"judge: {judge.num_parameters()} parameters, {len(pool)} problems with wrong responses")
    fit(
        judge,
        drill_source(encoder),
        steps=scale.drill_steps,
        batch=scale.batch // 2,
        rate=2e-3,
        pad=encoder.pad,
        seed=6,
        name="drill",
    )
    fit(
        judge,
        bare_pair_source(train, encoder),
        steps=scale.sums_steps,
        batch=scale.batch,
        rate=2e-3,
        pad=encoder.pad,
        seed=5,
        name="sums",
    )
    # each round with a learning rate that rises and falls anew
    for number, steps in enumerate(scale.judge_rounds):
        fit(
            judge,
            pair_source(train, pool, encoder),
            steps=steps,
            batch=scale.batch,
            rate=2e-3,
            pad=encoder.pad,
            seed=100 + number,
            name=f"judge {number + 1}",
        )
    adapt(judge, out, train, pool, encoder, scale)
    save(
        judge, vocabulary, tokenizer.JUDGE_CHAT, prompts.TEMPERATURE, JUDGE_TOKENS, out / "tiny-rrm"
    )


STAGES = {"base": train_base, "policy": train_policy, "judge": train_judge}


def run(out: Path, scale: Scale, only: str | None) -> None:
    log = Log()
    packages = ("torch", "transformers", "tokenizers", "reasoning-gym")
    log(f"python {platform.python_version()} " + " ".join(f"{p} {version(p)}" for p in packages))
    out.mkdir(parents=True, exist_ok=True)
    held = problems.held_out()
    problems.save(held, out / "problems.jsonl")
    train = problems.training(scale.problems, held + problems.validation())
    log(f"{len(train)} training problems on {device()}")
    for name, stage in STAGES.items():
        if only in (None, name):
            stage(out, train, scale, log)
    log(f"done: {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for both models")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: a minute, useless models"
    )
    parser.add_argument("--only", choices=tuple(STAGES), help="one stage; `base` comes first")
    options = parser.parse_args()
    run(options.out, QUICK if options.quick else Scale(), options.only)


if __name__ == "__main__":
    main()
