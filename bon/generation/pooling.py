"""Scalar reward models on vLLM's pooling runner: one number for a conversation that ends in its response."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bon.generation import PromptTooLong, Reply, Request
from bon.generation.encoding import ChatEncoder
from bon.generation.engine import Engine, running
from bon.types import EngineError


@asynccontextmanager
async def load(
    model: str, engine_args: Mapping[str, Any] | None = None
) -> AsyncIterator[PoolingBackend]:
    """Start an engine for the reward model `model` and stop it at the end.

    Raises as `bon.generation.engine.running` does, and `EngineError` for a model that gives no scores.
    """
    settings = {"runner": "pooling", **(engine_args or {})}
    async with running(model, settings) as engine:
        backend = PoolingBackend(engine)
        await backend.choose_task(model)
        yield backend


class PoolingBackend:
    """A running engine whose replies are scores; made by `load`."""

    def __init__(self, engine: Engine) -> None:
        self.identity = engine.identity
        self._engine = engine
        self._encoder = ChatEncoder(engine.llm.renderer.get_tokenizer())
        self.capacity = engine.llm.vllm_config.scheduler_config.max_num_seqs
        self._context = engine.llm.model_config.max_model_len
        self._numbers = itertools.count()
        self._task = "classify"

    async def choose_task(self, model: str) -> None:
        """A head over the whole text where there is one, else over its tokens, of which the last counts."""
        async with self._engine.call():
            known = await self._engine.llm.get_supported_tasks()
        task = next((task for task in ("classify", "token_classify") if task in known), None)
        if task is None:
            raise EngineError(
                f"{model} gives no scores ({', '.join(known)}): name a reward model, such as one for"
                " sequence classification with one label"
            )
        self._task = task

    async def generate(self, request: Request) -> Reply:
        """The score of the conversation; nothing is generated."""
        from vllm import PoolingParams

        ids = self._encoder.encode(request.chat)
        if len(ids) > self._context:
            raise PromptTooLong(f"{len(ids)} tokens, and the context has {self._context}")
        # the reward itself, not what an activation makes of it: it only has to order
        parameters = PoolingParams(task=self._task, use_activation=False)
        number = str(next(self._numbers))
        async with self._engine.call():
            async for output in self._engine.llm.encode(
                {"prompt_token_ids": ids}, parameters, number, priority=request.priority
            ):
                final = output
        scores = final.outputs.data
        last = scores[-1] if self._task == "token_classify" else scores
        if last.numel() != 1:
            raise EngineError(
                f"{self.identity} gives {last.numel()} numbers a response: a scorer gives one"
            )
        return Reply((), len(ids), final.num_cached_tokens or 0, score=float(last))
