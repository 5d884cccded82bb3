"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from bon.catalog import parse_strategy
from bon.datasets import BadRow, Fields, Input, prompt_from, read_inputs
from bon.datasets.prompts import ANY, distinct
from bon.job import GIVEN, MANY, ONE, Job, Judge, Policy, RewardModel
from bon.types import BonError, Prompt
from bon.untrusted import one_line

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _stack(*options: Decorator) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _engine_args(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    import orjson

    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r}: write name=value, such as max_model_len=8192")
        try:
            values[name.replace("-", "_")] = orjson.loads(text)
        except orjson.JSONDecodeError:
            values[name.replace("-", "_")] = {"True": True, "False": False}.get(text, text)
    return values


field_options = _stack(
    click.option("--prompt-field", metavar="PATH", help="Such as question or doc.question."),
    click.option(
        "--candidates-field",
        metavar="PATH",
        help="Such as responses or completions.response; several with commas between.",
    ),
    click.option("--id-field", metavar="PATH", help="Default: id, else the row's number."),
    click.option("--answer-field", metavar="PATH", help="Default: answer."),
    click.option("--strict", is_flag=True, help="Stop at the first bad row."),
)

prompt_options = _stack(
    click.argument("prompt", required=False),
    click.option(
        "-f",
        "--file",
        "path",
        metavar="FILE",
        help="Prompts, a row each: `prompt` (text or chat messages), and, if you like, `id`,"
        " `system`, `answer`, `candidates`. Any format that rerank reads; `-` is JSONL on stdin.",
    ),
    field_options,
)

policy_options = _stack(
    click.option(
        "-n",
        "n",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        help="Candidates a prompt.",
    ),
    click.option(
        "--policy",
        "policy_model",
        default="tiny-policy",
        show_default=True,
        help="Model that samples: bundled name, folder, Hugging Face name, or a server:"
        " openai:NAME@http://host:8000/v1 (more URLs after commas).",
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(min=0),
        help="Of the policy. Default: the model's own.",
    ),
    click.option(
        "--top-p", type=click.FloatRange(0, 1), help="Of the policy. Default: the model's own."
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(min=1),
        help="Of one candidate, thinking included. Default: the model's own, or 2048.",
    ),
    click.option("--system", default="", help="System prompt for prompts without one."),
    click.option(
        "--policy-engine-arg",
        "policy_engine_args",
        multiple=True,
        callback=_engine_args,
        metavar="NAME=VALUE",
        help="Any engine argument of vLLM, or max_in_flight, timeout, ... of a server; repeatable.",
    ),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Of candidates and draws of the bracket.",
    ),
)

strategy_option = click.option(
    "--strategy",
    "strategy_text",
    default=None,
    show_default="adaptive, and for one prompt at a time adaptive:width=8,max_comparisons=48",
    metavar="NAME:KEY=VALUE,...",
    help="Tournament, such as knockout:rule=votes:3 or round-robin:rule=both.",
)

scorer_options = _stack(
    click.option(
        "--scorer",
        "scorer_model",
        metavar="MODEL",
        help="Scalar reward model that scores every candidate, for pointwise: folder or Hugging Face"
        " name. Default: the input's own scores.",
    ),
    click.option(
        "--scorer-engine-arg",
        "scorer_engine_args",
        multiple=True,
        callback=_engine_args,
        metavar="NAME=VALUE",
        help="Any engine argument of vLLM; repeatable.",
    ),
)

judge_options = _stack(
    click.option(
        "--judge",
        "judge_model",
        default="tiny-rrm",
        show_default=True,
        help="Reward reasoning model that compares, named as the policy is.",
    ),
    click.option(
        "--group-by",
        default="exact",
        show_default=True,
        metavar="exact|boxed|number|none",
        help="Candidates with the same final answer meet once.",
    ),
    click.option(
        "--judge-template", help="rrm, rm-r1, tiny, or a TOML file. Default: by the judge's name."
    ),
    click.option(
        "--judge-temperature", type=click.FloatRange(min=0), help="Default: the template's."
    ),
    click.option("--judge-top-p", type=click.FloatRange(0, 1), help="Default: the template's."),
    click.option(
        "--judge-max-tokens",
        type=click.IntRange(min=1),
        help="Of thinking and verdict. Default: the template's.",
    ),
    click.option(
        "--thinking-budget",
        type=click.IntRange(min=1),
        help="Tokens of thinking after which the verdict is forced.",
    ),
    click.option("--criteria", default="", help="What the judge should weigh first."),
    click.option(
        "--judge-seed", type=int, default=0, show_default=True, help="Of the judge's draws."
    ),
    click.option(
        "--judge-engine-arg",
        "judge_engine_args",
        multiple=True,
        callback=_engine_args,
        metavar="NAME=VALUE",
        help="Any engine argument of vLLM, or max_in_flight, timeout, ... of a server; repeatable.",
    ),
    click.option(
        "--share-device",
        is_flag=True,
        help="Load policy and judge side by side instead of in turn.",
    ),
)


