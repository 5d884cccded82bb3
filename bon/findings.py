"""What a person should know of a run, in words.

Each finding is a function that gives one sentence, with its number and what to do, or None: where the
number is not beyond a threshold that one would act on or, where chance could make it, not beyond chance.
"""

from __future__ import annotations

from collections.abc import Mapping

from bon.shares import Share
from bon.summary import Summary
from bon.types import VoidReason


def findings(summary: Summary) -> list[str]:
    """What is worth saying, the gravest first."""
    found = [finding(summary) for finding in FINDINGS]
    return [sentence for sentence in found if sentence is not None]


def failures(run: Summary) -> str | None:
    if not run.failed:
        return None
    return f"{run.failed} of {run.prompts} prompts have no winner: see their errors."


def no_gain(run: Summary) -> str | None:
    accuracy = run.accuracy
    if accuracy is None or accuracy.prompts < 2 or accuracy.gain.low > 0:
        return None
    worse = accuracy.gain.high < 0
    return (
        f"The winner is right on {accuracy.winner.mean:.0%} of prompts, a random candidate on"
        f" {accuracy.random:.0%}: "
        + (
            "the judge makes it worse."
            if worse
            else "no difference beyond chance on so many prompts."
        )
    )


def voids(run: Summary) -> str | None:
    if not _at_least(run.voids, 0.02):
        return None
    reasons = ", ".join(f"{r} {n / run.voids.of:.1%}" for r, n in run.void_reasons.items())
    remedy = REMEDY[next(iter(run.void_reasons))]
    return f"{_percent(run.voids)} of judge calls gave no verdict ({reasons}): {remedy}."


def slot_bias(run: Summary) -> str | None:
    if not _beside_half(run.first_slot, 0.05):
        return None
    share = run.first_slot.value or 0.0
    slot = "first" if share > 0.5 else "second"
    mostly_both_orders = 2 * run.flips.of >= 0.8 * run.first_slot.of
    return (
        f"The judge preferred the {slot} slot in {max(share, 1 - share):.0%} of decided pairs: "
        + (
            "both orders were asked, so it cancels, at the price of split matches."
            if mostly_both_orders
            else "use both orders."
        )
    )


def flips(run: Summary) -> str | None:
    if not _at_least(run.flips, 0.2):
        return None
    return (
        f"The two orders disagreed on {_percent(run.flips)} of pairs: ask for more votes"
        " (rule=votes:3), or take a stronger judge."
    )


def coins(run: Summary) -> str | None:
    if not _at_least(run.coins, 0.1):
        return None
    return (
        f"A coin decided {_percent(run.coins)} of matches, for the verdicts were split or void:"
        " an odd number of votes (rule=votes:3) leaves fewer."
    )


def ties(run: Summary) -> str | None:
    if not _at_least(run.ties, 0.3):
        return None
    return (
        f"The judge called {_percent(run.ties)} of pairs level: the candidates may be too alike,"
        " or the judge too coarse."
    )


def contradictions(run: Summary) -> str | None:
    if not _at_least(run.cyclic, 0.08):
        return None
    return (
        f"{_percent(run.cyclic)} of triples go round in a circle, 25% would be a blind judge:"
        " ratings and brackets rest on contradictions."
    )


def disconnected(run: Summary) -> str | None:
    if not _at_least(run.disconnected, 0.1):
        return None
    return (
        f"On {_percent(run.disconnected)} of prompts verdicts leave candidates in groups that never met:"
        " strengths across groups rest on the prior alone."
    )


def length_preference(run: Summary) -> str | None:
    if not _beside_half(run.longer, 0.1):
        return None
    share = run.longer.value or 0.0
    word = "longer" if share > 0.5 else "shorter"
    return (
        f"The {word} response won {max(share, 1 - share):.0%} of decided pairs: make sure that the"
        " judge rewards what it says, not its length."
    )


def uncertainty(run: Summary) -> str | None:
    if not _at_least(run.uncertain, 0.5):
        return None
    return (
        f"On {_percent(run.uncertain)} of prompts the winner is more likely not the best than the"
        " best: more votes or another strategy would settle more."
    )


def disagreement(run: Summary) -> str | None:
    others = {
        name: 1 - (agreed.value or 0.0)
        for name, agreed in run.agreement.items()
        if agreed.of >= ENOUGH
    }
    told = ", ".join(f"{name} on {share:.0%}" for name, share in others.items() if share >= 0.1)
    return (
        f"Other ratings name another winner than the strategy did: {told} of prompts."
        if told
        else None
    )


def cut_off(run: Summary) -> str | None:
    if not _at_least(run.cut_off, 0.05):
        return None
    return f"{_percent(run.cut_off)} of candidates hit the token limit: raise --max-tokens."


FINDINGS = (
    failures,
    no_gain,
    voids,
    slot_bias,
    flips,
    coins,
    ties,
    contradictions,
    disconnected,
    length_preference,
    uncertainty,
    disagreement,
    cut_off,
)

ENOUGH = 20
"""So many observations before a share is worth a sentence."""

REMEDY: Mapping[VoidReason, str] = {
    VoidReason.TRUNCATED: "raise --judge-max-tokens, or set --thinking-budget",
    VoidReason.UNPARSABLE: "see whether --judge-template fits the judge",
    VoidReason.TOO_LONG: "the candidates are too long for the judge's context",
    VoidReason.FAILED: "see the calls' own errors",
}


def _at_least(share: Share, threshold: float) -> bool:
    return share.of >= ENOUGH and (share.value or 0.0) >= threshold


def _beside_half(share: Share, distance: float) -> bool:
    """Whether a share differs from one half by so much, and beyond chance."""
    far = abs((share.value or 0.0) - 0.5) >= distance
    return share.of >= ENOUGH and far and not share.low <= 0.5 <= share.high


def _percent(share: Share) -> str:
    value = share.value or 0.0
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"
