"""The engine arguments of a model behind HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bon.types import BonError

NO_RESUME = (
    "a thinking budget behind HTTP needs the judge's tokenizer, because servers do not agree on how a"
    " message is continued: add --judge-engine-arg tokenizer=NAME, or leave out --thinking-budget"
)


@dataclass(frozen=True)
class Settings:
    """How its servers are asked."""

    max_in_flight: int = 64
    """Requests under way at one server."""
    timeout: float = 600.0
    """Seconds that one attempt may take."""
    deadline: float = 1800.0
    """Seconds that a request may take with all its attempts, once the first has begun."""
    attempts: int = 10
    """How often a request is made at most."""
    tokenizer: str = ""
    """The model's tokenizer (folder or Hugging Face name): prompts are made here and sent as token ids."""
    starts_thinking: bool | None = None
    """Whether the server's chat template ends the prompt inside `<think>`; None: ask, where it can tell."""
    revision: str = ""
    """What the user calls these weights. It then stands for them in ledgers, whatever the URLs."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """What else each request says, such as `top_k`."""

    @classmethod
    def of(cls, engine_args: Mapping[str, Any]) -> Settings:
        """Raises `BonError` for names nobody knows and values that make no sense."""
        for name, value in engine_args.items():
            if name not in _KINDS:
                raise BonError(
                    f"a model behind HTTP has no engine argument {name!r}; known: {', '.join(_KINDS)}"
                    " (in extra_body goes what the server is to be told)"
                )
            types, kind = _KINDS[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if type(value) not in types or (number and value <= 0):
                raise BonError(f"engine argument {name}={value!r}: it is {kind}")
        return cls(**engine_args)


_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "max_in_flight": ((int,), "a whole number above 0"),
    "timeout": ((int, float), "a number of seconds above 0"),
    "deadline": ((int, float), "a number of seconds above 0"),
    "attempts": ((int,), "a whole number above 0"),
    "tokenizer": ((str,), "a folder or a Hugging Face name"),
    "starts_thinking": ((bool,), "true or false"),
    "revision": ((str,), "a name"),
    "extra_body": ((dict,), 'an object such as {"top_k":20}'),
}
assert [f.name for f in fields(Settings)] == list(_KINDS)
