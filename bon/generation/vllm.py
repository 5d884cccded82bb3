"""vLLM's asynchronous engine, in process: one request a call, final outputs only."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import resource_tracker, spawn
from typing import TYPE_CHECKING, Any

from bon.generation import (
    Generation,
    GenerationFailed,
    PromptTooLong,
    Reply,
    Request,
    RequestRefused,
    TokenChoice,
)
from bon.generation.encoding import ChatEncoder
from bon.generation.models import model_identity, resolve_model
from bon.types import BonError, EngineError

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput
    from vllm.v1.engine.async_llm import AsyncLLM

MAX_TOKENS = 2048
"""Of one text, where neither the request nor the model's generation config says."""

TAIL = 32
"""How many of the last tokens keep their log-probabilities: enough to hold a verdict."""

QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "TORCH_LOGS": "-all",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Standard output is for results; what the engine has to say goes to standard error, errors only."""


@asynccontextmanager
async def load(
    model: str, engine_args: Mapping[str, Any] | None = None
) -> AsyncIterator[VLLMBackend]:
    """Start an engine for `model` and stop it at the end.

    `engine_args` are vLLM's own `AsyncEngineArgs`. Raises `BonError` where vLLM is not installed or the
    model cannot be found, `EngineError` where the engine does not start.
    """
    backend = VLLMBackend(*await start_engine(model, engine_args or {}))
    try:
        yield backend
    finally:
        await backend.close()


async def start_engine(model: str, engine_args: Mapping[str, Any]) -> tuple[AsyncLLM, str]:
    """The engine, and the identity of what it runs; raises as `load` does."""
    if importlib.util.find_spec("vllm") is None:
        raise BonError(
            "vLLM is not installed: pip install 'bon[vllm]' on a machine with a CUDA GPU,"
            " or make setup in a checkout for the CPU build"
        )
    path = resolve_model(model)
    if path != model:  # a folder: nothing has to be asked of the hub
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # Handed over in a list, not as the thread's result, which something in vLLM keeps alive: the
    # engine would then be destroyed, noisily, only when the interpreter goes down.
    started: list[AsyncLLM] = []
    others = set(multiprocessing.active_children())
    try:
        await asyncio.to_thread(lambda: started.append(_start(model, path, dict(engine_args))))
    except asyncio.CancelledError:  # nobody waits for a model that nobody wants any more
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    # Tells of an engine's death with a traceback; the call that finds it dead says so in one line. Set
    # now, for vLLM sets the levels of its loggers anew while it starts.
    logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)
    return started.pop(), model_identity(path, engine_args) or model


async def stop_engine(engine: AsyncLLM) -> None:
    """Stop the engine's process."""
    listener = engine.output_handler
    if listener is not None:  # or it would report the engine it listens to as dead
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    await asyncio.to_thread(engine.shutdown)


@contextmanager
def errors_told(identity: str) -> Iterator[None]:
    """What goes wrong with a request to vLLM in this project's own errors."""
    from vllm.exceptions import VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

    try:
        yield
    except EngineDeadError as error:
        raise EngineError(f"the engine of {identity} died: {_first_line(error)}") from error
    except (ValueError, VLLMClientError) as error:  # it looks at a request before it takes it
        raise RequestRefused(_first_line(error)) from error
    except EngineGenerateError as error:
        raise GenerationFailed(_first_line(error)) from error


class VLLMBackend:
    """A running engine; made by `load`."""

    def __init__(self, engine: AsyncLLM, identity: str) -> None:
        self.identity = identity
        self._engine = engine
        self._encoder = ChatEncoder(engine.renderer.get_tokenizer())
        self.capacity = engine.vllm_config.scheduler_config.max_num_seqs
        self._context = engine.model_config.max_model_len
        self._defaults = engine.model_config.get_diff_sampling_param()
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
        with errors_told(self.identity):
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
            async for output in self._engine.generate(
                {"prompt_token_ids": ids}, parameters, number, priority=request.priority
            ):
                final = output
        return Reply(
            tuple(_generation(o) for o in sorted(final.outputs, key=lambda o: o.index)),
            prompt_tokens=len(ids),
            cached_tokens=final.num_cached_tokens or 0,
            starts_thinking=self._encoder.starts_thinking(request.chat),
        )

    async def close(self) -> None:
        """Stop the engine's process."""
        engine = self._engine
        del self._engine
        await stop_engine(engine)

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


def _start(model: str, path: str, engine_args: dict[str, Any]) -> AsyncLLM:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])
    settings: dict[str, Any] = {
        "model": path,
        "scheduling_policy": "priority",
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if current_platform.is_cpu():
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        # Compiling takes ten seconds at every start and a C++ compiler, and the models that a CPU is
        # good for are no faster for it.
        settings["enforce_eager"] = True
        # A prompt that is cut in two makes vLLM 0.32 wind back the request's own generator, which a
        # CPU generator cannot do: the engine dies of it.
        settings["enable_chunked_prefill"] = False
    try:
        with _deaf_children(), _children_without_main():
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**{**settings, **engine_args}))
    except TypeError as error:
        raise BonError(f"vLLM does not take this engine argument: {_first_line(error)}") from error
    except OSError as error:
        raise EngineError(
            f"cannot find {model}: {_first_line(error)} Check the name and the network,"
            " or give the folder of a model that is on disk"
        ) from error
    except Exception as error:
        raise EngineError(f"cannot load {model}: {_first_line(error)}") from error


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that this thread starts do not hear Ctrl-C, which a terminal sends to all of them.

    The engine has to finish what is under way; it is stopped by whoever started it.
    """
    # on its own start it would unblock the signal again
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _children_without_main() -> Iterator[None]:
    """Processes that this thread starts do not run the user's script again.

    `multiprocessing` has a new process import it, for functions defined there. The engine has none of
    them, and a script without `if __name__ == "__main__"` would start engines without end.
    """
    prepare, thread = spawn.get_preparation_data, threading.get_ident()

    def prepared(name: str) -> dict[str, Any]:
        data = prepare(name)
        if threading.get_ident() == thread:
            for key in ("init_main_from_name", "init_main_from_path"):
                data.pop(key, None)
        return data

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare


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


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
