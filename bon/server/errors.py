"""What a client is told when it gets no answer: OpenAI's error object, in one line, without internals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from bon.generation import GenerationFailed, PromptTooLong, RequestRefused
from bon.types import BonError, EngineError
from bon.untrusted import one_line

log = logging.getLogger("bon.server")


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {
            "error": {
                "message": self.message,
                "type": _type(self.status),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """As an HTTP response."""
        return JSONResponse(self.body, self.status, self.headers)


def refusal_of(error: Exception) -> Refusal:
    """What the client is told of an error. What it cannot mend is told without detail, and logged."""
    match error:
        case Refusal():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            headers = error.headers
            return Refusal(error.status_code, str(error.detail), headers=headers)
        case PromptTooLong():
            return Refusal(400, str(error), code="context_length_exceeded", param="messages")
        case EngineError():
            log.error("%s", error)
            return Refusal(503, "a model's engine died: the server goes down", code="engine_died")
        case GenerationFailed() if not isinstance(error, RequestRefused):
            log.error("%s", error)
            return Refusal(502, "a model failed on this request", code="generation_failed")
        case BonError():
            return Refusal(400, str(error), code="invalid_request")
        case _:
            log.error("a request failed", exc_info=error)
            return Refusal(500, "the server failed on this request; its log says more")


async def on_error(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's handler for all of these."""
    return refusal_of(error).response()


def _invalid(error: RequestValidationError) -> Refusal:
    """The first thing that is wrong with a request, without what it held."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message = str(first["msg"]).removeprefix("Value error, ")
    text = one_line(f"{place}: {message}" if place else message, 300)
    return Refusal(400, text, code="invalid_request", param=one_line(place, 100) or None)


def _type(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "authentication_error"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
