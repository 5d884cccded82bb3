"""Judge templates: how a comparison is put to a model, and how its verdict reads.

A template is a TOML file: Jinja texts `system` and `user` over the variables `query`, `first`, `second`
and `criteria`; a table `verdict` with the pattern that finds a verdict and the labels it may capture;
`sampling`; and `thinking.close`, what ends the thinking when a budget is spent. The template and its
parser are one thing: both are the interface that a judge model was trained on.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bon.generation import Chat, slot
from bon.generation.openai.address import bare_name
from bon.types import BonError, Message, Outcome

FOLDER = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Template:
    """A loaded template. Untrusted texts enter it as slots, so its Jinja cannot look into them."""

    name: str
    description: str
    system: str
    user: str
    pattern: re.Pattern[str]
    labels: Mapping[str, Outcome]
    temperature: float
    top_p: float
    max_tokens: int
    close: str
    digest: str
    """Hash of the file, part of the judge's identity."""

    def chat(self, query: str, first: str, second: str, criteria: str = "") -> Chat:
        """The conversation that asks for the verdict on one pair."""
        return Chat(self._messages(criteria), (query, first, second))

    def _messages(self, criteria: str) -> tuple[Message, ...]:
        if criteria not in self._rendered:
            variables = {
                "query": slot(0),
                "first": slot(1),
                "second": slot(2),
                "criteria": criteria,
            }
            texts = {
                "system": _render(self.name, self.system, variables),
                "user": _render(self.name, self.user, variables),
            }
            self._rendered[criteria] = tuple(
                Message(role, text.strip("\n")) for role, text in texts.items() if text.strip()
            )
        return self._rendered[criteria]

    @cached_property
    def _rendered(self) -> dict[str, tuple[Message, ...]]:
        return {}


def bundled_templates() -> list[str]:
    """Names of the templates that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def default_template(model: str) -> str:
    """The bundled template that fits a model by its name; `rrm` where nothing else is known."""
    name = Path(bare_name(model)).name.lower()
    if name.startswith("tiny-rrm"):
        return "tiny"
    return "rm-r1" if "rm-r1" in name else "rrm"


def load_template(name: str) -> Template:
    """A bundled template by name, or a file of the user's own by its path.

    Raises `BonError` where there is none of that name (with the known ones) or the file is no template.
    """
    path = FOLDER / f"{name}.toml" if name in bundled_templates() else Path(name).expanduser()
    try:
        data = path.read_bytes()
    except OSError:
        known = ", ".join(bundled_templates())
        raise BonError(f"unknown judge template {name!r}; known: {known}, or a TOML file") from None
    try:
        return _template(path.stem, data)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, re.error) as error:
        raise BonError(f"{name} is no judge template: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BonError(f"{name} is no judge template: missing or wrong field {error}") from error


def _template(name: str, data: bytes) -> Template:
    fields = tomllib.loads(data.decode())
    verdict = fields["verdict"]
    pattern = re.compile(verdict["pattern"])
    if pattern.groups != 1:
        raise BonError(f"{name}: verdict.pattern needs exactly one group, the label")
    labels = {_text(verdict, "first"): Outcome.FIRST, _text(verdict, "second"): Outcome.SECOND}
    if "tie" in verdict:
        labels[_text(verdict, "tie")] = Outcome.TIE
    if len(labels) < 2 + ("tie" in verdict):
        raise BonError(f"{name}: the labels of the verdict must differ")
    sampling = fields["sampling"]
    template = Template(
        name=name,
        description=_text({"description": "", **fields}, "description"),
        system=_text({"system": "", **fields}, "system"),
        user=_text(fields, "user"),
        pattern=pattern,
        labels=labels,
        temperature=float(sampling["temperature"]),
        top_p=float(sampling["top_p"]),
        max_tokens=int(sampling["max_tokens"]),
        close=_text(fields["thinking"], "close"),
        digest=hashlib.sha256(data).hexdigest()[:16],
    )
    template.chat("", "", "", "criteria")  # where they are shown, that part must render, too
    rendered = "".join(m.content for m in template.chat("", "", "").messages)
    for index, variable in enumerate(("query", "first", "second")):
        if slot(index) not in rendered:
            raise BonError(f"{name}: the template never shows {{{{ {variable} }}}}")
    return template


def _text(table: Mapping[str, Any], key: str) -> str:
    if not isinstance(table[key], str):
        raise TypeError(f"{key!r}: it is text")
    return str(table[key])


def _render(name: str, source: str, variables: Mapping[str, Any]) -> str:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    try:
        return environment.from_string(source).render(variables)
    except jinja2.TemplateError as error:
        raise BonError(f"{name}: cannot render the template: {error}") from error
