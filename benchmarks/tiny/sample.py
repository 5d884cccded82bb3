"""Batched sampling in plain torch, so that training and measuring need no engine."""

from __future__ import annotations

import torch
from transformers import DynamicCache, Qwen2ForCausalLM


@torch.inference_mode()
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
    where = next(model.parameters()).device
    generator = torch.Generator(where).manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    done: dict[int, list[int]] = {}
    for lo in range(0, len(order), batch):
        rows = order[lo : lo + batch]
        width = max(len(prompts[i]) for i in rows)
        ids = torch.tensor([[pad] * (width - len(prompts[i])) + prompts[i] for i in rows])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in rows])
        ids, mask = ids.to(where), mask.to(where)
        position = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=model.config)
        live = torch.arange(len(rows), device=where)
        written: list[list[int]] = [[] for _ in rows]
        for _ in range(max_tokens):
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            chances = (out.logits[:, -1].float() / temperature).softmax(-1)
            token = torch.multinomial(chances, 1, generator=generator)
            for row, value in zip(live.tolist(), token[:, 0].tolist(), strict=True):
                if value != end:
                    written[row].append(value)
            keep = (token[:, 0] != end).nonzero()[:, 0]
            if not len(keep):
                break
            if len(keep) < len(live):  # finished rows leave the batch
                cache.batch_select_indices(keep)
                live, token, mask, position = live[keep], token[keep], mask[keep], position[keep]
            ids = token
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            position = position[:, -1:] + 1
        done.update(zip(rows, written, strict=True))
    return [done[i] for i in range(len(prompts))]
