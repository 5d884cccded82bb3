"""The application: routes, and what stands before them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from bon import __version__
from bon.api import Observer, Sampled
from bon.generation import PromptTooLong, RequestRefused
from bon.job import Job
from bon.server.answers import (
    Answer,
    ChatCompletion,
    Completion,
    ErrorAnswer,
    ModelCard,
    ModelList,
    Spent,
)
from bon.server.asking import Asked, asked_in_chat, asked_in_text, play
from bon.server.board import Board, Entry
from bon.server.errors import Refusal, on_error
from bon.server.gate import GONE, Gate
from bon.server.limits import Limits
from bon.server.metrics import Meters
from bon.server.places import unplaced
from bon.server.streaming import ClientGone, Streamed, unless_gone
from bon.server.technique import model_names
from bon.server.ui import add_ui
from bon.server.wire import ChatRequest, CommonRequest, CompletionRequest
from bon.session import Session
from bon.types import BonError, EngineError, Result, Verdict

KEEPALIVE = 5.0
"""Seconds between the comments of a stream that waits."""
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in {
        400: "The request is not one that can be answered.",
        401: "The key is missing or wrong.",
        404: "There is no such model.",
        408: "The body, or a first candidate before the deadline, did not come in time.",
        413: "The body is too large.",
        421: "Without a key, this server answers to this machine's own names alone.",
        429: "Too many requests are in flight; `Retry-After` says when to come again.",
        500: "The server failed.",
        502: "A model failed on this request.",
        503: "A model's engine died.",
    }.items()
}
STREAM: dict[str, Any] = {"text/event-stream": {}}


@dataclass(frozen=True)
class Server:
    """What the routes share."""

    session: Session
    job: Job
    limits: Limits
    meters: Meters
    board: Board
    keepalive: float
    on_dead_engine: Callable[[EngineError], None]


def create_app(
    session: Session,
    job: Job,
    *,
    meters: Meters,
    limits: Limits | None = None,
    api_key: str | None = None,
    ui: bool = True,
    keepalive: float = KEEPALIVE,
    on_dead_engine: Callable[[EngineError], None] = lambda error: None,
) -> FastAPI:
    """The application over a running session; `job` is what a request gets that asks for nothing.

    `meters` is to be the session's observer as well. Without an `api_key` only requests addressed to this
    machine's own names are answered. `on_dead_engine` is told once no further request can succeed.
    """
    limits = limits or Limits()
    server = Server(session, job, limits, meters, Board(), keepalive, on_dead_engine)
    app = FastAPI(
        title="bon",
        version=__version__,
        summary="An OpenAI-compatible server whose every answer is the best of N.",
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(
                Gate,
                limits=limits,
                meters=meters,
                api_key=api_key,
                hosts=LOOPBACK if api_key is None else None,
            )
        ],
        exception_handlers=dict.fromkeys(
            (Refusal, BonError, HTTPException, RequestValidationError, TimeoutError, Exception),
            on_error,
        ),
    )
    _add_routes(app, server)
    add_ui(app, server.board if ui else None)
    app.openapi = lambda: _document(app, keyed=api_key is not None)  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI, server: Server) -> None:
    began = int(time.time())

    @app.post(
        "/v1/chat/completions",
        response_model=ChatCompletion,
        responses={200: {"content": STREAM}, **ERRORS},
        tags=["completions"],
    )
    async def chat(request: Request, body: ChatRequest) -> Response:
        """The best answer to a conversation; with `stream`, in chunks as server-sent events."""
        asked = asked_in_chat(body, server.job, server.limits)
        return await _answer(server, request, body, asked, Answer.chat, Answer.chat_chunks)

    @app.post(
        "/v1/completions",
        response_model=Completion,
        responses={200: {"content": STREAM}, **ERRORS},
        tags=["completions"],
    )
    async def complete(request: Request, body: CompletionRequest) -> Response:
        """The best way to go on with a text, outside any chat template."""
        asked = asked_in_text(body, server.job, server.limits)
        return await _answer(server, request, body, asked, Answer.text, Answer.text_chunks)

    @app.get("/v1/models", responses={401: ERRORS[401], 421: ERRORS[421]}, tags=["models"])
    async def models() -> ModelList:
        """The default technique, its full name, and the policy for its plain answers."""
        cards = [ModelCard(id=name, created=began) for name in model_names(server.job)]
        return ModelList(data=cards)

    @app.get(
        "/v1/models/{model:path}",
        responses={status: ERRORS[status] for status in (400, 401, 404, 421)},
        tags=["models"],
    )
    async def model(model: str) -> ModelCard:
        """One of them."""
        if model not in model_names(server.job):
            raise Refusal(404, "there is no such model", code="model_not_found", param="model")
        return ModelCard(id=model, created=began)

    @app.get("/health", responses={421: ERRORS[421]}, tags=["server"])
    async def health() -> dict[str, str]:
        """Whether requests are taken."""
        return {"status": "ok"}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            401: ERRORS[401],
            421: ERRORS[421],
        },
        tags=["server"],
    )
    async def metrics() -> Response:
        """What Prometheus reads."""
        return Response(server.meters.text(), headers={"content-type": CONTENT_TYPE_LATEST})


async def _answer(
    server: Server,
    request: Request,
    body: CommonRequest,
    asked: Asked,
    whole: Callable[[Answer], ChatCompletion | Completion],
    chunks: Callable[..., Iterable[dict[str, Any]]],
) -> Response:
    """Play a request, and answer in one piece or as a stream."""
    spent = Spent()

    async def work() -> Answer:
        result = await _played(server, asked, spent)
        return Answer(asked, body.model, result, spent, body.bon.record)

    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return Streamed(
            work(),
            lambda answer: chunks(answer, usage=usage),
            lambda: f"{sum(spent.comparisons.values())} comparisons",
            server.keepalive,
        )
    try:
        answer = await unless_gone(request.receive, work())
    except ClientGone:
        return Response(status_code=GONE)
    return Response(whole(answer).model_dump_json(), media_type="application/json")


async def _played(server: Server, asked: Asked, spent: Spent) -> Result:
    with server.board.entry(asked) as entry:
        try:
            watch = _Watch(entry, spent, server.meters)
            result = await play(server.session, asked, watch, server.limits)
        except TimeoutError:
            seconds = asked.technique.seconds
            raise Refusal(
                408, f"no candidate within the deadline of {seconds:g} s", code="deadline"
            ) from None
        except (PromptTooLong, RequestRefused) as error:  # in the words of a model's server
            raise type(error)(unplaced(str(error), asked.job)) from None
        except EngineError as error:
            server.on_dead_engine(error)
            raise
        entry.end("done", result)
        return result


class _Watch(Observer):
    """Whoever watches one request."""

    def __init__(self, entry: Entry, spent: Spent, meters: Meters) -> None:
        self._entry, self._spent, self._meters = entry, spent, meters

    def sampled(self, sampled: Sampled) -> None:
        self._entry.sampled(sampled)
        drawn = sampled.candidates
        self._meters.drawn(drawn[0].prompt_tokens, sum(c.tokens for c in drawn))

    def heard(self, verdict: Verdict) -> None:
        self._spent.heard(verdict)

    def compared(self, first: int, second: int, verdict: Verdict) -> None:
        self._entry.compared(first, second, verdict)


def _document(app: FastAPI, *, keyed: bool) -> dict[str, Any]:
    """The OpenAPI document: what is wrong with a request is told with 400, as OpenAI does, not 422."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        if keyed:
            document["components"]["securitySchemes"] = {
                "key": {"type": "http", "scheme": "bearer"}
            }
            document["security"] = [{"key": []}]
        app.openapi_schema = document
    return app.openapi_schema
