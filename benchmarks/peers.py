"""Others that choose among samples, on the very servers that `bon serve` has behind it.

    pip install --no-deps optillm==0.4.0 llm-verifier==0.3.0 tqdm

One `vllm serve` of the policy and one of the judge, and `bon serve` with both as its HTTP back ends. Each
answers the same problems, one after another, sampling included:

- bon_serve: a wrapped answer.
- optillm: its `bon`, which rates the samples with the policy itself, in one conversation that all of them
  go into; where that is more than the policy takes, it has no answer, which counts as wrong (`failed`).
- llm_verifier: samples of the policy, then its `select()` on the judge's server, as `benchmarks/verifier.py`
  sets it up: one call a comparison, of as many tokens as the judge wrote for us on average.
- sampling: what the samples alone take, for comparison.

A package that is not installed is left out.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any

import openai

from benchmarks import verifier
from benchmarks.served import Server, Setting, answers, right, serving
from bon.api import Sampled
from bon.job import Judge, Policy
from bon.types import Candidate, Prompt

PROBLEMS = 20
SLOTS = 64


def peers(setting: Setting) -> dict[str, Any]:
    """Seconds a problem and share of right answers of each."""
    prompts = setting.prompts[:PROBLEMS]
    policy, judge = Policy(), Judge()
    with (
        verifier.serving(policy, SLOTS) as policy_url,
        verifier.serving(judge, SLOTS) as judge_url,
        serving(
            setting,
            *("--policy", f"openai:{policy.model}@{policy_url}"),
            *("--judge", f"openai:{judge.model}@{judge_url}"),
            *("--judge-engine-arg", f"tokenizer={judge.model}"),
        ) as server,
    ):
        asyncio.run(answers(server, setting.wrapped, prompts[:2], 1))  # warms up
        found: dict[str, Any] = {"problems": len(prompts)}
        texts, seconds = asyncio.run(answers(server, setting.wrapped, prompts, 1))
        found["bon_serve"] = _figures(sum(seconds), texts, prompts)
        if (answered := _optillm(server, prompts, policy.model, setting.n)) is not None:
            took, texts = answered
            found["optillm"] = {**_figures(took, texts, prompts), "failed": texts.count("")}
        sampled, sampling = _samples(server, prompts, policy.model, setting.n)
        found["sampling"] = {"seconds": round(sampling / len(prompts), 3)}
        if verifier.installed():
            tokens = round(
                server.metric('bon_tokens_total{kind="output",model="judge"}')
                / server.metric("bon_comparisons_total")
            )
            verifier.select_on(judge_url, sampled[:1], judge, tokens)  # warms up
            took, calls, chosen = verifier.select_on(judge_url, sampled, judge, tokens)
            texts = [one.candidates[place].text for one, place in zip(sampled, chosen, strict=True)]
            found["llm_verifier"] = {
                **_figures(sampling + took, texts, prompts),
                "calls": round(calls / len(prompts), 1),
                "tokens_a_call": tokens,
            }
        else:
            print("llm-verifier is not installed: its figure is left out", file=sys.stderr)
    print(f"peers: {found}", file=sys.stderr)
    return {"peers": found}


def _figures(
    seconds: float, texts: Sequence[str], prompts: Sequence[Prompt]
) -> Mapping[str, float]:
    share = sum(right(texts, prompts)) / len(prompts)
    return {"seconds": round(seconds / len(prompts), 3), "right": round(share, 3)}


def _optillm(
    server: Server, prompts: Sequence[Prompt], model: str, n: int
) -> tuple[float, list[str]] | None:
    """Seconds for all and the answers of optillm's best of n."""
    spec = importlib.util.find_spec("optillm")
    if spec is None or not spec.submodule_search_locations:
        print("optillm is not installed: its figure is left out", file=sys.stderr)
        return None
    # its function alone: the package imports a server of its own, with a hundred dependencies
    package = types.ModuleType("optillm")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["optillm"] = package
    from optillm.bon import best_of_n_sampling

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=600) as client:

        def answer(prompt: Prompt) -> str:
            try:
                return str(best_of_n_sampling("", prompt.text, client, model, n)[0])
            except openai.BadRequestError:
                return ""

        answer(prompts[0])  # warms up
        began = time.perf_counter()
        texts = [answer(prompt) for prompt in prompts]
        return time.perf_counter() - began, texts


def _samples(
    server: Server, prompts: Sequence[Prompt], model: str, n: int
) -> tuple[list[Sampled], float]:
    """Candidates of each problem, one after another, and the seconds for all."""
    found = []
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=600) as client:
        began = time.perf_counter()
        for place, prompt in enumerate(prompts):
            done = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": prompt.text}], n=n
            )
            texts = [choice.message.content or "" for choice in done.choices]
            found.append(Sampled(place, prompt, tuple(map(Candidate, texts))))
        return found, time.perf_counter() - began
