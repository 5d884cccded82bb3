"""What a run is asked for: the policy, the judge, the strategy, and how they go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bon.catalog import Entrant, parse_strategy
from bon.generation import Backend, Sampling
from bon.generation.models import MAKE_ANOTHER_MODEL, PROFILE, model_folder
from bon.generation.openai.address import is_address
from bon.generation.openai.settings import NO_RESUME, Settings
from bon.judge.generative import GenerativeJudge
from bon.judge.template import Template, default_template, load_template
from bon.profile import Profile, read_profile
from bon.sampler import Sampler
from bon.types import BonError


@dataclass(frozen=True)
class Policy:
    """The model that samples, and how. None leaves a setting to the model's generation config."""

    model: str = "tiny-policy"
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    system: str = ""
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    """Texts that end a response; they are no part of it."""
    json_schema: str | None = None
    """A JSON schema, as text, that responses have to satisfy."""

    def __post_init__(self) -> None:
        if is_address(self.model):
            Settings.of(self.engine_args)

    @property
    def loads(self) -> tuple[str, Mapping[str, Any]]:
        """What an engine is started with: equal for those that share one."""
        return self.model, self.engine_args

    def sampler(self, backend: Backend, n: int, seed: int) -> Sampler:
        """The policy on a running engine."""
        sampling = Sampling(
            self.max_tokens,
            self.temperature,
            self.top_p,
            n,
            stop=self.stop,
            json_schema=self.json_schema,
        )
        return Sampler(backend, sampling, self.system, seed)


GIVEN = Policy("given")
"""Stands where candidates come with the prompts: there is no model to load."""


@dataclass(frozen=True)
class Judge:
    """The model that compares, and how. None leaves a setting to the template."""

    model: str = "tiny-rrm"
    template: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    thinking_budget: int | None = None
    criteria: str = ""
    seed: int = 0
    engine_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if is_address(self.model):
            settings = Settings.of(self.engine_args)
            if self.thinking_budget and not settings.tokenizer:
                raise BonError(NO_RESUME)

    @property
    def loads(self) -> tuple[str, Mapping[str, Any]]:
        """What an engine is started with: equal for those that share one."""
        return self.model, self.engine_args

    @cached_property
    def profile(self) -> Profile | None:
        """What the model's folder says of it as a judge (`judge-profile.json`).

        None where it says nothing, and where the judge is asked in another way than the model ships with.
        """
        settings = (self.temperature, self.top_p, self.max_tokens, self.thinking_budget)
        changed = (
            settings != (None,) * 4
            or self.criteria
            or self.engine_args.keys() & set(MAKE_ANOTHER_MODEL)
        )
        folder = model_folder(self.model)
        if changed or folder is None or not (folder / PROFILE).is_file():
            return None
        if self.template not in (None, default_template(self.model)):
            return None
        return read_profile(str(folder / PROFILE))

    def load_template(self) -> Template:
        """The template asked for, or the one that fits the model. Raises `BonError` if unknown."""
        return load_template(self.template or default_template(self.model))

    def judge(self, backend: Backend) -> GenerativeJudge:
        """The judge on a running engine."""
        template = self.load_template()
        return GenerativeJudge(
            backend,
            template,
            template.temperature if self.temperature is None else self.temperature,
            template.top_p if self.top_p is None else self.top_p,
            template.max_tokens if self.max_tokens is None else self.max_tokens,
            self.thinking_budget,
            self.criteria,
            self.seed,
        )


@dataclass(frozen=True)
class RewardModel:
    """A model that scores each response by itself, on vLLM's pooling runner."""

    model: str
    engine_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if is_address(self.model):
            raise BonError(f"{self.model} is behind HTTP: a scorer runs on vLLM in this process")


MANY, ONE = "adaptive", "adaptive:width=8,max_comparisons=48"
"""The strategy where nobody names one: for the fewest comparisons, where many prompts fill the engine; and,
where somebody waits for the answer to one, for fewer stages."""


@dataclass(frozen=True)
class Job:
    """Everything a run is asked for, besides its prompts. Raises `BonError` for N below 1."""

    policy: Policy = Policy()
    judge: Judge = Judge()
    strategy: Entrant = field(default_factory=lambda: parse_strategy(MANY))
    n: int = 8
    group_by: str = "exact"
    seed: int = 0
    share_device: bool = False
    """Load policy and judge side by side and judge while sampling; otherwise they take turns
    (see `side_by_side`)."""
    scorer: RewardModel | None = None
    """Gives every candidate its score, where there is one; otherwise the input may."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise BonError(f"N is {self.n}: sample at least 1 candidate")

    @cached_property
    def entrant(self) -> Entrant:
        """The strategy, told what the judge's model says of itself if it is told nothing else of the judge."""
        takes = "profile" in self.strategy.known and "profile" not in self.strategy.arguments
        profile = self.judge.profile if takes else None
        if profile is None:
            return self.strategy
        arguments = {**self.strategy.arguments, "profile": profile}
        return replace(self.strategy, arguments=arguments)

    @property
    def one_engine(self) -> bool:
        """Whether policy and judge are the same model, which is loaded once."""
        return self.policy.loads == self.judge.loads

    @property
    def side_by_side(self) -> bool:
        """Whether policy and judge are up together, so that one judges what the other has sampled.

        They are where one of them runs elsewhere, behind HTTP, and needs no room here.
        """
        elsewhere = is_address(self.policy.model) or is_address(self.judge.model)
        return self.share_device or self.one_engine or elsewhere

    @property
    def provenance(self) -> dict[str, Any]:
        """What a result says of how it came about."""
        known = {
            "strategy": str(self.strategy),
            "policy": self.policy.model,
            "judge": self.judge.model,
            "template": self.judge.template or default_template(self.judge.model),
            "group_by": self.group_by,
            "seed": self.seed,
            "judge_seed": self.judge.seed,
        }
        if self.entrant is not self.strategy:
            known["profile"] = f"{self.judge.model}/{PROFILE}"
        return known if self.scorer is None else known | {"scorer": self.scorer.model}
