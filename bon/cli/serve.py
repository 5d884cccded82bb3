"""`bon serve`: an OpenAI-compatible server whose every answer is the best of N."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

import click

from bon.cli.options import job_from, judge_options, policy_options, strategy_option
from bon.types import BonError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command()
@policy_options
@judge_options
@strategy_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes any that is free.",
)
@click.option(
    "--api-key",
    envvar="BON_API_KEY",
    help="What clients have to send. Better in the environment: BON_API_KEY.",
)
@click.option(
    "--max-n",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Candidates a request.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="In flight; more are told to come again (429).",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1),
    default=4 << 20,
    show_default=True,
    help="Bytes of a request.",
)
@click.option(
    "--max-prompt",
    type=click.IntRange(min=1),
    default=400_000,
    show_default=True,
    help="Characters of a conversation.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds until the best so far is the answer.",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Seconds that requests in flight have after SIGTERM or Ctrl-C.",
)
@click.option("--no-ui", is_flag=True, help="No page at /.")
def command(
    host: str,
    port: int,
    api_key: str | None,
    max_n: int,
    max_requests: int,
    max_body: int,
    max_prompt: int,
    deadline: float,
    drain: float,
    no_ui: bool,
    **settings: Any,
) -> None:
    """Serve the OpenAI API, every answer the best of N.

    \b
    bon serve --policy Qwen/Qwen2.5-7B-Instruct --judge Reward-Reasoning/RRM-7B -n 8
    curl localhost:8000/v1/chat/completions -H 'content-type: application/json' \\
      -d '{"model": "bon-8-knockout", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'

    A request chooses its technique by model name (bon-N-STRATEGY) or in a field `bon`: {"n": 16,
    "strategy": "adaptive", "error": 0.1}. The policy's own name gives its plain answer. The page at /
    shows tournaments as they run, /docs what the server understands.

    Exit codes: 0 told to stop and drained; 1 the server could not go on; 2 usage; 3 requests were cut off
    by the end of --drain.
    """
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        raise BonError("the server needs FastAPI and uvicorn: pip install 'bon[server]'")
    if host not in LOOPBACK and not api_key:
        raise BonError(f"listening on {host} needs a key: set BON_API_KEY, or keep to 127.0.0.1")
    if api_key is not None and not api_key.strip():
        raise BonError("the key is empty: set BON_API_KEY to one that is not, or leave it out")
    job = job_from({**settings, "share_device": True}, one_by_one=True)
    if job.n > max_n:
        raise BonError(f"-n {job.n} is over --max-n {max_n}")

    from bon.api import Observer
    from bon.server.limits import Limits
    from bon.server.serving import Listening, log_to_stderr, serve

    log_to_stderr()
    limits = Limits(max_n, max_requests, max_body, max_prompt, seconds=deadline)
    listening = Listening(host, port, api_key, not no_ui, drain)

    def say(line: str) -> None:
        click.echo(line, err=True)

    class Loading(Observer):
        def loading(self, role: str, model: str) -> None:
            say(f"loading {role} {model}")

    asyncio.run(serve(job, listening, limits, say, Loading()))