def fields_from(settings: Mapping[str, Any]) -> Fields:
    """What `field_options` say."""
    return Fields(*(settings[f"{name}_field"] for name in ("prompt", "candidates", "id", "answer")))


class Loaded(NamedTuple):
    """The prompts of a run, each with the columns that stay beside its result, and the bad rows."""

    prompts: list[Prompt]
    others: list[Mapping[str, Any]]
    bad: list[BadRow]


def load_prompts(
    text: str | None, path: str | None, fields: Fields = ANY, *, strict: bool = False
) -> Loaded:
    """Prompts from the argument or the file. Raises `BonError` where there is neither, or none in it,
    and with `strict` at the first bad row."""
    if (text is None) == (path is None):
        raise click.UsageError("give one prompt, or a file of prompts with -f")
    if text is not None:
        return Loaded([prompt_from(text)], [{}], [])
    assert path is not None
    from bon.reranking import StrictError, other_columns

    loaded = Loaded([], [], [])
    for found in distinct(read_inputs(path, fields)):
        if isinstance(found, Input):
            loaded.prompts.append(found.prompt)
            loaded.others.append(other_columns(found))
        elif strict:
            raise StrictError(path, found)
        else:
            loaded.bad.append(found)
    if not loaded.prompts and not loaded.bad:
        raise BonError(f"there is no prompt in {path}: write one JSON object with `prompt` a line")
    return loaded


def tell_bad(path: str | None, bad: Iterable[BadRow]) -> None:
    """A line on stderr for every bad row."""
    for row in bad:
        where = f"{row.file or path}, line {row.line}"
        click.echo(one_line(f"{where}: {row.reason}; skipped", 2000), err=True)


def writable(path: str | None) -> None:
    """Raise `BonError` now where the output could not be written later."""
    if path is None:
        return
    target = Path(path).expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab"):
            pass
    except OSError as error:
        raise BonError(f"cannot write {path}: {error.strerror or error}") from error


def job_from(settings: dict[str, Any], *, one_by_one: bool = False) -> Job:
    """The job that the shared options describe. Raises `BonError` for names nobody knows.

    `one_by_one`: somebody waits for the answer to a single prompt.
    """
    from bon.generation.models import resolve_model
    from bon.grouping import ANSWERS

    group_by = settings.get("group_by", "exact")
    if group_by not in ANSWERS:
        raise BonError(f"unknown grouping {group_by!r}; known: {', '.join(ANSWERS)}")
    policy = GIVEN
    if "policy_model" in settings:
        policy = Policy(
            settings["policy_model"],
            settings["temperature"],
            settings["top_p"],
            settings["max_tokens"],
            settings["system"],
            settings["policy_engine_args"],
        )
        resolve_model(policy.model)
    if "judge_model" not in settings:
        return Job(policy, n=settings["n"], seed=settings["seed"])
    judge = Judge(
        settings["judge_model"],
        settings["judge_template"],
        settings["judge_temperature"],
        settings["judge_top_p"],
        settings["judge_max_tokens"],
        settings["thinking_budget"],
        settings["criteria"],
        settings["judge_seed"],
        settings["judge_engine_args"],
    )
    resolve_model(judge.model)
    judge.load_template()
    scorer = None
    if settings.get("scorer_model") is not None:
        scorer = RewardModel(settings["scorer_model"], settings["scorer_engine_args"])
        resolve_model(scorer.model)
    return Job(
        policy,
        judge,
        parse_strategy(settings.get("strategy_text") or (ONE if one_by_one else MANY)),
        settings.get("n", 1),
        group_by,
        settings["seed"],
        settings["share_device"],
        scorer,
    )
