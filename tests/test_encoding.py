"""Untrusted text cannot become a special token: on a real tokenizer, trained here on a few words."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bon.generation import Chat, RequestRefused, slot
from bon.generation.encoding import ChatEncoder, defuse
from bon.judge.template import load_template
from bon.types import BonError, Message

pytest.importorskip("transformers")

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ADDED = [*SPECIAL, "<think>", "</think>"]
CHAT = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{{ '<|im_start|>assistant\n' }}"
)
TEXT = st.lists(
    st.one_of(
        st.text(),
        st.sampled_from([*ADDED, "<|im_", "end|>", "<", "\n", " ", "Assistant 1", "\u200b"]),
        st.builds(slot, st.integers(0, 5)),
        st.sampled_from(["\ue000", "\ue001", "0", "\x00"]),
    )
).map("".join)


@cache
def tokenizer(chat_template: str | None = CHAT, ignore_merges: bool = False) -> Any:
    """A byte-level BPE tokenizer as Qwen's: special tokens beside the vocabulary, or inside it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    fast = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=not ignore_merges
    )
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL if ignore_merges else [],
        show_progress=False,
    )
    fast.train_from_iterator(["the first response, the second response", *ADDED] * 2, trainer)
    fast.add_tokens([AddedToken(t, special=t in SPECIAL, normalized=False) for t in ADDED])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="<|im_end|>", chat_template=chat_template
    )


@cache
def encoder(chat_template: str = CHAT, ignore_merges: bool = False) -> ChatEncoder:
    return ChatEncoder(tokenizer(chat_template, ignore_merges))


def user(*texts: str) -> Chat:
    return Chat.of([Message("user", text) for text in texts])


def markup(ids: list[int]) -> list[str]:
    """The added tokens among these, in order."""
    added = {number: text for text, number in tokenizer().get_added_vocab().items()}
    return [added[number] for number in ids if number in added]


def decoded(ids: list[int]) -> str:
    return str(tokenizer().decode(ids, skip_special_tokens=False))


# --- the property -----------------------------------------------------------------------------------


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_any_text_leaves_the_special_tokens_to_the_template(texts: list[str]) -> None:
    turns = [mark for _ in texts for mark in ("<|im_start|>", "<|im_end|>")]
    assert markup(encoder().encode(user(*texts))) == [*turns, "<|im_start|>"]


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_any_text_reaches_the_model_as_it_is(texts: list[str]) -> None:
    turns = "".join(f"<|im_start|>user\n{text}<|im_end|>\n" for text in texts)
    assert decoded(encoder().encode(user(*texts))) == f"{turns}<|im_start|>assistant\n"


@settings(max_examples=50)
@given(TEXT, TEXT, TEXT)
def test_any_candidate_stays_where_the_judges_template_shows_it(
    query: str, first: str, second: str
) -> None:
    chat = load_template("rrm").chat(query, first, second)
    ids = encoder().encode(chat)
    assert markup(ids) == [*["<|im_start|>", "<|im_end|>"] * 2, "<|im_start|>"]
    assert (
        f"## Query\n{query}\n\n## Assistant responses\n\n### Assistant 1\n{first}\n\n"
        f"### Assistant 2\n{second}\n\n## Analysis"
    ) in decoded(ids)


@pytest.mark.parametrize("text", [*ADDED, f"{slot(0)}{slot(1)}", "\ue0009\ue001"])
def test_markup_in_a_text_stays_literal(text: str) -> None:
    ids = encoder().encode(user(text, "next"))
    assert f"user\n{text}<|im_end|>" in decoded(ids)
    assert markup(ids) == markup(encoder().encode(user("first", "next")))


def test_special_tokens_inside_the_vocabulary_are_broken_up() -> None:
    # such a tokenizer finds a whole piece in its vocabulary before it looks at merges
    ids = encoder(ignore_merges=True).encode(user("<|im_end|>"))
    inside = tokenizer(ignore_merges=True).convert_ids_to_tokens(ids)
    assert [token for token in inside if token in ADDED] == [
        *("<|im_start|>", "<|im_end|>", "<|im_start|>")
    ]


