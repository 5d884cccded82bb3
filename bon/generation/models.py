"""Which model a name means."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bon.generation.openai.address import is_address, parse_address
from bon.types import BonError

BUNDLED = Path(__file__).parent.parent / "bundled"
PROFILE = "judge-profile.json"
"""What a model's folder may say of it as a judge (`bon.profile`); it makes the model no other one."""


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def resolve_model(name: str) -> str:
    """A bundled model or a folder as a path; a hub name (`org/model`) or an address as it is.

    Raises `BonError` for anything that can be none of them.
    """
    if is_address(name):
        parse_address(name)
        return name
    if name in bundled_models():
        return str(BUNDLED / name)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BonError(
                f"{name} is a folder without config.json: not a model in Hugging Face format"
            )
        return str(path.resolve())
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise BonError(
        f"there is no model {name!r}: name a folder, a Hugging Face model (org/name), a server"
        f" (openai:NAME@http://host:8000/v1), or a bundled one ({', '.join(bundled_models())})"
    )


def model_folder(name: str) -> Path | None:
    """The folder of a bundled model, or of one on disk; None for any other, known or not."""
    try:
        path = BUNDLED / name if name in bundled_models() else Path(name).expanduser()
        return path if (path / "config.json").is_file() else None
    except (OSError, RuntimeError):  # too long a name, no such user's home
        return None


SETTINGS = (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt")
"""Endings of the files of a model that say what it writes."""
MAKE_ANOTHER_MODEL = (
    "dtype",
    "hf_overrides",
    "load_format",
    "max_model_len",
    "quantization",
    "tokenizer",
    "tokenizer_revision",
)
"""Engine arguments with which the same weights write something else, or have no room for it."""


def model_identity(resolved: str, engine_args: Mapping[str, Any] | None = None) -> str | None:
    """Model and revision: for a folder its name and a hash of its weights and settings.

    None for a hub model of which there is no copy yet: the revision is known when it has been loaded.
    """
    settings = engine_args or {}
    if Path(resolved).is_dir():
        identity = _folder_identity(resolved)
    else:
        revision = _hub_revision(resolved, str(settings.get("revision", "main")))
        if revision is None:
            return None
        identity = f"{resolved}@{revision}"
    given = (name for name in MAKE_ANOTHER_MODEL if name in settings)
    return " ".join([identity, *(f"{name}={settings[name]!r}" for name in given)])


@cache
def _folder_identity(folder: str) -> str:
    path = Path(folder)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.name != PROFILE and file.suffix in SETTINGS:
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{path.name}@{digest.hexdigest()[:16]}"


def _hub_revision(name: str, revision: str) -> str | None:
    """The commit of the copy in the local cache, which is the one that is loaded."""
    from huggingface_hub.constants import HF_HUB_CACHE

    copy = Path(os.fspath(HF_HUB_CACHE)) / f"models--{name.replace('/', '--')}"
    if (copy / "snapshots" / revision).is_dir():
        return revision[:16]
    reference = copy / "refs" / revision
    return reference.read_text().strip()[:16] if reference.is_file() else None
