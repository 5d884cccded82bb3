"""Chat prompts as the engine builds them: rendered with placeholders, split, encoded piece by piece."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jinja2

from benchmarks.tiny.tokenizer import JUDGE_CHAT, POLICY_CHAT

TEMPLATE = Path(__file__).parents[2] / "bon" / "judge" / "templates" / "tiny.toml"
_SPEC = tomllib.loads(TEMPLATE.read_text(encoding="utf-8"))
TEMPERATURE: float = _SPEC["sampling"]["temperature"]
CLOSE: str = _SPEC["thinking"]["close"]
VERDICT = re.compile(_SPEC["verdict"]["pattern"])
LABELS: tuple[str, str] = (_SPEC["verdict"]["first"], _SPEC["verdict"]["second"])
# Stand-ins for untrusted text while a template is rendered; private-use characters, so in no template.
_MARKS = ("\ue000", "\ue001", "\ue002")


def _split(chat: str, user: str) -> list[str]:
    """The rendered chat with its marks, split at the marks."""
    messages = [{"role": "user", "content": user}]
    rendered = jinja2.Template(chat).render(messages=messages, add_generation_prompt=True)
    return re.split(f"([{''.join(_MARKS)}])", rendered)


_POLICY = _split(POLICY_CHAT, _MARKS[0])
_JUDGE = _split(
    JUDGE_CHAT,
    jinja2.Template(_SPEC["user"]).render(
        query=_MARKS[0], first=_MARKS[1], second=_MARKS[2], criteria=""
    ),
)


def policy(question: str) -> list[str]:
    """[trusted, question, trusted]"""
    return _fill(_POLICY, question)


def judge(query: str, first: str, second: str) -> list[str]:
    """[trusted, query, trusted, first, trusted, second, trusted]"""
    return _fill(_JUDGE, query, first, second)


def _fill(pieces: list[str], *texts: str) -> list[str]:
    return [texts[_MARKS.index(piece)] if piece in _MARKS else piece for piece in pieces]
