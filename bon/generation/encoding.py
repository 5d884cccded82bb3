"""From a `Chat` to token ids, such that untrusted text cannot become a special token.

The chat template is applied to a conversation that holds slots in place of untrusted text. What it
renders is cut at the slots; the template's own pieces are tokenized as usual, the untrusted ones by a
copy of the tokenizer that knows no added tokens at all, and the ids are joined. Nothing a candidate
contains can end its turn, close the judge's thinking or open a new message.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bon.generation import SLOT_PATTERN, Chat, RequestRefused
from bon.types import BonError, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CACHED_TEXTS = 4096
"""A candidate is met in many comparisons; its tokens are kept at hand."""

SPELLINGS = (
    r"<[|\uff5c][^<>\s]{0,60}>"  # ChatML, Llama 3, Phi, Harmony; DeepSeek's have wide bars
    r"|<[^<>\s]{0,60}[|\uff5c]>"
    r"|<<?/?(?:s|sys|SYS|bos|eos|pad|unk|mask|sop|eop|think|thinking|tool_calls?|tool_response"
    r"|(?:start|end)_of_(?:turn|image)|image|audio|video)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|THINK|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|AVAILABLE_TOOLS|ARGS|CALL_ID"
    r"|IMG|IMG_BREAK|IMG_END|PREFIX|SUFFIX|MIDDLE|gMASK)\]"
)
"""How the special tokens of well-known chat models are spelled, for a model whose vocabulary nobody here has."""


class ChatEncoder:
    """Encodes chats for one tokenizer. Raises `BonError` where it has no chat template,
    `RequestRefused` for a chat that the template does not take."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.chat_template:
            raise BonError(
                f"the tokenizer of {tokenizer.name_or_path} has no chat template: use an instruct model"
            )
        self._tokenizer = tokenizer
        self._markup = [text for text in tokenizer.get_added_vocab() if text]
        self._markup_ids = frozenset(tokenizer.get_added_vocab().values())
        self._plain = _without_added_tokens(tokenizer)
        self._quoted = lru_cache(CACHED_TEXTS)(self._encode_quoted)
        self._rendered = lru_cache(256)(self._render)
        self._pieces = lru_cache(256)(self._encode_template)

    def encode(self, chat: Chat) -> list[int]:
        """Token ids of the conversation, ready for the model's answer, or for the score of its own."""
        if not chat.messages:  # with what the tokenizer itself sets before any text
            return [*self._tokenizer.encode(""), *self._quoted(chat.quoted[0])]
        ids: list[int] = []
        for piece in self._pieces(chat.messages, chat.tools, chat.closed):
            ids += self._quoted(chat.quoted[piece]) if isinstance(piece, int) else piece
        return ids

    def starts_thinking(self, chat: Chat) -> bool:
        """Whether the template ends the prompt inside `<think>`, so that the answer begins there."""
        if not chat.messages:
            return False
        return self._rendered(chat.messages, chat.tools, chat.closed).rstrip().endswith("<think>")

    def markup(self, text: str) -> tuple[int, ...]:
        """Token ids of trusted text, in which special tokens mean what they say."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _encode_template(
        self, messages: tuple[Message, ...], tools: str, closed: bool
    ) -> list[int | tuple[int, ...]]:
        cuts = re.split(SLOT_PATTERN, self._rendered(messages, tools, closed))
        # re.split with one group alternates: text, slot, text, slot, ..., text
        return [
            int(cut) if i % 2 else self.markup(cut) for i, cut in enumerate(cuts) if i % 2 or cut
        ]

    def _render(self, messages: tuple[Message, ...], tools: str, closed: bool) -> str:
        from jinja2 import TemplateError

        # a template looks into tools, so they cannot wait in a slot
        offered = _defused(json.loads(tools), [*self._markup, "\ue000"]) if tools else None
        try:
            rendered = self._tokenizer.apply_chat_template(
                [{"role": m.role, "content": m.content} for m in messages],
                tools=offered,
                tokenize=False,
                add_generation_prompt=not closed,
            )
        except TemplateError as error:  # some know no system prompt, some want roles to alternate
            raise RequestRefused(f"the model's chat template refuses: {error}") from error
        return str(rendered)

    def _encode_quoted(self, text: str) -> tuple[int, ...]:
        if self._plain is not None:
            ids = tuple(self._plain.encode(text, add_special_tokens=False).ids)
            if self._markup_ids.isdisjoint(ids):
                return ids
        return self.markup(defuse(text, self._markup))


def defuse(text: str, markup: list[str]) -> str:
    """Break every occurrence of `markup` in `text` with a zero-width space, so that it reads the same.

    For tokenizers that cannot be told to leave special tokens alone, and for servers behind HTTP.
    """
    tokens = "|".join(map(re.escape, markup))
    return _broken(text, tokens) if tokens else text


def filled(chat: Chat) -> tuple[Message, ...]:
    """The messages with the untrusted texts in their slots, for a server that tokenizes them itself."""
    quoted = [unmarked(text) for text in chat.quoted]
    return tuple(
        Message(m.role, re.sub(SLOT_PATTERN, lambda found: quoted[int(found[1])], m.content))
        for m in chat.messages
    )


def unmarked(text: str) -> str:
    """`text` without special tokens, for a server whose vocabulary nobody here has.

    What such a server takes for one cannot be known, so every usual spelling is broken as by `defuse`. A
    lone surrogate, which no JSON can carry, becomes U+FFFD.
    """
    broken = _broken(text, SPELLINGS)
    return broken.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _broken(text: str, pattern: str) -> str:
    # Looking ahead finds occurrences that overlap, too.
    return re.sub(rf"(?={pattern})(.)", "\\1\u200b", text, flags=re.DOTALL)


def _defused(data: Any, markup: list[str]) -> Any:
    """JSON data with every text in it defused."""
    match data:
        case str():
            return defuse(data, markup)
        case list():
            return [_defused(value, markup) for value in data]
        case dict():
            return {defuse(key, markup): _defused(value, markup) for key, value in data.items()}
        case _:
            return data


def _without_added_tokens(tokenizer: PreTrainedTokenizerBase) -> Any | None:
    """The fast tokenizer behind `tokenizer` without its added tokens; None where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    from tokenizers import Tokenizer

    description = json.loads(backend.to_str())
    description["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(description))
