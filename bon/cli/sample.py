"""`bon sample`: the policy alone."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import click

from bon.cli.options import (
    fields_from,
    job_from,
    load_prompts,
    policy_options,
    prompt_options,
    tell_bad,
    writable,
)
from bon.datasets import keep_apart


@click.command()
@prompt_options
@click.option("-o", "--output", metavar="JSONL", help="Where rows go. Default: stdout.")
@policy_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def command(
    prompt: str | None,
    path: str | None,
    output: str | None,
    quiet: bool,
    strict: bool,
    **settings: Any,
) -> None:
    """Sample N candidates for each PROMPT and write them, a JSON object a prompt, in input order.

    `bon run -f` takes what this writes and judges it, on another day or another machine.
    """
    job = job_from(settings)
    keep_apart(path, output)
    prompts, others, bad = load_prompts(prompt, path, fields_from(settings), strict=strict)
    tell_bad(path, bad)
    writable(output)

    from bon.api import Sampled, bare_errors, engine, sample_all
    from bon.cli.progress import Watcher
    from bon.datasets import OrderedWriter, sampled_to_json

    failed = len(bad)
    with ExitStack() as stack:
        watcher = stack.enter_context(Watcher(len(prompts), quiet=quiet))
        stream: IO[bytes] = sys.stdout.buffer
        if output is not None:
            stream = stack.enter_context(Path(output).expanduser().open("wb"))
        writer = OrderedWriter(stream)

        def emit(sampled: Sampled) -> None:
            nonlocal failed
            if sampled.error is not None:
                failed += 1
                watcher.say(f"prompt {sampled.prompt.id}: {sampled.error}; left out")
                writer.skip(sampled.position)
            else:
                row = sampled_to_json(sampled.prompt, sampled.candidates)
                writer.write(sampled.position, {**others[sampled.position], **row})

        async def sample() -> None:
            policy = job.policy
            async with (
                bare_errors(),
                engine("policy", policy.model, policy.engine_args, watcher) as backend,
            ):
                await sample_all(prompts, job, backend, emit, watcher)

        if prompts:
            asyncio.run(sample())
    watcher.say(
        f"{len(prompts)} prompts, {watcher.policy_tokens:,} tokens, {watcher.seconds:.0f} s"
    )
    if failed:
        raise click.exceptions.Exit(3)
