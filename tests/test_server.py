"""What clients of the server get: real HTTP, the real `openai` client, fake models."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fakes import reply
from serving import Serving, serving

from bon.catalog import parse_strategy
from bon.generation import GenerationFailed, PromptTooLong, Reply, Request, RequestRefused
from bon.job import Job, Judge, Policy
from bon.server.limits import Limits
from bon.server.tools import read_calls
from bon.types import BonError, EngineError

HELLO: Any = [{"role": "user", "content": "A number?"}]
LONG = 10_000_000
"""Turns of the event loop that no test waits for."""


def client(server: Serving, **settings: Any) -> Any:
    settings = {"api_key": "any", "max_retries": 0, **settings}
    CLIENTS.append(openai.OpenAI(base_url=f"{server.url}/v1", **settings))
    return CLIENTS[-1]


CLIENTS: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No client of a test leaves a socket to be found in another."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def post(server: Serving, body: Any, path: str = "/v1/chat/completions", **settings: Any) -> Any:
    return httpx.post(f"{server.url}{path}", json=body, timeout=60, **settings)


def get(server: Serving, path: str, **settings: Any) -> Any:
    return httpx.get(f"{server.url}{path}", timeout=60, **settings)


def error(answer: Any) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()["error"]
    assert told.keys() == {"message", "type", "param", "code"}
    assert "Traceback" not in answer.text
    return told


def say(*texts: str) -> Any:
    """A policy whose candidates are these, over and over."""
    return lambda request: reply(*(texts[i % len(texts)] for i in range(request.sampling.n)))


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(say("It is 3.", "It is 9.", "It is 5.")) as running:
        yield running


# --- answers ----------------------------------------------------------------------------------------


def test_the_answer_is_the_judges_choice(server: Serving) -> None:
    done = client(server).chat.completions.create(model="bon", messages=HELLO)
    [choice] = done.choices
    assert choice.message.content == "It is 9."
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert done.object == "chat.completion"
    assert done.model == "bon"


def test_usage_counts_policy_and_judge(server: Serving) -> None:
    done = client(server).chat.completions.create(model="bon-3-knockout", messages=HELLO)
    comparisons = done.bon["totals"]["comparisons"]
    assert comparisons == 2
    assert done.usage.prompt_tokens == 10 + 10 * comparisons
    assert done.usage.completion_tokens == 3 * 3 + 3 * comparisons
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.usage.prompt_tokens_details.cached_tokens == 4 * comparisons


def test_the_bon_field_says_how_it_came_about(server: Serving) -> None:
    done = client(server).chat.completions.create(
        model="bon-3-round-robin:rule=both", messages=HELLO, seed=5
    )
    assert done.bon["strategy"] == "round-robin:rule=both"
    assert done.bon["n"] == 3
    assert done.bon["seed"] == 5
    assert done.bon["winner"] == 1
    assert [place["candidate"] for place in done.bon["ranking"]] == [1, 2, 0]
    assert done.bon["cut_short"] is None
    assert done.bon["record"] is None


def test_the_whole_record_comes_when_asked_for(server: Serving) -> None:
    done = client(server).chat.completions.create(
        model="bon", messages=HELLO, extra_body={"bon": {"n": 3, "record": True}}
    )
    record = done.bon["record"]
    assert [c["text"] for c in record["candidates"]] == ["It is 3.", "It is 9.", "It is 5."]
    assert all(c["reasoning"] for c in record["comparisons"])


def test_n_answers_are_the_best_ones_in_order(server: Serving) -> None:
    done = client(server).chat.completions.create(model="bon-3-round-robin", messages=HELLO, n=3)
    assert [c.message.content for c in done.choices] == ["It is 9.", "It is 5.", "It is 3."]
    assert [c.index for c in done.choices] == [0, 1, 2]


def test_equal_answers_come_after_the_others_they_do_not_play_for() -> None:
    with serving(say("It is 3.", "It is 9.", "It is 9.")) as server:
        done = client(server).chat.completions.create(model="bon-3-knockout", messages=HELLO, n=2)
    assert [c.message.content for c in done.choices] == ["It is 9.", "It is 9."]


def test_a_text_is_gone_on_with(server: Serving) -> None:
    done = client(server).completions.create(model="bon", prompt="A number:", best_of=3)
    assert done.object == "text_completion"
    assert done.choices[0].text == "It is 9."
    assert done.bon["n"] == 3
    assert server.policy.requests[-1].chat.messages == ()
    assert server.policy.requests[-1].chat.quoted == ("A number:",)


def test_thinking_is_told_apart_from_the_answer() -> None:
    with serving(say("<think>nine?</think>It is 9.")) as server:
        done = client(server).chat.completions.create(model="bon", messages=HELLO)
    message = done.choices[0].message
    assert message.content == "It is 9."
    assert message.reasoning_content == "nine?"


def test_the_async_client_is_answered_too(server: Serving) -> None:
    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any") as asker:
            done = await asyncio.gather(
                *(asker.chat.completions.create(model="bon", messages=HELLO) for _ in range(16))
            )
        return [one.choices[0].message.content for one in done]

    assert asyncio.run(ask()) == ["It is 9."] * 16


# --- the technique ----------------------------------------------------------------------------------


def test_the_policys_own_name_gives_its_plain_answer(server: Serving) -> None:
    asked = len(server.judge.requests)
    done = client(server).chat.completions.create(model="tiny-policy", messages=HELLO)
    assert done.choices[0].message.content == "It is 3."
    assert done.bon["strategy"] is None
    assert len(server.judge.requests) == asked
    assert server.policy.requests[-1].sampling.n == 1


def test_the_technique_can_be_chosen_in_the_bon_field(server: Serving) -> None:
    done = client(server).chat.completions.create(
        model="tiny-policy",
        messages=HELLO,
        extra_body={"bon": {"n": 4, "strategy": "adaptive", "error": 0.1}},
    )
    assert done.bon["strategy"] == "adaptive:error=0.1"
    assert done.bon["n"] == 4


def test_the_servers_own_profile_of_its_judge_may_be_named_and_no_other_file(
    tmp_path: Path,
) -> None:
    own = tmp_path / "judge-5000.json"
    own.write_text('{"bias": 0.1}')
    kept = parse_strategy(f"adaptive:profile={own}")
    with serving(job=Job(strategy=kept)) as server:
        full = client(server).models.list().data[1].id
        for settings in ({"model": full}, {"bon": {"error": 0.1}}):
            done = post(server, {"messages": HELLO, **settings})
            assert f"profile={own}" in done.json()["bon"]["strategy"]
        other = tmp_path / "other.json"
        answer = post(server, {"messages": HELLO, "bon": {"profile": str(other)}})
    assert "names a file" in error(answer)["message"]
    assert "other.json" not in answer.text


def test_without_a_seed_every_request_draws_anew() -> None:
    with serving() as server:
        for _ in range(2):
            client(server).chat.completions.create(model="bon", messages=HELLO)
        first, second = (request.sampling.seed for request in server.policy.requests)
    assert first != second


def test_the_same_seed_gives_the_same_answer() -> None:
    with serving() as server:
        asker = client(server)
        texts = [
            asker.chat.completions.create(model="bon", messages=HELLO, seed=seed).choices[0].message
            for seed in (1, 1, 2)
        ]
    assert texts[0] == texts[1] != texts[2]


def test_models_are_listed(server: Serving) -> None:
    names = [model.id for model in client(server).models.list()]
    assert names == ["bon", "bon-8-adaptive", "tiny-policy"]
    assert client(server).models.retrieve("bon-8-adaptive").object == "model"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "gpt-4o"}, "known: bon, bon-8-adaptive, tiny-policy"),
        ({"model": "bon-65-knockout"}, "1 to 64"),
        ({"model": "bon-0"}, "1 to 64"),
        ({"model": "bon-8-chess"}, "unknown strategy 'chess'; known: adaptive"),
        ({"bon": {"strategy": "knockout", "colour": "red"}}, "no parameter 'colour'"),
        ({"bon": {"strategy": "knockout:rule=votes:5000"}}, "numbers up to 100"),
        ({"bon": {"strategy": "knockout:rule=votes:1_001"}}, "numbers up to 100"),
        ({"bon": {"strategy": "swiss", "rounds": "1_000_000"}}, "numbers up to 100"),
        ({"bon": {"strategy": "adaptive", "price": "inf"}}, "numbers up to 100"),
        ({"bon": {"strategy": "adaptive", "price": "nan"}}, "numbers up to 100"),
        ({"bon": {"strategy": "adaptive", "profile": "/dev/zero"}}, "names a file"),
        ({"model": "bon-8-adaptive:profile=/etc/passwd"}, "names a file"),
        ({"bon": {"strategy": "oracle"}}, "oracle"),
        ({"bon": {"n": 0}}, "bon.n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["a"] * 17}, "at most 16"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    server: Serving, settings: dict[str, Any], said: str
) -> None:
    answer = post(server, {"messages": HELLO, **settings})
    assert answer.status_code in (400, 404)
    told = error(answer)
    assert said in told["message"]
    assert "\n" not in told["message"]


# --- what is passed on to the policy -----------------------------------------------------------------


def test_sampling_settings_reach_the_policy(server: Serving) -> None:
    client(server).chat.completions.create(
        model="bon",
        messages=HELLO,
        temperature=0.5,
        top_p=0.25,
        max_tokens=7,
        stop=["\n", "END"],
    )
    sampling = server.policy.requests[-1].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.5, 0.25, 7)
    assert sampling.stop == ("\n", "END")
    assert server.judge.requests[-1].sampling.stop == ()


def test_a_client_cannot_ask_for_more_tokens_than_the_server_gives() -> None:
    with serving(job=Job(Policy(max_tokens=50))) as server:
        client(server).chat.completions.create(
            model="bon", messages=HELLO, max_completion_tokens=LONG
        )
        assert server.policy.requests[-1].sampling.max_tokens == 50


def test_a_conversation_reaches_the_policy_turn_by_turn(server: Serving) -> None:
    client(server).chat.completions.create(
        model="bon",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Hello."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "A "}, {"type": "text", "text": "number?"}],
            },
        ],
    )
    chat = server.policy.requests[-1].chat
    assert [m.role for m in chat.messages] == ["system", "user", "assistant", "user"]
    assert chat.quoted == ("Be brief.", "Hi.", "Hello.", "A number?")


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}},
            {"type": "array"},
        ),
    ],
)
def test_json_mode_reaches_the_policy(server: Serving, form: Any, schema: Any) -> None:
    client(server).chat.completions.create(model="bon", messages=HELLO, response_format=form)
    given = server.policy.requests[-1].sampling.json_schema
    assert (json.loads(given) if given else None) == schema
    assert server.judge.requests[-1].sampling.json_schema is None


# --- tool calls -------------------------------------------------------------------------------------

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a day.",
        "parameters": {"type": "object", "properties": {"day": {"type": "integer"}}},
    },
}


def call(day: int, **more: Any) -> str:
    asked = json.dumps({"name": "weather", "arguments": {"day": day, **more}})
    return f"<tool_call>{asked}</tool_call>"


def test_the_best_tool_call_is_the_answer() -> None:
    with serving(say(call(3), "Day 1.", call(9), "I look. " + call(5))) as server:
        done = client(server).chat.completions.create(
            model="bon-4-knockout", messages=HELLO, tools=[WEATHER]
        )
        [choice] = done.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        [made] = choice.message.tool_calls
        assert made.function.name == "weather"
        assert json.loads(made.function.arguments) == {"day": 9}
        assert json.loads(server.policy.requests[-1].chat.tools) == [WEATHER]
        assert "weather" in server.judge.requests[-1].chat.quoted[0]


def test_equal_calls_meet_once_however_they_are_written() -> None:
    spelled = '<tool_call>\n{"arguments": {"b": 2, "day": 9}, "name": "weather"}\n</tool_call>'
    with serving(say(call(9, b=2), spelled)) as server:
        done = client(server).chat.completions.create(
            model="bon-2-knockout", messages=HELLO, tools=[WEATHER]
        )
    assert done.bon["totals"]["comparisons"] == 0


def test_a_call_that_never_ends_in_blanks_is_read_in_a_moment() -> None:
    # its reading was quadratic once: this would take the better part of an hour
    blanks = " " * 300_000
    assert read_calls(f"<tool_call>a{blanks}b", {"weather"}).calls == ()
    [made] = read_calls(f"<tool_call>{blanks}{call(3)[11:-12]}{blanks}", {"weather"}).calls
    assert json.loads(made.arguments) == {"day": 3}


def test_a_call_that_was_made_and_its_outcome_are_part_of_the_conversation(server: Serving) -> None:
    made = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    client(server).chat.completions.create(
        model="bon",
        tools=[WEATHER],
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [made]},
            {"role": "tool", "tool_call_id": "1", "content": "Rain."},
        ],
    )
    chat = server.policy.requests[-1].chat
    assert [m.role for m in chat.messages] == ["user", "assistant", "tool"]
    assert '"name": "weather", "arguments": {}' in chat.quoted[1]
    assert chat.quoted[2] == "Rain."


def test_a_call_that_is_required_is_asked_for_as_json(server: Serving) -> None:
    client(server).chat.completions.create(
        model="bon", messages=HELLO, tools=[WEATHER], tool_choice="required"
    )
    schema = json.loads(server.policy.requests[-1].sampling.json_schema or "")
    assert schema["properties"]["name"] == {"const": "weather"}
    assert schema["properties"]["arguments"] == WEATHER["function"]["parameters"]


def test_tools_that_may_not_be_called_are_not_shown(server: Serving) -> None:
    client(server).chat.completions.create(
        model="bon", messages=HELLO, tools=[WEATHER], tool_choice="none"
    )
    assert server.policy.requests[-1].chat.tools == ""


# --- streams ----------------------------------------------------------------------------------------


def test_a_stream_carries_the_answer_in_pieces() -> None:
    text = "It is 9. " + "So it is, and so it stays. " * 8 + "9"
    with serving(say(text)) as server:
        stream = client(server).chat.completions.create(
            model="bon", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
    assert len(chunks) > 5
    assert len({chunk.id for chunk in chunks}) == 1
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert last.bon["n"] == 8
    assert usage.choices == []
    assert usage.usage.completion_tokens > 0


def test_a_stream_of_a_completion_carries_its_text(server: Serving) -> None:
    stream = client(server).completions.create(model="bon", prompt="A number:", stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "It is 9."
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_carries_tool_calls() -> None:
    with serving(say(call(9))) as server:
        stream = client(server).chat.completions.create(
            model="bon", messages=HELLO, tools=[WEATHER], stream=True
        )
        chunks = list(stream)
    [made] = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or ()]
    assert made.function.name == "weather"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_comments_keep_a_stream_alive_while_the_tournament_runs() -> None:
    with (
        serving(turns=lambda request: 5_000, keepalive=0.01) as server,
        httpx.stream(
            "POST",
            f"{server.url}/v1/chat/completions",
            json={"messages": HELLO, "stream": True},
            timeout=60,
        ) as answer,
    ):
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[0].startswith(": ")
    assert lines[-1] == "data: [DONE]"
    first = next(i for i, line in enumerate(lines) if line.startswith("data: "))
    assert all(line.startswith("data: ") for line in lines[first:])


def test_a_stream_that_fails_at_once_has_a_status_of_its_own(server: Serving) -> None:
    answer = post(server, {"messages": HELLO, "stream": True, "model": "bon-8-chess"})
    assert answer.status_code == 400
    assert "chess" in error(answer)["message"]


def test_a_stream_that_fails_later_says_so_in_an_event() -> None:
    def slow_death(request: Request) -> Reply:
        raise EngineError("the engine of x@1 died")

    with (
        serving(judge=slow_death, turns=lambda request: 20_000, keepalive=0.01) as server,
        pytest.raises(openai.APIError, match="engine died"),
    ):
        list(client(server).chat.completions.create(model="bon", messages=HELLO, stream=True))


# --- limits -----------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused() -> None:
    with serving(limits=Limits(body=1000)) as server:
        big = json.dumps({"messages": [{"role": "user", "content": "x" * 2000}]})
        told = httpx.post(f"{server.url}/v1/chat/completions", content=big, timeout=60)
        pieces = httpx.post(
            f"{server.url}/v1/chat/completions",
            content=iter([big[:900].encode(), big[900:].encode()]),
            headers={"content-type": "application/json"},
            timeout=60,
        )
        assert told.status_code == pieces.status_code == 413
        assert "1000 bytes" in error(pieces)["message"]
        assert server.policy.requests == []


def test_a_conversation_over_the_limit_is_refused() -> None:
    with serving(limits=Limits(prompt=100)) as server:
        answer = post(server, {"messages": [{"role": "user", "content": "x" * 101}]})
    assert answer.status_code == 400
    assert error(answer)["code"] == "context_length_exceeded"


def test_a_tournament_that_begins_with_too_many_comparisons_is_refused() -> None:
    # 199,584 of them would be held in memory while they wait, for each such request
    with serving(say(*(f"It is {i}." for i in range(64)))) as server:
        answer = post(server, {"messages": HELLO, "model": "bon-64-round-robin:rule=votes:99"})
        assert server.judge.requests == []
        assert post(server, {"messages": HELLO, "model": "bon-64-round-robin"}).status_code == 200
    assert answer.status_code == 400
    assert "asks for 199584 comparisons at once" in error(answer)["message"]


def test_requests_over_the_limit_are_told_when_to_come_again() -> None:
    with (
        serving(turns=lambda request: LONG, limits=Limits(requests=1)) as server,
        under_way(server),
    ):
        answer = post(server, {"messages": HELLO})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert error(answer)["type"] == "rate_limit_error"


def test_the_best_so_far_is_the_answer_when_the_deadline_passes() -> None:
    with serving(say("It is 3.", "It is 9.", "It is 5.")) as server:
        server.judge.turns = lambda request: 1 if len(server.judge.requests) < 5 else LONG
        done = client(server).chat.completions.create(
            model="bon-3-round-robin:rule=both",
            messages=HELLO,
            extra_body={"bon": {"deadline": 1}},
        )
    assert done.bon["cut_short"] == "the deadline of 1 s passed"
    assert done.choices[0].message.content in ("It is 3.", "It is 9.", "It is 5.")


def test_a_deadline_without_a_candidate_is_an_error() -> None:
    with serving() as server:
        server.policy.turns = lambda request: LONG
        answer = post(server, {"messages": HELLO, "bon": {"deadline": 0.2}})
    assert answer.status_code == 408
    assert error(answer)["code"] == "deadline"


# --- who may come in ----------------------------------------------------------------------------------


def test_with_a_key_everything_but_health_and_the_empty_page_needs_it() -> None:
    with serving(api_key="sesame") as server:
        with pytest.raises(openai.AuthenticationError):
            client(server, api_key="wrong").chat.completions.create(model="bon", messages=HELLO)
        statuses = {
            path: get(server, path).status_code
            for path in ("/health", "/", "/docs", "/metrics", "/v1/models", "/ui/tournaments")
        }
        done = client(server, api_key="sesame").chat.completions.create(model="bon", messages=HELLO)
        page = get(server, "/").text
    assert statuses == {
        **dict.fromkeys(("/health", "/", "/docs"), 200),
        **dict.fromkeys(("/metrics", "/v1/models", "/ui/tournaments"), 401),
    }
    assert done.choices
    assert "A number?" not in page


def test_without_a_key_another_host_name_is_refused(server: Serving) -> None:
    # a page of evil.example whose name has come to mean 127.0.0.1 reads nothing here
    answer = get(server, "/ui/tournaments", headers={"host": "evil.example"})
    assert answer.status_code == 421


def test_a_body_that_is_not_called_json_is_refused(server: Serving) -> None:
    # which a page of another origin could send without asking
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        content=json.dumps({"messages": HELLO}),
        headers={"content-type": "text/plain"},
        timeout=60,
    )
    assert answer.status_code == 400


# --- what fails -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        (PromptTooLong("9 tokens leave no room"), 400, "9 tokens leave no room"),
        (RequestRefused("the model's chat template refuses: no"), 400, "template refuses"),
        (GenerationFailed("secret path /srv/models"), 502, "a model failed"),
        (EngineError("the engine of /srv/models died"), 503, "engine died"),
        (ZeroDivisionError("secret"), 500, "its log says more"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failure_is_told_without_what_is_inside(
    failure: Exception, status: int, said: str, stream: bool
) -> None:
    def fail(request: Request) -> Reply:
        raise failure

    with serving(fail) as server:
        answer = post(server, {"messages": HELLO, "stream": stream})
    assert answer.status_code == status
    assert said in error(answer)["message"]
    assert "srv" not in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize("failure", [PromptTooLong, RequestRefused])
def test_where_models_are_is_told_to_no_client(failure: type[BonError], tmp_path: Path) -> None:
    model, url = tmp_path / "my-judge", "http://gpu1.internal:8000/v1"
    model.mkdir()

    def refuse(request: Request) -> Reply:
        raise failure(f"{url} answers 400: no")

    def fail(request: Request) -> Reply:
        raise GenerationFailed(f"cannot read {model}/weights")

    job = Job(Policy(f"openai:my-policy@{url}"), Judge(str(model), template="tiny"))
    asked = {"messages": HELLO, "bon": {"record": True, "n": 2}}
    with serving(job=job, judge=fail) as server:
        done = post(server, asked)
        page = get(server, "/ui/tournaments/1")
        server.policy.answer = refuse
        refused = post(server, asked)
        listed = get(server, "/v1/models")
    record = done.json()["bon"]["record"]
    assert record["provenance"]["policy"] == "my-policy"
    assert record["provenance"]["judge"] == "my-judge"
    assert record["comparisons"][0]["detail"] == "cannot read my-judge/weights"
    assert error(refused)["message"] == "its server answers 400: no"
    for answer in (done, page, refused, listed):
        assert "internal" not in answer.text
        assert str(tmp_path) not in answer.text


def test_a_dead_engine_is_told_to_whoever_runs_the_server() -> None:
    told: list[EngineError] = []

    def fail(request: Request) -> Reply:
        raise EngineError("dead")

    with serving(judge=fail, on_dead_engine=told.append) as server:
        assert post(server, {"messages": HELLO}).status_code == 503
    assert [str(one) for one in told] == ["dead"]


# --- clients that go away -----------------------------------------------------------------------------


class under_way:  # noqa: N801
    """A request that has been sent on a bare socket and waits; leaving hangs up."""

    def __init__(self, server: Serving, *, stream: bool = False) -> None:
        self.server = server
        body = json.dumps({"messages": HELLO, "stream": stream}).encode()
        host, _, port = server.url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )

    def __enter__(self) -> under_way:
        wait(lambda: self.server.judge.running > 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def wait(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_its_slots(stream: bool) -> None:
    with serving(turns=lambda request: LONG, limits=Limits(requests=1)) as server:
        with under_way(server, stream=stream):
            pass
        wait(lambda: server.judge.running == 0)
        assert server.judge.aborted > 0
        server.judge.turns = lambda request: 1
        assert post(server, {"messages": HELLO}).status_code == 200
        wait(lambda: 'status="499"' in get(server, "/metrics").text)


# --- what whoever runs it sees --------------------------------------------------------------------------


def test_metrics_count_requests_comparisons_and_tokens() -> None:
    with serving(say("It is 3.", "It is 9.")) as server:
        post(server, {"messages": HELLO, "model": "bon-2-knockout"})
        post(server, {"messages": []})
        text = get(server, "/metrics").text
    assert 'bon_requests_total{route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'bon_requests_total{route="/v1/chat/completions",status="400"} 1.0' in text
    assert 'bon_tokens_total{kind="output",model="policy"} 6.0' in text
    assert "bon_comparisons_total{outcome=" in text
    assert "bon_requests_in_flight 0.0" in text


def test_the_board_shows_what_runs_and_what_ran() -> None:
    with serving(say("It is 3.", "It is 9.", "It is 5.")) as server:
        post(server, {"messages": HELLO, "model": "bon-3-knockout"})
        server.judge.turns = lambda request: 1 if len(server.judge.requests) == 3 else LONG
        with under_way(server):
            wait(lambda: len(rows(server)) == 2 and rows(server)[0]["comparisons"] == 1)
            running, done = rows(server)
            detail = get(server, f"/ui/tournaments/{running['number']}").json()
        wait(lambda: rows(server)[0]["state"] == "given up")
    assert running["state"] == "judging"
    assert done["state"] == "done"
    assert done["answer"] == "It is 9."
    assert done["prompt"] == "A number?"
    [match] = detail["result"]["matches"]
    assert match["winner"] in (match["a"], match["b"])
    assert len(detail["result"]["page"]["forest"]) == 1


def rows(server: Serving) -> Any:
    return get(server, "/ui/tournaments").json()


def test_the_board_can_be_left_out() -> None:
    with serving(ui=False) as server:
        assert get(server, "/").status_code == 404
        assert get(server, "/ui/tournaments").status_code == 404
        assert get(server, "/docs").status_code == 200
