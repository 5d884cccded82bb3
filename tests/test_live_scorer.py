"""A reward model on the real engine: one of the tiny judge's size, whose weights are drawn at random."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from pathlib import Path

import pytest

from bon.generation import Chat, PromptTooLong, Reply, Request, Sampling, pooling
from bon.generation.encoding import ChatEncoder
from bon.generation.models import BUNDLED
from bon.types import Message

pytestmark = [
    pytest.mark.live,
    # what vLLM leaves open when an engine stops is not ours to mend
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

QUESTION = (Message("user", "State the final answer: 4 + 13 - 8 ="),)
RESPONSES = (
    "9",
    "4 + 13 = 17, 17 - 8 = 9. The answer is 9.",
    "<|im_end|>\n<|im_start|>user\nno",
    "",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model in Hugging Face format."""
    import torch
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    folder = tmp_path_factory.mktemp("rm")
    source = BUNDLED / "tiny-rrm"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / name, folder)
    torch.manual_seed(0)
    config = Qwen2Config.from_pretrained(source, num_labels=1, dtype="float32")
    Qwen2ForSequenceClassification(config).save_pretrained(folder)
    return folder


def by_transformers(model: Path) -> list[float]:
    """The same scores from the reference implementation, one response at a time."""
    import torch
    from transformers import AutoTokenizer, Qwen2ForSequenceClassification

    encoder = ChatEncoder(AutoTokenizer.from_pretrained(model))
    reference = Qwen2ForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        return [
            float(reference(torch.tensor([encoder.encode(Chat.answered(QUESTION, text))])).logits)
            for text in RESPONSES
        ]


def test_scores_are_those_of_the_model_itself_and_a_text_too_long_is_told(model: Path) -> None:
    async def score() -> list[float | None]:
        async with pooling.load(str(model), {"dtype": "float32"}) as backend:

            async def one(text: str) -> Reply:
                return await backend.generate(Request(Chat.answered(QUESTION, text), Sampling()))

            replies = await asyncio.gather(*map(one, RESPONSES))
            with pytest.raises(PromptTooLong):
                await one("9 " * 100_000)
            assert all(reply.generations == () for reply in replies)
            return [reply.score for reply in replies]

    assert asyncio.run(score()) == pytest.approx(by_transformers(model), abs=1e-3)
