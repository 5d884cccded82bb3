"""Strategies by name: found through the entry-point group `bon.strategies`, set up in one notation.

`name:key=value,key=value` on the command line and `strategy("name", key=value)` in Python mean the
same. A parameter is a keyword-only argument of the strategy's function; its annotation says how text
becomes its value.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from bon.match import parse_rule
from bon.profile import UNKNOWN, Profile, read_profile
from bon.tournament import Rule, Strategy, Table, Tournament
from bon.types import BonError


@dataclass(frozen=True)
class Entrant:
    """A strategy with its parameters set; call it with a table. `str()` gives the notation back."""

    name: str
    parameters: Mapping[str, str]
    function: Callable[..., Any]
    arguments: Mapping[str, Any]

    @property
    def known(self) -> frozenset[str]:
        """The parameters that the strategy takes, set or not."""
        parameters = inspect.signature(self.function).parameters.items()
        return frozenset(name for name, it in parameters if it.kind is it.KEYWORD_ONLY)

    async def __call__(self, table: Table) -> int | Sequence[int]:
        outcome: int | Sequence[int] = await self.function(table, **self.arguments)
        return outcome

    def __str__(self) -> str:
        settings = ",".join(f"{key}={value}" for key, value in sorted(self.parameters.items()))
        return f"{self.name}:{settings}" if settings else self.name


@cache
def known_strategies() -> Mapping[str, EntryPoint]:
    """Every strategy that is installed, by name; a package of the user's own adds to them."""
    return {entry.name: entry for entry in sorted(entry_points(group="bon.strategies"))}


def strategy(name: str, /, **parameters: object) -> Entrant:
    """Set up a strategy: `strategy("knockout", rule="votes:3")`.

    Raises `BonError` for an unknown name or parameter (with the known ones) and for a bad value.
    """
    entry = known_strategies().get(name)
    if entry is None:
        known = ", ".join(known_strategies()) or "none is installed: reinstall bon"
        raise BonError(f"unknown strategy {name!r}; known: {known}")
    function = entry.load()
    kinds = _parameters_of(function)
    texts = {key: str(value) for key, value in parameters.items()}
    for key in texts:
        if key not in kinds:
            known = ", ".join(kinds) or "it has none"
            raise BonError(f"strategy {name} has no parameter {key!r}; known: {known}")
    arguments = {
        key: _value(name, key, kinds[key], text)
        for key, text in texts.items()
        if (kinds[key], text) != (Profile, AUTO)
    }
    entrant = Entrant(name, texts, function, arguments)
    _try_out(entrant)
    return entrant


def _try_out(entrant: Entrant) -> None:
    """Begin a tournament of two, so that a bad value is told now, not after an hour of sampling."""
    nothing = (0.0, 0.0)
    try:
        Tournament(entrant, 2, seed="", scores=nothing, truth=nothing).start()
    except BonError:
        raise
    except Exception:
        return  # whatever else it wants of its candidates is told when it plays


def naming_files(name: str) -> frozenset[str]:
    """The parameters of an installed strategy whose values name files; none of one that is not known."""
    entry = known_strategies().get(name)
    kinds = {} if entry is None else _parameters_of(entry.load())
    return frozenset(key for key, kind in kinds.items() if kind in (Profile, Path))


AUTO, NOBODYS = "auto", "unknown"
"""A judge profile by a word: the one that the judge's model ships with or else the run learns, as where none
is named; and that of a judge whom nobody has met."""


@dataclass(frozen=True)
class Card:
    """What the docstring and the signature of a strategy say. Empty where they do not."""

    name: str
    summary: str
    parameters: Mapping[str, str]
    """Each with its default, in the one notation."""
    matches: str
    stages: str
    source: str
    choose: str


def describe(name: str) -> Card:
    """The card of an installed strategy, read from lines such as `Matches: n - 1. Stages: 1.`"""
    function = known_strategies()[name].load()
    text = inspect.getdoc(function) or ""
    defaults = {
        key: _notation(parameter.default)
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return Card(
        name,
        " ".join(text.split("\n\n")[0].split("\nMatches:")[0].split()),
        defaults,
        _labelled("Matches:", text) or _labelled("Comparisons:", text) or _labelled("Cost:", text),
        _labelled("Stages:", text),
        _labelled("Source:", text),
        _labelled("Choose it", text),
    )


def _labelled(label: str, text: str) -> str:
    """What follows the label, up to the end of the sentence or the next label at the start of a line."""
    found = re.search(
        rf"{label}\s+(.+?)(?:\.(?=\s|$)|(?=\n(?:Matches|Stages|Source|Choose it)\b)|\Z)",
        text,
        re.DOTALL,
    )
    return " ".join(found[1].split()) if found else ""


def _notation(value: object) -> str:
    if value is UNKNOWN:
        return AUTO
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_strategy(text: str) -> Entrant:
    """Set up the strategy that `name:key=value,key=value` describes; raises as `strategy` does."""
    name, parameters = parse_notation(text)
    return strategy(name, **parameters)


def entrant(asked: str | Strategy) -> Entrant:
    """A strategy by its notation, set up already, or as an async function of the user's own."""
    if isinstance(asked, Entrant):
        return asked
    if isinstance(asked, str):
        return parse_strategy(asked)
    return Entrant(getattr(asked, "__name__", type(asked).__name__), {}, asked, {})


def parse_notation(text: str) -> tuple[str, dict[str, str]]:
    """Split `name:key=value,key=value`; raises `BonError` for a piece without `=` and a key set twice."""
    name, _, settings = text.partition(":")
    parameters: dict[str, str] = {}
    for piece in filter(None, settings.split(",")):
        key, equals, value = (part.strip() for part in piece.partition("="))
        if not equals or not key:
            raise BonError(f"cannot read {piece!r} in {text!r}: write name:key=value,key=value")
        if key in parameters:
            raise BonError(f"{text!r} sets {key} twice: keep one")
        parameters[key] = value
    return name.strip(), parameters


def _parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(function)
    return {
        key: hints.get(key, str)
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _value(name: str, key: str, kind: Any, text: str) -> Any:
    if kind is Rule:
        return parse_rule(text)
    if kind is Profile:
        return UNKNOWN if text == NOBODYS else read_profile(text)
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise BonError(f"{name}:{key} is true or false, not {text!r}")
    if isinstance(kind, UnionType):  # such as int | None, where leaving it out means none
        kind = get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, StrEnum) and text not in list(kind):
        raise BonError(f"{name}:{key} is {', '.join(kind)}, not {text!r}")
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise BonError(f"{name}:{key} needs {kind.__name__}, not {text!r}") from None
