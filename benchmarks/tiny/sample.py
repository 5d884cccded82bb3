"""Batched sampling in plain torch, so that training and measuring need no engine."""

from __future__ import annotations

import torch
from transformers import DynamicCache, Qwen2ForCausalLM


def sample(
    model: Qwen2ForCausalLM,
    prompts: list[list[int]],
    *,
    temperature: float,
    max_tokens: int,
    pad: int,
    end: int,
    seed: int,
    batch: int = 512,
) -> list[list[int]]:
    """A completion for each prompt, without its end token; one that ran to `max_tokens` has it all."""
    generator = torch.Generator(model.device).manual_seed(seed)
    # Prompts of similar length go together.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    done: dict[int, list[int]] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            asked = [prompts[i] for i in rows]
            written = _sample_batch(model, asked, temperature, max_tokens, pad, end, generator)
            done.update(zip(rows, written, strict=True))
    return [done[i] for i in range(len(prompts))]


def _sample_batch(
    model: Qwen2ForCausalLM,
    prompts: list[list[int]],
    temperature: float,
    max_tokens: int,
    pad: int,
    end: int,
    generator: torch.Generator,
) -> list[list[int]]:
    """Prompts padded on the left; rows that are done leave the batch."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts]).to(ids.device)
    position = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    live = torch.arange(len(prompts), device=ids.device)
    written: list[list[int]] = [[] for _ in prompts]
    for _ in range(max_tokens):
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        chances = (logits.float() / temperature).softmax(-1)
        token = torch.multinomial(chances, 1, generator=generator)
        going = token[:, 0] != end
        if not going.all():
            cache.batch_select_indices(going.nonzero()[:, 0])
            live, token, mask, position = live[going], token[going], mask[going], position[going]
        if not len(live):
            break
        for row, value in zip(live.tolist(), token[:, 0].tolist(), strict=True):
            written[row].append(value)
        ids = token
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
        position = position[:, -1:] + 1
    return written
