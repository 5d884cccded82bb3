"""Which model a name means, and what makes it another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bon.generation import models
from bon.generation.models import bundled_models, model_identity, resolve_model
from bon.types import BonError


def model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models, "BUNDLED", tmp_path / "bundled")
    for name in ("tiny-rrm", "tiny-policy"):
        model(tmp_path / "bundled" / name)
    (tmp_path / "bundled" / "notes").mkdir()
    return tmp_path / "bundled"


@pytest.mark.usefixtures("bundled")
def test_bundled_models_are_the_folders_with_a_configuration() -> None:
    assert bundled_models() == ["tiny-policy", "tiny-rrm"]


def test_a_bundled_name_is_its_folder(bundled: Path) -> None:
    assert resolve_model("tiny-rrm") == str(bundled / "tiny-rrm")


def test_a_folder_is_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("mine", "./mine", "~/mine", str(tmp_path / "mine")):
        assert resolve_model(name) == str((tmp_path / "mine").resolve())


def test_a_hub_name_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_model("Qwen/Qwen2.5-7B-Instruct") == "Qwen/Qwen2.5-7B-Instruct"


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("name", ["nope", "./nope", "/nope/nope", "~/nope", "a/b/c"])
def test_a_name_that_is_no_model_lists_the_bundled_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BonError, match=r"there is no model '.*bundled one \(tiny-policy, tiny-rrm\)"
    ):
        resolve_model(name)


def test_a_folder_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BonError, match=r"without config\.json"):
        resolve_model(str(tmp_path))


def test_identity_is_the_folders_name_and_a_hash_of_what_is_in_it(tmp_path: Path) -> None:
    here = model_identity(str(model(tmp_path / "here" / "m")))
    assert here is not None
    assert here.startswith("m@")
    assert model_identity(str(model(tmp_path / "there" / "m"))) == here


def test_identity_changes_with_weights_settings_and_tokenizer_but_not_with_what_is_said_of_it(
    tmp_path: Path,
) -> None:
    plain = model_identity(str(model(tmp_path / "0" / "m")))
    assert model_identity(str(model(tmp_path / "1" / "m", b"Weights"))) != plain
    for place, name in enumerate(("generation_config.json", "chat_template.jinja"), start=2):
        folder = model(tmp_path / str(place) / "m")
        (folder / name).write_text("{}")
        assert model_identity(str(folder)) != plain
    described = model(tmp_path / "9" / "m")
    (described / "README.md").write_text("A fine model.")
    (described / "judge-profile.json").write_text("{}")
    assert model_identity(str(described)) == plain


def test_identity_of_a_hub_model_names_the_commit_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert model_identity("org/absent") is None  # until it has been loaded, nobody knows
    reference = tmp_path / "models--org--present" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("0123456789abcdef0123456789abcdef01234567\n")
    assert model_identity("org/present") == "org/present@0123456789abcdef"
    (reference.parent / "v2").write_text("89abcdef" * 5)
    assert model_identity("org/present", {"revision": "v2"}) == "org/present@89abcdef89abcdef"
    older = "fedcba98" * 5
    assert model_identity("org/present", {"revision": older}) is None
    (tmp_path / "models--org--present" / "snapshots" / older).mkdir(parents=True)
    assert model_identity("org/present", {"revision": older}) == f"org/present@{older[:16]}"


def test_identity_changes_with_engine_arguments_that_change_what_is_written(tmp_path: Path) -> None:
    folder = str(model(tmp_path / "m"))
    plain = model_identity(folder)
    assert model_identity(folder, {"max_num_seqs": 8, "tensor_parallel_size": 2}) == plain
    quantized = model_identity(folder, {"quantization": "fp8"})
    assert quantized not in (plain, model_identity(folder, {"quantization": "awq"}))
