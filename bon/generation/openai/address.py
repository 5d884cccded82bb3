"""Names of models that run elsewhere: `openai:NAME@URL`, with more URLs after commas."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from bon.types import BonError

SCHEME = "openai:"


@dataclass(frozen=True, slots=True)
class Address:
    """A model and the OpenAI-compatible servers that have it."""

    model: str
    """The name the servers know it by."""
    urls: tuple[str, ...]
    """Base URLs without a slash at the end, in the order in which they were given."""


def is_address(name: str) -> bool:
    """Whether a model's name says that it runs elsewhere."""
    return name.startswith(SCHEME)


def parse_address(name: str) -> Address:
    """Read `openai:NAME@URL[,URL...]`. Raises `BonError` with what is wrong.

    A key in a URL is refused: names of models end up in results.
    """
    model, urls = name.removeprefix(SCHEME), ""
    for scheme in ("@http://", "@https://"):
        before, found, after = model.partition(scheme)
        if found:
            model, urls = before, scheme[1:] + after
    if not model or not urls:
        raise BonError(
            f"{_without_secrets(name)} does not say what runs where: write"
            " openai:NAME@http://host:8000/v1, with more URLs after commas"
        )
    return Address(model, tuple(dict.fromkeys(_base_url(url) for url in urls.split(","))))


def bare_name(name: str) -> str:
    """The model's own name, wherever it runs."""
    return parse_address(name).model if is_address(name) else name


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is no number
        valid = False
    if not valid:
        raise BonError(f"{_without_secrets(url)} is no base URL: write http://host:8000/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise BonError(
            f"the URL of {parts.hostname} holds more than an address: keys belong into"
            " OPENAI_API_KEY"
        )
    return url.strip().rstrip("/")


def _without_secrets(text: str) -> str:
    """`text` for an error message: nothing before an @ within a URL, nothing after a question mark."""
    head, scheme, rest = text.partition("://")
    host = rest.partition("?")[0]
    return head + scheme + host.rpartition("@")[2] if scheme else text
