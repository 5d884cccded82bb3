"""What clients send, in the forms of the OpenAI API, and the `bon` field beside them.

What would change an answer and cannot be had is refused; what would not (`user`, `metadata`) is let pass.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bon.grouping import ANSWERS


def _plain_json(value: dict[str, Any]) -> dict[str, Any]:
    """JSON that can be written again: no lone surrogates, no bottomless nesting."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueError(f"this is no JSON that can be passed on: {error}") from None
    return value


Json = Annotated[dict[str, Any], AfterValidator(_plain_json)]
Never = Annotated[float, Field(ge=0, le=0)]
"""A number that OpenAI's API knows, of which only 0 can be had here."""
Stop = Annotated[str, Field(min_length=1, max_length=256)]
Seed = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
Parameter = Annotated[str, Field(max_length=100)] | bool | int | float


class BonOptions(BaseModel):
    """How this request is decided. Any other name is a parameter of the strategy, as on the command line."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Parameter] = Field(init=False)

    n: int | None = Field(default=None, ge=1, description="Candidates.")
    strategy: str | None = Field(
        default=None, max_length=200, description="Such as `knockout:rule=votes:3` or `adaptive`."
    )
    group_by: str | None = Field(
        default=None,
        pattern=f"^({'|'.join(ANSWERS)})$",
        description="Candidates with the same final answer meet once.",
    )
    deadline: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds until the best so far is the answer.",
    )
    record: bool = Field(
        default=False,
        description="Answer with the whole record: candidates, comparisons, reasoning.",
    )


class TextPart(BaseModel):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class FunctionCall(BaseModel):
    """Which function an assistant called, with its arguments as JSON text."""

    name: str = Field(max_length=256)
    arguments: str


class ToolCall(BaseModel):
    """A call that an assistant made."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(BaseModel):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ChatMessage:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("a message has text as its content")
        return self

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class Function(BaseModel):
    """A function on offer."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """A tool on offer; functions alone."""

    type: Literal["function"]
    function: Function


class NamedFunction(BaseModel):
    name: str


class NamedTool(BaseModel):
    """The one tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(BaseModel):
    """A schema that answers satisfy."""

    name: str = "answer"
    schema_: Json = Field(default_factory=dict, alias="schema")


class TextFormat(BaseModel):
    type: Literal["text"]


class JsonObjectFormat(BaseModel):
    type: Literal["json_object"]


class JsonSchemaFormat(BaseModel):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(BaseModel):
    include_usage: bool = False


class CommonRequest(BaseModel):
    """What both kinds of request have."""

    model: str = Field(
        default="bon",
        max_length=200,
        description="`bon`; `bon-N` or `bon-N-STRATEGY`, such as `bon-8-knockout`; or the policy's own"
        " name, for its plain answer.",
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="Of one candidate, thinking included."
    )
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: Seed | None = None
    stop: Stop | list[Stop] | None = Field(default=None)
    n: int | None = Field(
        default=None,
        ge=1,
        description="Answers to give, best first; `bon.n` is how many are compared.",
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    bon: BonOptions = Field(default_factory=lambda: BonOptions())

    presence_penalty: Never | None = None
    frequency_penalty: Never | None = None
    logit_bias: dict[str, float] | None = Field(default=None, max_length=0)

    @model_validator(mode="after")
    def _few_stops(self) -> CommonRequest:
        if len(self.stops) > 16:
            raise ValueError("stop: at most 16 texts")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end a response."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ChatRequest(CommonRequest):
    """`POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, description="As `max_tokens`.")
    response_format: (
        Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
        | None
    ) = None
    tools: list[Tool] | None = Field(default=None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    logprobs: Literal[False] | None = None
    functions: list[Any] | None = Field(default=None, max_length=0, description="Use `tools`.")


class CompletionRequest(CommonRequest):
    """`POST /v1/completions`: go on with a text, outside any chat template."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)] = Field(
        description="One text."
    )
    best_of: int | None = Field(default=None, ge=1, description="Candidates, as `bon.n`.")
    echo: Literal[False] | None = None
    suffix: Annotated[str, Field(max_length=0)] | None = None
    logprobs: None = None

    @property
    def text(self) -> str:
        """The text to go on with."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]
