"""A small training loop: next-token loss on the completions, bf16 autocast, one-cycle learning rate."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.tiny.tokenizer import VOCAB


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids and, for each, whether the model learns to write it."""

    ids: list[int]
    learn: list[bool]


@dataclass(frozen=True, slots=True)
class Shape:
    hidden: int
    layers: int
    heads: int
    head_dim: int
    inner: int
    positions: int = 2048


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build(shape: Shape, pad: int, end: int, seed: int) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCAB,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.head_dim,
        intermediate_size=shape.inner,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    return Qwen2ForCausalLM(config).to(device())


def _batch(examples: list[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded on the right to a multiple of 32: causal attention then needs no mask."""
    width = -(-max(len(e.ids) for e in examples) // 32) * 32
    ids = torch.tensor([e.ids + [pad] * (width - len(e.ids)) for e in examples])
    learn = torch.tensor([e.learn + [False] * (width - len(e.ids)) for e in examples])
    return ids.to(device()), learn.to(device())


def fit(
    model: Qwen2ForCausalLM,
    draw: Callable[[random.Random], Example],
    *,
    steps: int,
    batch: int,
    rate: float,
    pad: int,
    seed: int,
    name: str,
    warmup: int = 100,
    at: dict[int, Callable[[], None]] | None = None,
) -> None:
    """Train on examples from `draw`; `at[step]()` is called once that many steps are done."""
    rng = random.Random(seed)
    start = time.monotonic()
    body = model.model
    forward = body
    if steps >= 500 and (model.device.type != "cpu" or shutil.which("g++")):
        # Saves a third of a step's time, and takes half a minute for each width of batch.
        torch.compiler.reset()
        torch._dynamo.config.recompile_limit = 32
        forward = torch.compile(body, dynamic=False)
    optimizer = torch.optim.AdamW(
        model.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda i: min((i + 1) / warmup, 1.0) * max(0.02, 1 - max(0, i - warmup) / (steps - warmup)),
    )
    pool: list[list[Example]] = []
    model.train()
    total = 0.0
    for step in range(1, steps + 1):
        if not pool:  # batches of similar length, in random order
            chunk = sorted((draw(rng) for _ in range(batch * 16)), key=lambda e: len(e.ids))
            pool = [chunk[i : i + batch] for i in range(0, len(chunk), batch)]
            rng.shuffle(pool)
        ids, learn = _batch(pool.pop(), pad)
        with torch.autocast(device().type, torch.bfloat16):
            hidden = forward(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[learn[:, 1:]])
        loss = F.cross_entropy(logits.float(), ids[:, 1:][learn[:, 1:]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % 50 == 0:
            print(
                f"{name} step {step}/{steps} loss {total / 50:.4f} "
                f"{time.monotonic() - start:.0f} s",
                flush=True,
            )
            total = 0.0
        if at and step in at:
            model.eval()
            at[step]()
            model.train()
    model.eval()
