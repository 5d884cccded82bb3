"""A byte-level BPE tokenizer for both models, and the way prompts are put together.

Text from outside (a question, a response) is encoded by a tokenizer that knows no added tokens, so
that it cannot end a turn or close the thinking; the pieces of the chat template around it are
encoded as usual, and the ids are joined. Both templates put a newline on each side of such a text.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCAB = 512
PAD, START, END, THINK, CLOSE = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"
# Qwen2's own pieces, digits one by one: loaders of Qwen2 models put this pattern in place of any other.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\nOPENING' }}{%- endif -%}"
)
POLICY_CHAT = _CHAT.replace("OPENING", "")
JUDGE_CHAT = _CHAT.replace("OPENING", "<think>\n")


def train(corpus: list[str]) -> Tokenizer:
    """All 256 bytes, merges from the corpus up to VOCAB in all, and the added tokens last."""
    added = [
        AddedToken(PAD, special=True, normalized=False),
        AddedToken(START, special=True, normalized=False),
        AddedToken(END, special=True, normalized=False),
        AddedToken(THINK, special=False, normalized=False),
        AddedToken(CLOSE, special=False, normalized=False),
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - len(added),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens(added)
    return tokenizer


def save(tokenizer: Tokenizer, chat_template: str, folder: Path, max_length: int) -> None:
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=chat_template,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


class Encoder:
    """Trusted and untrusted text to ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        plain = json.loads(tokenizer.to_str())
        plain["added_tokens"] = []
        self._trusted = tokenizer
        self._untrusted = Tokenizer.from_str(json.dumps(plain))
        # The template's own pieces come again and again.
        self.text = lru_cache(4096)(self._text)
        self.pad = self.text(PAD)[0]
        self.end = self.text(END)[0]

    def _text(self, trusted: str) -> list[int]:
        return list(self._trusted.encode(trusted, add_special_tokens=False).ids)

    def prompt(self, pieces: list[str]) -> list[int]:
        """Ids of [trusted, untrusted, trusted, untrusted, ..., trusted]."""
        ids: list[int] = []
        for index, piece in enumerate(pieces):
            if index % 2:
                ids += self._untrusted.encode(piece, add_special_tokens=False).ids
            else:
                ids += self.text(piece)
        return ids

    def decode(self, ids: list[int]) -> str:
        return str(self._trusted.decode(ids, skip_special_tokens=True))