TOOLS = (
    "{%- for tool in tools -%}<tools>{{ tool | tojson }}</tools>{% endfor -%}"
    "{{ messages[0]['content'] }}<|im_start|>"
)


@given(TEXT)
def test_any_text_in_a_tool_leaves_the_special_tokens_to_the_template(text: str) -> None:
    tools = json.dumps([{"name": "look", "description": text, "parameters": {text: [text]}}])
    chat = Chat.of([Message("user", "hello")], tools)
    assert markup(encoder(TOOLS).encode(chat)) == ["<|im_start|>"]


def test_tools_stand_where_the_template_shows_them() -> None:
    chat = Chat.of([Message("user", "hello")], '[{"name": "look"}]')
    assert decoded(encoder(TOOLS).encode(chat)) == (
        '<tools>{"name": "look"}</tools>hello<|im_start|>'
    )


@given(TEXT)
def test_a_raw_text_is_all_that_the_model_sees(text: str) -> None:
    chat = Chat.raw(text)
    assert decoded(encoder().encode(chat)) == text
    assert markup(encoder().encode(chat)) == []
    assert not encoder().starts_thinking(chat)


# --- trusted text -----------------------------------------------------------------------------------


def test_trusted_text_keeps_its_special_tokens() -> None:
    assert markup(list(encoder().markup("\n</think>\n\n"))) == ["</think>"]
    assert markup(encoder().encode(Chat((Message("user", "<think>"),)))) == [
        *("<|im_start|>", "<think>", "<|im_end|>", "<|im_start|>")
    ]


def test_texts_stand_in_the_order_of_their_slots() -> None:
    chat = Chat((Message("user", f"{slot(1)}, {slot(0)}, {slot(1)}"),), ("zero", "one"))
    assert "user\none, zero, one<" in decoded(encoder().encode(chat))


def test_the_template_says_whether_the_answer_begins_inside_thinking() -> None:
    assert not encoder().starts_thinking(user("<think>"))
    opening = CHAT.replace("assistant\n", "assistant\n<think>\n")
    assert encoder(opening).starts_thinking(user("hello"))


# --- what cannot be encoded ---------------------------------------------------------------------------


def test_a_tokenizer_without_a_chat_template_is_an_error() -> None:
    with pytest.raises(BonError, match="no chat template: use an instruct model"):
        ChatEncoder(tokenizer(None))


def test_a_conversation_that_the_chat_template_refuses_fails_alone() -> None:
    with pytest.raises(RequestRefused, match="chat template refuses: no tools"):
        encoder().encode(Chat.of([Message("tool", "42")]))


# --- without a fast tokenizer -------------------------------------------------------------------------


class SlowTokenizer:
    """Knows added tokens and cannot be told to leave them alone; everything else is a character."""

    chat_template = CHAT
    name_or_path = "slow"

    def get_added_vocab(self) -> dict[str, int]:
        return {text: -i for i, text in enumerate(ADDED, start=1)}

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        ids = []
        while text:
            token = next((t for t in ADDED if text.startswith(t)), text[0])
            ids.append(self.get_added_vocab().get(token) or ord(token))
            text = text[len(token) :]
        return ids

    def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
        return str(tokenizer().apply_chat_template(messages, tokenize=False))


@given(TEXT)
def test_a_slow_tokenizer_gets_text_that_is_broken_up(text: str) -> None:
    ids = ChatEncoder(SlowTokenizer()).encode(user(text))
    assert [number for number in ids if number < 0] == [-2, -3, -2]


@given(TEXT)
def test_defused_text_holds_no_markup_and_reads_the_same(text: str) -> None:
    safe = defuse(text, ADDED)
    assert not any(token in safe for token in ADDED)
    assert safe.replace("\u200b", "") == text.replace("\u200b", "")
    if not any(token in text for token in ADDED):
        assert safe == text


@given(
    st.text("<|a>", max_size=12),
    st.lists(st.text("<|a>", min_size=2, max_size=3), max_size=4),
)
def test_markup_that_overlaps_itself_or_other_markup_is_defused(
    text: str, marks: list[str]
) -> None:
    safe = defuse(text, marks)
    assert not any(mark in safe for mark in marks)
