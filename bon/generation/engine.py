"""A vLLM engine, which works in a process of its own: how it starts, how its death is told, how it ends."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import resource_tracker, spawn
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from bon.generation import GenerationFailed, RequestRefused
from bon.generation.models import model_identity, resolve_model
from bon.types import BonError, EngineError

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.engine.async_llm import AsyncLLM

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

LOOK = 0.2
"""Seconds between two looks at whether the engine lives."""

REAP = 10.0
"""Seconds that a process which has been killed gets to be gone."""


@asynccontextmanager
async def running(model: str, engine_args: Mapping[str, Any]) -> AsyncIterator[Engine]:
    """An engine for `model`, stopped at the end.

    `engine_args` are vLLM's own `AsyncEngineArgs`. Raises `BonError` where vLLM is not installed or the
    model cannot be found, `EngineError` where the engine does not start.
    """
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
    start = _Start(model, path, dict(engine_args))
    try:
        llm = await start.finished()
        engine = Engine(llm, model_identity(path, engine_args) or model, start.processes)
        try:
            yield engine
        finally:
            del llm
            await engine.stop()
    finally:
        start.clean()


class Engine:
    """A running engine; made by `running`."""

    def __init__(self, llm: AsyncLLM, identity: str, processes: Sequence[BaseProcess]) -> None:
        self.llm = llm
        self.identity = identity
        self._processes = processes
        self._calls: set[asyncio.Timeout] = set()
        self._over: str | None = None
        self._watch = asyncio.create_task(self._watched())

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """A request to it, with what goes wrong in this project's own errors.

        Ends in `EngineError` as soon as the engine is dead or stopped. Left to vLLM, a call would wait
        for ever that has asked for the engine's tasks or has sent its request when the engine dies,
        and is not told of it by the listener, because that has been cancelled.
        """
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        if self._over:
            raise EngineError(self._over)
        patience = asyncio.timeout(None)
        try:
            async with patience:
                self._calls.add(patience)
                yield
        except Exception as error:
            if self._over or self.llm.errored or isinstance(error, EngineDeadError):
                raise EngineError(self._over or self._death()) from error
            if isinstance(error, ValueError | VLLMClientError):  # it looks before it takes one
                raise RequestRefused(first_line(error)) from error
            if isinstance(error, EngineGenerateError):
                raise GenerationFailed(first_line(error)) from error
            raise
        finally:
            self._calls.discard(patience)

    async def stop(self) -> None:
        """Stop its process; what still waits for it fails."""
        self._watch.cancel()
        self._end(f"the engine of {self.identity} has been stopped")
        listener = self.llm.output_handler
        if listener is not None:  # or it would report the engine it listens to as dead
            listener.cancel()
        await asyncio.gather(self._watch, *filter(None, [listener]), return_exceptions=True)
        llm = self.llm
        del self.llm
        await asyncio.to_thread(_shut_down, llm, self._processes)

    async def _watched(self) -> None:
        while True:  # vLLM has no event to wait for
            if self.llm.errored:
                self._end(self._death())
                return
            await asyncio.sleep(LOOK)

    def _end(self, why: str) -> None:
        self._over = self._over or why
        now = asyncio.get_running_loop().time()
        while self._calls:
            self._calls.pop().reschedule(now)

    def _death(self) -> str:
        told = f"the engine of {self.identity} died"
        codes = [process.exitcode or 0 for process in self._processes]
        if not codes or min(codes) >= 0:
            return told
        number = -min(codes)
        known = number in set(signal.Signals)  # real-time signals have no name
        return (
            f"{told}: its process was killed by {signal.Signals(number).name if known else number}"
        )


class _Start:
    """One start of an engine, in a thread, for it takes seconds in which an event loop has to go on."""

    turn = threading.Lock()
    """Each looks how much memory is free, and which processes are its own."""

    def __init__(self, model: str, path: str, engine_args: dict[str, Any]) -> None:
        self.processes: tuple[BaseProcess, ...] = ()
        self._model = model
        self._path = path
        self._engine_args = engine_args
        self._others: set[BaseProcess] | None = None
        self._unwanted = False
        self._folder = tempfile.mkdtemp(prefix="bon-")
        # Handed over in a list, not as the thread's result, which something in vLLM keeps alive: the
        # engine would then be destroyed, noisily, only when the interpreter goes down.
        self._started: list[AsyncLLM] = []

    async def finished(self) -> AsyncLLM:
        """The engine; raises as `running` does."""
        thread = asyncio.ensure_future(asyncio.to_thread(self._run))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:  # nobody waits for a model that nobody wants any more
            self._unwanted = True
            while not thread.done():
                for process in self._new():
                    process.kill()  # it would take note of a SIGTERM only once the model is loaded
                await asyncio.sleep(0.05)
            await asyncio.gather(thread, return_exceptions=True)
            while self._started:
                await asyncio.to_thread(_shut_down, self._started.pop(), self.processes)
            raise
        # Tells of an engine's death with a traceback; the call that finds it dead says so in one line.
        # Set now, for vLLM sets the levels of its loggers anew while it starts.
        logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)
        return self._started.pop()

    def clean(self) -> None:
        """Remove what its processes leave on disk, above all where they were killed."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        with self.turn:
            self._others = set(multiprocessing.active_children())
            try:
                llm = self._start()
            finally:
                self.processes = self._new()
                self._others = None
            self._started.append(llm)

    def _new(self) -> tuple[BaseProcess, ...]:
        if self._others is None:
            return ()
        new = set(multiprocessing.active_children()) - self._others
        return tuple(process for process in new if process.name.startswith("EngineCore"))

    def _start(self) -> AsyncLLM:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])
        settings: dict[str, Any] = {
            "model": self._path,
            "scheduling_policy": "priority",
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        if current_platform.is_cpu():
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
            # Compiling takes ten seconds at every start and a C++ compiler, and the models that a CPU
            # is good for are no faster for it.
            settings["enforce_eager"] = True
            # A prompt that is cut in two makes vLLM 0.32 wind back the request's own generator, which
            # a CPU generator cannot do: the engine dies of it.
            settings["enable_chunked_prefill"] = False
        try:
            arguments = AsyncEngineArgs(**{**settings, **self._engine_args})
            config = arguments.create_engine_config(UsageContext.ENGINE_CONTEXT)
            environment = {"VLLM_RPC_BASE_PATH": self._folder}
            if "distributed_executor_backend" not in self._engine_args:
                environment.update(_one_process(config))
            if config.model_config.enforce_eager:
                # else compiled code is kept among temporary files
                environment["TMPDIR"] = self._folder
            with _deaf_children(), children_without_main(), _environment(environment):
                if self._unwanted:
                    raise EngineError("no longer wanted")
                return AsyncLLM.from_vllm_config(
                    config,
                    enable_log_requests=arguments.enable_log_requests,
                    disable_log_stats=arguments.disable_log_stats,
                )
        except TypeError as error:
            told = f"vLLM does not take this engine argument: {first_line(error)}"
            raise BonError(told) from error
        except OSError as error:
            raise EngineError(
                f"cannot find {self._model}: {first_line(error)} Check the name and the network,"
                " or give the folder of a model that is on disk"
            ) from error
        except Exception as error:
            raise EngineError(f"cannot load {self._model}: {first_line(error)}") from error


def _shut_down(llm: AsyncLLM, processes: Sequence[BaseProcess]) -> None:
    parallel = llm.vllm_config.parallel_config
    on_cpu = llm.vllm_config.device_config.device_type == "cpu"
    # Told to end, the process collects its garbage many times over and takes itself apart, for seconds.
    # That gives a device its memory back; without a device, and with nobody to share memory with, the
    # operating system clears up all there is.
    llm.shutdown(timeout=0 if on_cpu and parallel.distributed_executor_backend == "uni" else None)
    for process in processes:
        process.join(REAP)
    # what is destroyed shuts down again, which fails, and says so, once the interpreter goes down
    llm.shutdown = lambda timeout=None: None


def _one_process(config: VllmConfig) -> dict[str, str]:
    """Have a CPU's model run where it is scheduled, as a GPU's does; the environment that this takes.

    vLLM gives a CPU's model a process beside the scheduler's, for the sake of the environment in which
    it starts OpenMP's threads. That process imports all of vLLM once more at every start. The threads
    are as many as vLLM would start, but not bound to cores: bound, the engines of policy and judge
    would share the first ones.
    """
    from vllm.platforms import current_platform
    from vllm.utils.ompmultiprocessing import OMPProcessManager

    parallel = config.parallel_config
    chosen = "VLLM_CPU_OMP_THREADS_BIND" in os.environ
    if not current_platform.is_cpu() or parallel.world_size_across_dp > 1 or chosen:
        return {}
    parallel.distributed_executor_backend = "uni"
    [cores] = OMPProcessManager(config).cpu_lists
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(len(cores)))}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes that are started meanwhile have these."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
def children_without_main() -> Iterator[None]:
    """Processes that this thread starts do not run the user's script again.

    `multiprocessing` has a new process import it, for functions defined there. The engine has none of
    them, and a script without `if __name__ == "__main__"` would start engines without end. What they
    import in its place ends them with this process, however that ends.
    """
    prepare, thread = spawn.get_preparation_data, threading.get_ident()

    def prepared(name: str) -> dict[str, Any]:
        data = prepare(name)
        if threading.get_ident() == thread:
            data.pop("init_main_from_path", None)
            data["init_main_from_name"] = "bon.generation.orphan"
        return data

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
