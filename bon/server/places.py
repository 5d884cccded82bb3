"""Where models are: folders and URLs, which are the business of whoever runs the server and of no client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bon.generation.openai.address import is_address, parse_address
from bon.job import Job


def shown(model: str) -> str:
    """A model's name, or that of a file, without the place where it is."""
    if is_address(model):
        return parse_address(model).model
    return Path(model).name if Path(model).expanduser().exists() else model


def unplaced(text: str, job: Job) -> str:
    """What a model or its server said, without the places of the job's models."""
    for place, name in _places(job):
        text = text.replace(place, name)
    return text


def without_places(row: dict[str, Any], job: Job) -> dict[str, Any]:
    """A result as JSON: the models that it names, and what is told of failed comparisons."""
    provenance = {
        key: shown(value) if key in ("policy", "judge", "template", "profile") and value else value
        for key, value in row["provenance"].items()
    }
    comparisons = [
        {**one, "detail": unplaced(one["detail"], job)} if one.get("detail") else one
        for one in row["comparisons"]
    ]
    return {**row, "provenance": provenance, "comparisons": comparisons}


def _places(job: Job) -> Iterator[tuple[str, str]]:
    """Each place with what stands for it; one that holds another comes before it."""
    found: dict[str, str] = {}
    for model in (job.policy.model, job.judge.model):
        if is_address(model):
            found |= dict.fromkeys(parse_address(model).urls, "its server")
        elif shown(model) != model:
            found[model] = shown(model)
            found[str(Path(model).expanduser().resolve())] = shown(model)
    yield from sorted(found.items(), key=lambda it: len(it[0]), reverse=True)
