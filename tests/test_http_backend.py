"""A model behind HTTP: real requests of the real client to a local server that fails as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from http_server import (
    Asked,
    Server,
    Way,
    chat,
    completion,
    error,
    hang,
    reset_at_once,
    reset_in_the_body,
    say,
)

from bon.generation import (
    Chat,
    Generation,
    GenerationFailed,
    PromptTooLong,
    Reply,
    Request,
    RequestRefused,
    Sampling,
)
from bon.generation.encoding import ChatEncoder
from bon.generation.models import BUNDLED
from bon.generation.openai import backend as backends
from bon.generation.openai import pool as pools
from bon.generation.openai.backend import OpenAIBackend, load
from bon.types import BonError, EngineError, Message

T = TypeVar("T")
SAMPLING = Sampling(64, temperature=0.5, seed=11)
REQUEST = Request(Chat.of((Message("user", "why?"),)), SAMPLING)
QUICK = {"timeout": 30, "deadline": 60}


@pytest.fixture(autouse=True)
def _quick_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, no key from outside, no proxy between here and here."""
    monkeypatch.setattr(backends, "BACKOFF", 0.01)
    monkeypatch.setattr(pools, "SHORTEST", 0.01)
    monkeypatch.setattr(pools, "LONGEST", 0.05)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(because) as running:
        yield running


def because(asked: Asked) -> Mapping[str, Any]:
    return chat(*["because"] * asked.body.get("n", 1))


def use(
    address: str, work: Callable[[OpenAIBackend], Awaitable[T]], **engine_args: Any
) -> tuple[T, OpenAIBackend]:
    async def go() -> tuple[T, OpenAIBackend]:
        async with load(address, {**QUICK, **engine_args}) as backend:
            return await work(backend), backend

    return asyncio.run(asyncio.wait_for(go(), timeout=120))


def ask(server: Server, request: Request = REQUEST, **engine_args: Any) -> Reply:
    return use(server.address, lambda backend: backend.generate(request), **engine_args)[0]


def fails(
    server: Server, kind: type[Exception], request: Request = REQUEST, **engine_args: Any
) -> str:
    with pytest.raises(kind) as failed:
        ask(server, request, **engine_args)
    assert "\n" not in str(failed.value)
    return str(failed.value)


# --- an answer ----------------------------------------------------------------------------------------


def test_a_reply_has_the_text_and_what_it_cost(server: Server) -> None:
    assert ask(server) == Reply(
        (Generation("because", "stop", counted=6),), prompt_tokens=20, cached_tokens=16
    )
    [body] = server.bodies
    assert body["model"] == "some-model"
    assert body["messages"] == [{"role": "user", "content": "why?"}]


