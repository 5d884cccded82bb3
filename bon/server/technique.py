"""How a request is decided: from its model's name and its `bon` field to a job."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bon.catalog import AUTO, NOBODYS, naming_files, parse_notation, strategy
from bon.job import Job
from bon.server.errors import Refusal
from bon.server.limits import Limits
from bon.server.places import shown
from bon.server.wire import BonOptions

DEFAULT = "bon"
_NAME = re.compile(r"bon(?:-(\d{1,9})(?:-(.+))?)?")
_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Technique:
    """How one request is decided."""

    job: Job
    plain: bool
    """The policy's answer as it comes, without a judge."""
    seconds: float
    """Until the best so far is the answer."""


def policy_name(job: Job) -> str:
    """The policy's name for clients."""
    return shown(job.policy.model)


def model_names(job: Job) -> list[str]:
    """What `/v1/models` lists: the default, its full name, and the policy alone."""
    return [DEFAULT, f"{DEFAULT}-{job.n}-{job.strategy}", policy_name(job)]


def technique_of(model: str, options: BonOptions, job: Job, limits: Limits) -> Technique:
    """The technique that a request asks for; the server's `job` fills in what it leaves open.

    Raises `Refusal` for an unknown model and for what is over a limit, `BonError` for a strategy that is
    unknown or set up wrongly.
    """
    named = _NAME.fullmatch(model)
    if named is None and model != policy_name(job):
        known = ", ".join(model_names(job))
        raise Refusal(
            404,
            f"there is no such model; known: {known}, and {DEFAULT}-N-STRATEGY for others",
            code="model_not_found",
            param="model",
        )
    n_named, strategy_named = named.groups() if named else (None, None)
    n = options.n or (int(n_named) if n_named else None)
    text = options.strategy or strategy_named
    parameters = options.__pydantic_extra__
    plain = named is None and n is None and text is None and not parameters
    if n is not None and not 1 <= n <= limits.n:
        raise Refusal(
            400, f"bon.n: {n} candidates, and this server samples 1 to {limits.n}", param="bon.n"
        )
    chosen = job.strategy
    if text is not None or parameters:
        name, settings = parse_notation(text or str(chosen))
        settings |= {key: _notation(value) for key, value in parameters.items()}
        own = chosen.parameters.items() if name == chosen.name else ()
        theirs = dict(settings.items() - own)
        _within(theirs, limits.number)
        _name_no_file(name, theirs)
        chosen = strategy(name, **settings)
    seconds = min(options.deadline or limits.seconds, limits.seconds)
    decided = replace(
        job,
        strategy=chosen,
        n=1 if plain else n or job.n,
        group_by=options.group_by or job.group_by,
    )
    return Technique(decided, plain, seconds)


def drawn_seed(seed: int | None) -> int:
    """The request's seed; a fresh one where it names none, for who asks again wants another draw."""
    return secrets.randbits(31) if seed is None else seed


def _notation(value: str | bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _within(settings: Mapping[str, str], largest: float) -> None:
    """A strategy from outside may not ask for a million votes."""
    for key, value in settings.items():
        if key.startswith("max_"):  # what caps the cost may be large
            continue
        text = value.replace("_", "")  # Python reads 1_000 as a number
        try:
            numbers = [float(text)]  # 1e9, inf and nan as well
        except ValueError:
            numbers = list(map(float, _NUMBER.findall(text)))
        if not all(number <= largest for number in numbers):
            raise Refusal(
                400, f"bon.{key}: numbers up to {largest:g}", code="invalid_request", param="bon"
            )


def _name_no_file(name: str, settings: Mapping[str, str]) -> None:
    """A strategy from outside may not have files of this machine read."""
    named = {key for key, value in settings.items() if value not in (AUTO, NOBODYS)}
    for key in naming_files(name) & named:
        raise Refusal(
            400,
            f"bon.{key} names a file, which whoever starts the server may do, and no client",
            code="invalid_request",
            param="bon",
        )
