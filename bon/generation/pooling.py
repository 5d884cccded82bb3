"""Scalar reward models on vLLM's pooling runner: one number for a conversation that ends in its response."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bon.generation import PromptTooLong, Reply, Request
from bon.generation.encoding import ChatEncoder
from bon.generation.vllm import errors_told, start_engine, stop_engine
from bon.types import EngineError

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


@asynccontextmanager
async def load(
    model: str, engine_args: Mapping[str, Any] | None = None
) -> AsyncIterator[PoolingBackend]:
    """Start an engine for the reward model `model` and stop it at the end.

    Raises as `bon.generation.vllm.load` does, and `EngineError` for a model that gives no scores.
    """
    settings = {"runner": "pooling", **(engine_args or {})}
    backend = PoolingBackend(*await start_engine(model, settings))
    try:
        await backend.choose_task(model)
        yield backend
    finally:
        await backend.close()


class PoolingBackend:
    """A running engine whose replies are scores; made by `load`."""

    def __init__(self, engine: AsyncLLM, identity: str) -> None:
        self.identity = identity
        self._engine = engine
        self._encoder = ChatEncoder(engine.renderer.get_tokenizer())
        self.capacity = engine.vllm_config.scheduler_config.max_num_seqs
        self._context = engine.model_config.max_model_len
        self._numbers = itertools.count()
        self._task = "classify"

    async def choose_task(self, model: str) -> None:
        """A head over the whole text where there is one, else over its tokens, of which the last counts."""
        known = await self._engine.get_supported_tasks()
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
        with errors_told(self.identity):
            async for output in self._engine.encode(
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

    async def close(self) -> None:
        """Stop the engine's process."""
        engine = self._engine
        del self._engine
        await stop_engine(engine)