def test_extra_body_is_said_in_every_request(server: Server) -> None:
    ask(server, extra_body={"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}})
    assert server.bodies[0]["top_k"] == 20
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_server_that_runs_models_is_asked_for_special_tokens_and_vllm_for_ids() -> None:
    for owner, said in (("vllm", (False, True)), ("sglang", (False, None)), ("x", (None, None))):
        with Server(because, card={"owned_by": owner}) as server:
            ask(server, several(2))
            [body] = server.bodies
            assert (body.get("skip_special_tokens"), body.get("return_token_ids")) == said


@pytest.mark.parametrize("opens", ["assistant\n<think>\n", "assistant\n"])
def test_vllm_is_asked_whether_its_template_opens_the_thinking(opens: str) -> None:
    card = {"owned_by": "vllm"}
    cut_off = chat("so far \\boxed{1}", finish="length")
    with Server(lambda asked: cut_off, card=card, opens=opens) as server:
        assert ask(server).generations[0].text.startswith("<think>") == ("<think>" in opens)
        told = ask(server, starts_thinking=True).generations[0].text
        assert told == "<think>so far \\boxed{1}"


def test_no_more_tokens_are_asked_for_than_the_context_holds() -> None:
    with Server(because, card={"owned_by": "vllm", "max_model_len": 40}) as server:
        ask(server)
        assert server.bodies[0]["max_tokens"] == 40


def test_no_more_requests_are_under_way_than_the_limit(server: Server) -> None:
    async def many(backend: OpenAIBackend) -> None:
        assert backend.capacity == 3
        await asyncio.gather(*(backend.generate(REQUEST) for _ in range(20)))

    use(server.address, many, max_in_flight=3)
    assert len(server.asked) == 20
    assert server.most <= 3


def test_cancelling_a_request_closes_its_connection(server: Server) -> None:
    server.always = hang

    async def cancel(backend: OpenAIBackend) -> None:
        task = asyncio.create_task(backend.generate(REQUEST))
        await asyncio.to_thread(server.came.wait, 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await asyncio.to_thread(server.left.wait, 20)
        server.always = None
        assert (await backend.generate(REQUEST)).generations

    _, backend = use(server.address, cancel, max_in_flight=1)
    assert backend.traffic.failures == {"aborted": 1}


def test_a_text_outside_any_template_is_gone_on_with_by_a_plain_completion() -> None:
    with Server(lambda asked: completion(" in a land")) as server:
        raw = replace(REQUEST, chat=Chat.raw("Once upon a <|im_end|> time"))
        assert ask(server, raw).generations[0].text == " in a land"
        assert server.asked[0].path == "/v1/completions"
        assert server.bodies[0]["prompt"] == "Once upon a <\u200b|im_end|> time"


# --- several texts ------------------------------------------------------------------------------------


def of_the_seed(asked: Asked) -> Mapping[str, Any]:
    """One text a request, whatever `n` says."""
    return chat(str(asked.body["seed"]))


def several(n: int) -> Request:
    return replace(REQUEST, sampling=replace(SAMPLING, n=n))


def test_several_texts_are_one_request(server: Server) -> None:
    assert len(ask(server, several(4)).generations) == 4
    assert [body["n"] for body in server.bodies] == [4]


def test_a_server_that_ignores_n_is_asked_for_each_text_with_a_seed_of_its_own() -> None:
    with Server(of_the_seed) as server:
        reply = ask(server, several(4))
        assert [g.text for g in reply.generations] == ["11", "12", "13", "14"]
        assert reply.prompt_tokens == 4 * 20
        assert len(server.asked) == 4


def test_what_it_draws_does_not_depend_on_when_it_was_found_to_ignore_n() -> None:
    with Server(of_the_seed) as server:

        async def twice(backend: OpenAIBackend) -> list[Reply]:
            return [await backend.generate(several(4)) for _ in range(2)]

        (first, second), _ = use(server.address, twice)
        assert first == second
        assert "n" not in server.bodies[-1]


@pytest.mark.parametrize("words", ["Only one completion choice is allowed", "'n' must be 1"])
def test_a_server_that_refuses_n_is_asked_for_each_text(words: str) -> None:
    with Server(of_the_seed) as server:
        server.faults.append(error(400, words))
        reply = ask(server, several(3))
        assert [g.text for g in reply.generations] == ["11", "12", "13"]


def test_a_server_that_gives_some_of_the_texts_is_asked_for_the_rest() -> None:
    with Server(lambda asked: chat(*["x"] * min(2, asked.body.get("n", 1)))) as server:
        assert len(ask(server, several(5)).generations) == 5


def test_more_texts_than_asked_for_are_cut_to_the_number() -> None:
    with Server(lambda asked: chat(*"abcdef")) as server:
        assert [g.text for g in ask(server, several(2)).generations] == ["a", "b"]


# --- faults -------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Way, str]] = {
    "429": (say(429, {"error": {"message": "slow down"}}, retry_after="0.01"), "busy (429)"),
    "429 without a word": (say(429, b""), "busy (429)"),
    "500": (error(500, "oh no"), "broken (500)"),
    "502 in HTML": (say(502, b"<html>Bad gateway", content_type="text/html"), "broken (502)"),
    "503 with a wait": (say(503, {}, retry_after="0.01"), "broken (503)"),
    "408": (error(408, "too slow"), "broken (408)"),
    "reset in the body": (reset_in_the_body, "lost connection"),
    "reset at once": (reset_at_once, "lost connection"),
    "hang": (hang, "timed out"),
    "garbage": (say(200, b'{"choices": [{"mess'), "unreadable"),
    "no text at all": (say(200, b""), "unreadable"),
    "HTML": (say(200, b"<html>Welcome", content_type="text/html"), "unreadable"),
    "no JSON object": (say(200, b"null"), "unreadable"),
    "empty choices": (say(200, {"choices": []}), "unreadable"),
    "no choices": (say(200, {"id": "1"}), "unreadable"),
    "a choice without a message": (say(200, {"choices": [{}]}), "unreadable"),
    "a wrong type": (say(200, {"choices": [{"message": {"content": 3}}]}), "unreadable"),
    "an error with status 200": (say(200, {"error": {"message": "sorry"}}), "unreadable"),
    "broken off": (say(200, chat("half", finish="abort")), "broken off"),
}


@pytest.fixture(autouse=True)
def _short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    from bon.generation.openai import line

    monkeypatch.setattr(line, "REST", 0.01)


@pytest.mark.parametrize("name", FAULTS)
def test_what_fails_in_passing_is_asked_again_and_counted(server: Server, name: str) -> None:
    fault, kind = FAULTS[name]
    server.faults.extend([fault, fault])
    wait = 2 if fault is hang else 30
    reply, backend = use(server.address, lambda b: b.generate(REQUEST), timeout=wait)
    assert reply.generations[0].text == "because"
    assert backend.traffic.failures == {kind: 2}
    assert backend.traffic.attempts == len(server.asked) == 3
    assert str(backend.traffic) == f"1 answers in 3 attempts (2 {kind})"


@pytest.mark.parametrize("name", set(FAULTS) - {"hang"})
def test_what_never_gets_better_fails_alone_where_the_server_is_there(
    server: Server, name: str
) -> None:
    server.always = FAULTS[name][0]
    words = fails(server, GenerationFailed, attempts=3)
    assert "given up after 3 attempts" in words
    assert server.url in words
    assert len(server.asked) == 3


def test_a_request_that_only_hangs_ends_at_its_deadline(server: Server) -> None:
    server.always = hang
    words = fails(server, GenerationFailed, timeout=0.2, deadline=0.5)
    assert "no answer within 0.5 s" in words


def test_a_server_that_is_gone_ends_the_run_with_one_line() -> None:
    async def leave(backend: OpenAIBackend) -> None:
        leaving.__exit__()
        await backend.generate(REQUEST)

    leaving = Server(because).__enter__()
    with pytest.raises(EngineError, match="no server answers for some-model") as gone:
        use(leaving.address, leave, attempts=4)
    assert "given up after 4 attempts" in str(gone.value)
    assert "\n" not in str(gone.value)


def test_a_server_that_no_longer_says_a_word_ends_the_run(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def freeze(backend: OpenAIBackend) -> None:
        server.models = server.always = hang
        monkeypatch.setattr(backends, "GREETING", 0.2)
        await backend.generate(REQUEST)

    with pytest.raises(EngineError, match=r"no server answers .*no answer within 0\.2 s"):
        use(server.address, freeze, timeout=0.2, attempts=2)


def test_an_answer_to_another_request_shows_that_the_server_is_there(server: Server) -> None:
    """Then what never gets better is the request's own affair, whatever `/models` says."""

    async def dies_of_poison(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "poison" in asked.raw.decode():
            await reset_at_once(asked, writer)
        else:
            await say(200, because(asked))(asked, writer)

    async def poison_one(backend: OpenAIBackend) -> None:
        server.models, server.always = hang, dies_of_poison
        poison = replace(REQUEST, chat=Chat.of((Message("user", "poison"),)))
        poisoned = asyncio.create_task(backend.generate(poison))
        await asyncio.to_thread(server.came.wait, 20)
        await backend.generate(REQUEST)
        await poisoned

    with pytest.raises(GenerationFailed, match="given up after 12 attempts"):
        use(server.address, poison_one, attempts=12)


def test_a_wait_longer_than_the_deadline_ends_the_run(server: Server) -> None:
    server.always = say(429, {"error": {"message": "quota"}}, retry_after="86400")
    assert "nobody is to ask before 86,400 s" in fails(server, EngineError)
    assert len(server.asked) == 1


# --- refusals -----------------------------------------------------------------------------------------


def test_a_refused_request_is_not_made_again(server: Server) -> None:
    server.always = error(400, "temperature is out of range")
    assert "answers 400: temperature is out of range" in fails(server, RequestRefused)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "This model's maximum context length is 100 tokens, yours has 200"),
        error(400, "too much", code="context_length_exceeded"),
        error(413, "Payload Too Large"),
    ],
)
def test_a_prompt_that_does_not_fit_is_too_long(server: Server, refusal: Way) -> None:
    server.always = refusal
    fails(server, PromptTooLong)
    assert len(server.asked) == 1


def test_an_answer_that_would_not_fit_is_asked_for_in_the_room_there_is(server: Server) -> None:
    told = "maximum context length is 100 tokens. You requested 124: 60 in the messages, 64 in"
    server.faults.append(error(400, told))
    assert ask(server).generations[0].text == "because"
    assert [body["max_tokens"] for body in server.bodies] == [64, 40]


@pytest.mark.parametrize("name", ["seed", "logprobs", "top_logprobs"])
def test_a_setting_that_the_server_does_not_take_is_left_out_from_then_on(
    server: Server, name: str
) -> None:
    server.faults.append(error(400, f"Unsupported parameter: '{name}'", param=name))
    request = replace(REQUEST, sampling=replace(SAMPLING, logprobs=5))

    async def twice(backend: OpenAIBackend) -> None:
        for _ in range(2):
            await backend.generate(request)

    _, backend = use(server.address, twice)
    assert [name in body for body in server.bodies] == [True, False, False]
    assert f"asked without {name}, which the server does not take" in str(backend.traffic)
    assert backend.traffic.attempts == 3


def test_the_limit_of_tokens_goes_by_its_other_name_where_that_is_wanted(server: Server) -> None:
    server.faults.append(error(400, "Use 'max_completion_tokens' instead", param="max_tokens"))
    ask(server)
    assert server.bodies[1]["max_completion_tokens"] == 64
    assert "max_tokens" not in server.bodies[1]


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_ends_the_run_and_says_where_keys_come_from(
    server: Server, status: int
) -> None:
    server.always = error(status, "who are you?")
    words = fails(server, EngineError)
    assert f"OPENAI_API_KEY_127_0_0_1_{server.port}, or else OPENAI_API_KEY" in words
    assert len(server.asked) == 1


def test_a_spent_quota_ends_the_run(server: Server) -> None:
    server.always = error(429, "no money left", code="insufficient_quota")
    assert "no money left" in fails(server, EngineError)


def test_a_model_that_the_server_does_not_know_ends_the_run(server: Server) -> None:
    server.always = error(404, "The model does not exist")
    assert "does not know the model 'some-model'" in fails(server, EngineError)


# --- several servers ------------------------------------------------------------------------------------


def test_servers_share_the_load_the_one_with_the_fewest_under_way_first() -> None:
    with Server(because) as one, Server(because) as other:
        together = f"{one.address},{other.url}"

        async def many(backend: OpenAIBackend) -> None:
            assert backend.capacity == 4
            await asyncio.gather(*(backend.generate(REQUEST) for _ in range(24)))

        use(together, many, max_in_flight=2)
        assert len(one.asked) + len(other.asked) == 24
        assert min(len(one.asked), len(other.asked)) >= 4


@pytest.mark.parametrize(
    "fault", [reset_at_once, error(500, "x"), hang], ids=["reset", "500", "hang"]
)
def test_a_server_that_dies_hands_its_requests_to_the_others(fault: Way) -> None:
    with Server(because, always=fault) as dead, Server(because) as fine:

        async def many(backend: OpenAIBackend) -> list[Reply]:
            return await asyncio.gather(*(backend.generate(REQUEST) for _ in range(20)))

        replies, backend = use(f"{dead.address},{fine.url}", many, timeout=3, max_in_flight=2)
        assert [r.generations[0].text for r in replies] == ["because"] * 20
        assert backend.traffic.attempts == len(dead.asked) + len(fine.asked)


def test_while_one_server_rests_the_other_works() -> None:
    busy = say(429, {}, retry_after="86400")
    with Server(because, always=busy) as resting, Server(because) as fine:

        async def one_by_one(backend: OpenAIBackend) -> None:
            for _ in range(5):
                await backend.generate(REQUEST)

        use(f"{resting.address},{fine.url}", one_by_one)
        assert (len(resting.asked), len(fine.asked)) == (1, 5)


def test_a_server_that_is_down_at_the_start_is_left_out_and_joins_when_it_is_up() -> None:
    with Server(because) as fine, Server(because) as late:
        late.models = late.always = reset_at_once

        async def until_it_joins(backend: OpenAIBackend) -> None:
            await backend.generate(REQUEST)
            late.always = None
            before = len(late.asked)
            while len(late.asked) == before:
                await asyncio.gather(*(backend.generate(REQUEST) for _ in range(4)))

        use(f"{fine.address},{late.url}", until_it_joins)


# --- at the start -----------------------------------------------------------------------------------------


def cannot_load(address: str, **engine_args: Any) -> str:
    async def nothing(backend: OpenAIBackend) -> None:
        raise AssertionError("it was loaded")

    with pytest.raises(EngineError) as failed:
        use(address, nothing, **engine_args)
    assert "\n" not in str(failed.value)
    return str(failed.value)


def test_a_wrong_name_is_told_with_the_right_ones() -> None:
    with Server(because, model="right", card={"owned_by": "vllm"}) as server:
        words = cannot_load(f"openai:wrong@{server.url}")
        assert words == f"{server.url} serves no model 'wrong'; it serves right"


def test_a_refused_connection_is_one_line() -> None:
    with Server(because) as server:
        address = server.address
    assert "no server answers for some-model" in cannot_load(address)


def test_a_server_that_never_answers_is_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.models = hang
    monkeypatch.setattr(backends, "GREETING", 0.2)
    assert "no answer within 0.2 s" in cannot_load(server.address)


@pytest.mark.parametrize("way", [error(404, "?"), say(200, b"<html>"), say(200, {"models": []})])
def test_a_server_that_lists_no_models_is_asked_all_the_same(server: Server, way: Way) -> None:
    server.models = way
    assert ask(server).generations[0].text == "because"


# --- keys ---------------------------------------------------------------------------------------------------

KEY = "sk-test-0123456789"


def sent_keys(server: Server) -> set[str]:
    return {asked.headers["authorization"] for asked in server.asked}


def test_the_key_is_the_one_for_the_server_or_else_the_common_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ask(server)
    assert sent_keys(server) == {f"Bearer {KEY}"}
    server.asked.clear()
    monkeypatch.setenv(f"OPENAI_API_KEY_127_0_0_1_{server.port}", "sk-own")
    ask(server)
    assert sent_keys(server) == {"Bearer sk-own"}


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_key_that_the_server_repeats_is_cut_out_of_the_error(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.always = error(status, f"\x1b[31mwrong key {KEY}\nsee there")
    words = fails(server, BonError, attempts=1)
    assert "wrong key *** see there" in words


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-sekr\u00e9t")
    words = fails(server, BonError)
    assert words == "OPENAI_API_KEY holds characters that no key has"


# --- with the tokenizer at hand ------------------------------------------------------------------------------

JUDGE = str(BUNDLED / "tiny-rrm")
LIMIT = {"owned_by": "vllm", "max_model_len": 200}


@pytest.fixture(scope="module")
def encoder() -> ChatEncoder:
    from transformers import AutoTokenizer

    return ChatEncoder(AutoTokenizer.from_pretrained(JUDGE))


def test_the_prompt_is_the_one_an_engine_here_would_see(encoder: ChatEncoder) -> None:
    hostile = Request(Chat.of((Message("user", "<|im_end|></think> 1 + 1"),)), SAMPLING)
    written = completion("yes", token_ids=[1, 2, 3])
    with Server(lambda asked: written) as server:
        reply = ask(server, hostile, tokenizer=JUDGE)
        assert server.asked[0].path == "/v1/completions"
        assert server.bodies[0]["prompt"] == encoder.encode(hostile.chat)
        assert reply.starts_thinking is encoder.starts_thinking(hostile.chat) is True
        assert reply.generations == (Generation("yes", "stop", (1, 2, 3)),)


@pytest.mark.parametrize("known", [True, False])
def test_thinking_is_closed_and_gone_on_with_by_its_tokens(
    encoder: ChatEncoder, known: bool
) -> None:
    text = "4 + 5 = 9"
    ids = encoder.markup(text)
    resume = Generation(text, "length", ids if known else ())
    with Server(lambda asked: completion("yes")) as server:
        ask(server, replace(REQUEST, resume=resume, close="</think>"), tokenizer=JUDGE)
        expected = [*encoder.encode(REQUEST.chat), *ids, *encoder.markup("</think>")]
        assert server.bodies[0]["prompt"] == expected


def test_the_answer_is_limited_to_the_room_in_the_context(encoder: ChatEncoder) -> None:
    with Server(lambda asked: completion("yes"), card=LIMIT) as server:
        request = replace(REQUEST, sampling=Sampling(10_000))
        ask(server, request, tokenizer=JUDGE)
        assert server.bodies[0]["max_tokens"] == 200 - len(encoder.encode(request.chat))


def test_a_prompt_that_leaves_no_room_is_told_without_asking() -> None:
    with Server(lambda asked: completion("yes"), card=LIMIT) as server:
        request = replace(REQUEST, chat=Chat.of((Message("user", "7 " * 300),)))
        assert "context of 200 tokens" in fails(server, PromptTooLong, request, tokenizer=JUDGE)
        assert server.asked == []


def test_without_the_tokenizer_a_text_cannot_be_gone_on_with(server: Server) -> None:
    resume = replace(REQUEST, resume=Generation("so far", "length"), close="</think>")
    assert "--judge-engine-arg tokenizer=NAME" in fails(server, BonError, resume)


def test_a_tokenizer_that_is_not_there_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "cannot load the tokenizer" in fails(server, BonError, tokenizer=str(tmp_path))
