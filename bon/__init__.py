"""Best of N by tournament: sample candidates, let a reward reasoning model compare them, keep the winner.

    from bon import BestOfN

    best = BestOfN(policy="tiny-policy", judge="tiny-rrm", n=8)
    print(best("State the final answer to the following arithmetic problem: 42 - 25 - 73 =").text)

Everything here is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bon.answer import Answer as Answer
    from bon.api import Observer as Observer
    from bon.best_of_n import BestOfN as BestOfN
    from bon.best_of_n import arank as arank
    from bon.best_of_n import rank as rank
    from bon.catalog import strategy as strategy
    from bon.job import Judge as Judge
    from bon.job import Policy as Policy
    from bon.portal import close as close
    from bon.types import BonError as BonError
    from bon.types import Candidate as Candidate
    from bon.types import Prompt as Prompt

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BestOfN",
    "BonError",
    "Candidate",
    "Judge",
    "Observer",
    "Policy",
    "Prompt",
    "arank",
    "close",
    "rank",
    "strategy",
]

_MODULES = {
    "answer": ["Answer"],
    "api": ["Observer"],
    "best_of_n": ["BestOfN", "arank", "rank"],
    "catalog": ["strategy"],
    "job": ["Judge", "Policy"],
    "portal": ["close"],
    "types": ["BonError", "Candidate", "Prompt"],
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
