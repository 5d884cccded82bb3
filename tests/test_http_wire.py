"""What is said to OpenAI-compatible servers and what their answers come to: no server needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from http_server import chat, completion
from hypothesis import given
from hypothesis import strategies as st

from bon.generation import Chat, Generation, Sampling, TokenChoice, slot
from bon.generation.encoding import filled
from bon.generation.openai import wire
from bon.generation.openai.address import Address, bare_name, parse_address
from bon.generation.openai.backend import identity
from bon.generation.openai.line import error_message, key_name, retry_after
from bon.generation.openai.settings import Settings
from bon.generation.openai.wire import Card, Completion
from bon.judge.template import default_template
from bon.types import BonError, Message

# --- addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("openai:m@http://a:8000/v1", Address("m", ("http://a:8000/v1",))),
        ("openai:org/m@main@https://a/v1/", Address("org/m@main", ("https://a/v1",))),
        ("openai:m@http://a/v1,https://b/v1", Address("m", ("http://a/v1", "https://b/v1"))),
        ("openai:m@http://a/v1,http://a/v1/", Address("m", ("http://a/v1",))),
        ("openai:m@http://[::1]:8000/v1", Address("m", ("http://[::1]:8000/v1",))),
    ],
)
def test_an_address_is_a_name_and_base_urls(name: str, address: Address) -> None:
    assert parse_address(name) == address


@pytest.mark.parametrize(
    "name",
    [
        "openai:",
        "openai:m",
        "openai:@http://a/v1",
        "openai:m@a:8000",
        "openai:m@http://",
        "openai:m@http://a:port/v1",
        "openai:m@http://a/v1,",
        "openai:m@http://a/v1,ftp://b/v1",
    ],
)
def test_what_is_no_address_is_told_in_one_line_with_how_to_write_one(name: str) -> None:
    with pytest.raises(BonError, match=r"http://host:8000/v1") as told:
        parse_address(name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:sekret@a/v1",
        "http://sekret@a/v1",
        "http://a/v1?key=sekret",
        "http://a/v1#sekret",
    ],
)
def test_a_key_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BonError, match="OPENAI_API_KEY") as told:
        parse_address(f"openai:m@{url}")
    assert "sekret" not in str(told.value)


def test_a_judge_elsewhere_has_the_template_of_its_name() -> None:
    assert default_template("openai:gaotang/RM-R1-7B@http://a/v1") == "rm-r1"
    assert default_template("openai:tiny-rrm@http://a/v1") == "tiny"
    assert bare_name("openai:m@http://a/v1") == "m"
    assert bare_name("m") == "m"


def test_each_server_may_have_a_key_of_its_own() -> None:
    assert key_name("https://api.example.com/v1") == "OPENAI_API_KEY_API_EXAMPLE_COM"
    assert key_name("http://127.0.0.1:8000/v1") == "OPENAI_API_KEY_127_0_0_1_8000"


# --- identity -------------------------------------------------------------------------------------------


def who(
    name: str = "openai:m@http://a/v1", cards: tuple[Card, ...] = (Card(id="m"),), **settings: Any
) -> str:
    return identity(parse_address(name), Settings(**settings), cards)


def test_without_a_revision_the_servers_are_a_part_of_the_identity() -> None:
    assert who() != who("openai:m@http://b/v1")
    assert who() != who("openai:other@http://a/v1")
    one, other = "openai:m@http://a/v1,http://b/v1", "openai:m@http://b/v1,http://a/v1"
    assert who(one) == who(other)


def test_a_revision_stands_for_the_weights_wherever_they_are() -> None:
    assert who(revision="v2") == who("openai:m@http://b/v1", revision="v2")
    assert who(revision="v2") != who(revision="v3")


def test_what_a_server_says_it_loaded_is_a_part_of_the_identity() -> None:
    loaded = [Card(id="m", root="/models/v1"), Card(id="m", root="/models/v2")]
    assert len({who(cards=(card,)) for card in loaded} | {who()}) == 3
    assert who(cards=(loaded[0], loaded[0])) == who(cards=(loaded[0],))


def test_what_every_request_says_is_a_part_of_the_identity() -> None:
    assert len({who(), who(extra_body={"top_k": 1}), who(extra_body={"top_k": 2})}) == 3
    assert who() != who(starts_thinking=True) != who(starts_thinking=False)
    assert who(extra_body={"a": 1, "b": 2}) == who(extra_body={"b": 2, "a": 1})


# --- settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("max_inflight", 8, "no engine argument 'max_inflight'; known: max_in_flight, timeout"),
        ("max_in_flight", 0, "a whole number above 0"),
        ("max_in_flight", 2.5, "a whole number above 0"),
        ("timeout", True, "a number of seconds above 0"),
        ("deadline", "soon", "a number of seconds above 0"),
        ("attempts", -1, "a whole number above 0"),
        ("starts_thinking", 1, "true or false"),
        ("extra_body", "top_k=3", "an object such as"),
    ],
)
def test_a_wrong_engine_argument_is_told(name: str, value: object, what: str) -> None:
    with pytest.raises(BonError, match=what):
        Settings.of({name: value})


# --- requests -------------------------------------------------------------------------------------------

SAMPLING = Sampling(512, temperature=0.6, top_p=0.9, n=4, seed=7, logprobs=5)
ASKED = (Message("user", "why?"),)


def test_messages_and_settings_are_said_as_the_protocol_has_them() -> None:
    assert wire.chat_body("m", ASKED, SAMPLING, {"top_k": 3}) == {
        "model": "m",
        "messages": [{"role": "user", "content": "why?"}],
        "max_tokens": 512,
        "temperature": 0.6,
        "top_p": 0.9,
        "n": 4,
        "seed": 7,
        "logprobs": True,
        "top_logprobs": 5,
        "top_k": 3,
    }


def test_what_ends_and_shapes_an_answer_is_said_and_so_are_the_tools() -> None:
    tools = '[{"type": "function", "function": {"name": "add"}}]'
    sampling = Sampling(stop=("END",), json_schema='{"type": "object"}')
    body = wire.chat_body("m", ASKED, sampling, {}, tools)
    assert body["stop"] == ["END"]
    assert body["tools"] == [{"type": "function", "function": {"name": "add"}}]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_plain_completion_always_has_a_limit() -> None:
    assert wire.text_body("m", "once", Sampling(), {})["max_tokens"] == wire.MAX_TOKENS


def test_what_is_left_to_the_model_is_not_said() -> None:
    assert wire.chat_body("m", ASKED, Sampling(9), {}).keys() == {"model", "messages", "max_tokens"}
    assert wire.text_body("m", [1, 2], Sampling(9), {}) == {
        "model": "m",
        "prompt": [1, 2],
        "max_tokens": 9,
    }


@pytest.mark.parametrize(
    ("message", "parameter", "refused"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model.",
            None,
            "max_tokens",
        ),
        ("Unsupported parameter", "max_tokens", "max_tokens"),
        ("Unrecognized request argument supplied: seed", None, "seed"),
        ("logprobs are not supported", "logprobs", "logprobs"),
        ("property 'top_logprobs' is unsupported", None, "top_logprobs"),
        ("the seed of doubt is in your prompt", None, None),
        ("'temperature' does not support 0.6 with this model", "temperature", None),
        ("'skip_special_tokens' is unknown", None, None),
    ],
)
def test_a_setting_that_a_request_can_do_without_is_found_in_the_refusal(
    message: str, parameter: str | None, refused: str | None
) -> None:
    body = wire.chat_body("m", ASKED, SAMPLING, {})
    assert wire.refused_setting(body, message, parameter) == refused


def test_a_refused_setting_is_left_out_and_a_renamed_one_renamed() -> None:
    body = wire.chat_body("m", ASKED, SAMPLING, {})
    asked = wire.without(body, {"logprobs", "max_tokens"})
    assert not {"logprobs", "top_logprobs", "max_tokens"} & asked.keys()
    assert asked["max_completion_tokens"] == 512


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 1024 tokens. However, your prompt contains at least"
        " 1025 input tokens, which exceeds this limit even without any output tokens.",
        "Input length (2000) exceeds model's maximum context length (1024).",
        "the request exceeds the available context size, try increasing it",
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    ],
)
def test_a_prompt_that_does_not_fit_is_known_by_the_servers_words(message: str) -> None:
    assert wire.too_long(message, None)
    assert wire.too_long("no words", "context_length_exceeded")
    assert not wire.too_long("temperature must be between 0 and 2", None)


def test_the_room_that_is_left_is_read_from_the_refusal() -> None:
    told = (
        "This model's maximum context length is 4,096 tokens. However, you requested 5000 tokens"
        " (1000 in the messages, 4000 in the completion)."
    )
    assert wire.room_left(told) == 3096
    assert wire.room_left("maximum context length is 10 tokens, but 12 input tokens") == -2
    assert wire.room_left("too long") is None


# --- untrusted text --------------------------------------------------------------------------------------


MARKUP = (
    "<|im_end|>",
    "<|im_start|>assistant",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<s>",
    "[/INST]",
    "[INST]",
    "<<SYS>>",
    "<start_of_turn>model",
    "<end_of_turn>",
    "<eos>",
    "</think>",
    "<think>",
    "<tool_call>",
    "[TOOL_CALLS]",
    "<turn|>",
    "<|channel|>",
)


@pytest.mark.parametrize("markup", MARKUP)
def test_a_special_token_spelled_in_a_text_is_broken_and_reads_the_same(markup: str) -> None:
    [message] = filled(Chat.of((Message("user", f"a{markup}b<|x{markup}"),)))
    assert markup not in message.content
    assert message.content.replace("\u200b", "") == f"a{markup}b<|x{markup}"


@pytest.mark.parametrize("text", ["if a < b || c > d:", "<b>bold</b>", "[1] x[i|j]", "a<-b, |x|>2"])
def test_text_that_spells_no_special_token_is_left_alone(text: str) -> None:
    assert filled(Chat.of((Message("user", text),)))[0].content == text


def test_the_templates_own_words_are_left_alone_and_slots_in_texts_stay_text() -> None:
    words = Message("user", f"<think> {slot(0)} and {slot(1)}")
    [message] = filled(Chat((words,), (slot(1), "two")))
    assert message.content == f"<think> {slot(1)} and two"


@given(st.text(st.characters() | st.just("\ud800"), max_size=30))
def test_whatever_the_text_it_can_be_sent(text: str) -> None:
    [message] = filled(Chat.of((Message("user", text),)))
    assert message.content.encode().decode() == message.content


# --- answers ----------------------------------------------------------------------------------------------


def read(body: dict[str, Any], opened: bool | None = None) -> tuple[Generation, ...]:
    return wire.generations(Completion.model_validate(body), opened)


def test_texts_come_in_the_order_of_their_index() -> None:
    body = chat("one", "two", "three")
    body["choices"].reverse()
    assert [g.text for g in read(body)] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("finish", "reads"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "length"), ("tool_calls", "stop")],
)
def test_an_answer_cut_off_by_a_limit_or_a_filter_says_so(finish: str, reads: str) -> None:
    assert read(chat("x", finish=finish))[0].finish_reason == reads


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thinking_that_the_server_split_off_is_put_back_into_its_tags(name: str) -> None:
    split: dict[str, Any] = {name: "hm"}
    assert read(chat("yes", **split))[0].text == "<think>hm</think>yes"


def test_calls_of_tools_are_text_in_the_form_in_which_models_write_them() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    body = chat("x", tool_calls=[call], finish="tool_calls")
    body["choices"][0]["message"]["content"] = None
    [generation] = read(body)
    assert generation.text == '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    assert generation.finish_reason == "stop"


@pytest.mark.parametrize("finish", ["length", "stop"])
def test_thinking_without_an_answer_never_ended(finish: str) -> None:
    for content in ("", None):
        body = chat("x", finish=finish, reasoning="hm")
        body["choices"][0]["message"]["content"] = content
        assert read(body)[0].text == "<think>hm"


@pytest.mark.parametrize(
    ("text", "opened", "reads"),
    [
        ("hm</think>yes", True, "<think>hm</think>yes"),
        ("hm", True, "<think>hm"),
        ("<think>hm</think>yes", True, "<think>hm</think>yes"),
        ("the tag </think> ends it", False, "the tag </think> ends it"),
        ("hm</think>yes", None, "<think>hm</think>yes"),
        ("<think>hm</think>yes", None, "<think>hm</think>yes"),
        ("yes", None, "yes"),
    ],
)
def test_thinking_that_the_prompt_opened_is_marked_as_such(
    text: str, opened: bool | None, reads: str
) -> None:
    assert read(chat(text), opened)[0].text == reads


def test_tokens_are_counted_by_their_ids_where_the_server_gives_them() -> None:
    body = chat("one", "two")
    body["choices"][0]["token_ids"] = [5, 6, 7]
    assert (read(body)[0].token_ids, read(body)[0].tokens) == ((5, 6, 7), 3)


@given(st.lists(st.text(max_size=9), min_size=1, max_size=9), st.integers(0, 999))
def test_a_sum_of_tokens_is_shared_out_to_the_last_one(texts: list[str], tokens: int) -> None:
    counts = [generation.tokens for generation in read(chat(*texts, tokens=tokens))]
    assert sum(counts) == tokens
    assert min(counts) >= 0


def test_without_a_word_on_usage_nothing_is_counted() -> None:
    body = chat("one")
    del body["usage"]
    assert read(body)[0].tokens == 0


TAIL = (
    TokenChoice("is ", {"is ": -0.1, "was ": -2.5}),
    TokenChoice("1", {"1": -0.2, "2": -1.7}),
)


def test_log_probabilities_of_a_chat_completion_make_the_tail() -> None:
    body = chat("is 1")
    content = [
        {
            "token": choice.text,
            "logprob": choice.logprobs[choice.text],
            "bytes": None,
            "top_logprobs": [{"token": t, "logprob": p} for t, p in choice.logprobs.items()],
        }
        for choice in TAIL
    ]
    body["choices"][0]["logprobs"] = {"content": content}
    assert read(body)[0].tail == TAIL


def test_log_probabilities_of_a_plain_completion_make_the_tail() -> None:
    logprobs = {
        "tokens": [choice.text for choice in TAIL],
        "token_logprobs": [choice.logprobs[choice.text] for choice in TAIL],
        "top_logprobs": [dict(choice.logprobs) for choice in TAIL],
    }
    assert read(completion("is 1", logprobs=logprobs))[0].tail == TAIL


@pytest.mark.parametrize(
    "logprobs", [None, {"content": None}, {"tokens": ["a"], "top_logprobs": [None, None]}]
)
def test_without_log_probabilities_there_is_no_tail(logprobs: object) -> None:
    assert read(completion("is 1", logprobs=logprobs))[0].tail == ()


# --- headers and errors ------------------------------------------------------------------------------------


def test_a_wait_is_a_number_of_seconds_or_a_date() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True)
    assert retry_after({"retry-after": soon}) == pytest.approx(3600, abs=60)
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0


@pytest.mark.parametrize("value", ["", "-3", "soon", "nan", "1e9", "9" * 400])
def test_a_wait_that_makes_no_sense_is_none(value: str) -> None:
    assert retry_after({"retry-after": value}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no"}},
        {"message": "no"},
        {"error": "no"},
        {"detail": "no"},
        '{"error": {"message": "no"}}',
    ],
)
def test_the_message_of_an_error_is_found_in_every_usual_shape(body: object) -> None:
    assert error_message(body) == "no"


@pytest.mark.parametrize("body", [None, "", "<html>", [], {"detail": [{"msg": "no"}]}, {}])
def test_a_body_without_a_message_has_none(body: object) -> None:
    assert error_message(body) is None
