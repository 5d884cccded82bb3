"""Texts of a vLLM engine (`bon.generation.engine`): one request a call, final outputs only."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bon.generation import Generation, PromptTooLong, Reply, Request, TokenChoice
from bon.generation.encoding import ChatEncoder
from bon.generation.engine import Engine, running
from bon.generation.turns import Turns

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput

MAX_TOKENS = 2048
"""Of one text, where neither the request nor the model's generation config says."""

TAIL = 32
"""How many of the last tokens keep their log-probabilities: enough to hold a verdict."""


@asynccontextmanager
async def load(
    model: str, engine_args: Mapping[str, Any] | None = None
) -> AsyncIterator[VLLMBackend]:
    """Start an engine for `model` and stop it at the end; raises as `bon.generation.engine.running` does."""
    async with running(model, engine_args or {}) as engine:
        yield VLLMBackend(engine)


class VLLMBackend:
    """A running engine; made by `load`."""

    def __init__(self, engine: Engine) -> None:
        self.identity = engine.identity
        self._engine = engine
        self._encoder = ChatEncoder(engine.llm.renderer.get_tokenizer())
        self.capacity = engine.llm.vllm_config.scheduler_config.max_num_seqs
        # What waits inside vLLM costs it a walk through all that waits for each that is aborted: minutes,
        # where a client hangs up on a large tournament. Twice the batch keeps the batch full.
        self._turns = Turns(2 * self.capacity)
        self._context = engine.llm.model_config.max_model_len
        self._defaults = engine.llm.model_config.get_diff_sampling_param()
        self._max_tokens = int(self._defaults.get("max_tokens", MAX_TOKENS))
        self._numbers = itertools.count()

    async def generate(self, request: Request) -> Reply:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        ids = self._prompt_ids(request)
        sampling = request.sampling
        settings = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        chosen = {name: value for name, value in settings.items() if value is not None}
        number = str(next(self._numbers))
        async with self._turns.turn(request.priority), self._engine.call():
            schema = sampling.json_schema
            parameters = SamplingParams(
                **{**self._model_settings(), **chosen},
                n=sampling.n,
                seed=sampling.seed,
                max_tokens=min(sampling.max_tokens or self._max_tokens, self._context - len(ids)),
                logprobs=sampling.logprobs or None,
                stop=list(sampling.stop),
                structured_outputs=StructuredOutputsParams(json=schema) if schema else None,
                # `</think>` is a special token in some vocabularies, and the parser needs to see it
                skip_special_tokens=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            async for output in self._engine.llm.generate(
                {"prompt_token_ids": ids}, parameters, number, priority=request.priority
            ):
                final = output
        return Reply(
            tuple(_generation(o) for o in sorted(final.outputs, key=lambda o: o.index)),
            prompt_tokens=len(ids),
            cached_tokens=final.num_cached_tokens or 0,
            starts_thinking=self._encoder.starts_thinking(request.chat),
        )

    def _prompt_ids(self, request: Request) -> list[int]:
        ids = self._encoder.encode(request.chat)
        if request.resume is not None:
            ids += [*request.resume.token_ids, *self._encoder.markup(request.close)]
        if len(ids) >= self._context:
            raise PromptTooLong(
                f"{len(ids)} tokens leave no room in the context of {self._context} tokens"
            )
        return ids

    def _model_settings(self) -> dict[str, Any]:
        """What the model's generation config says of drawing, where it says anything."""
        known = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        return {name: self._defaults[name] for name in known if name in self._defaults}


def _generation(output: CompletionOutput) -> Generation:
    finish = "length" if output.finish_reason == "length" else "stop"
    return Generation(output.text, finish, tuple(output.token_ids), _tail(output))


def _tail(output: CompletionOutput) -> tuple[TokenChoice, ...]:
    if not output.logprobs:
        return ()
    return tuple(
        TokenChoice(
            choices[token].decoded_token or "",
            {choice.decoded_token or "": choice.logprob for choice in choices.values()},
        )
        for token, choices in zip(output.token_ids[-TAIL:], output.logprobs[-TAIL:], strict=True)
        if choices
    )
