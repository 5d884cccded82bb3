"""What `bon run` and `bon rerank` share to lose nothing: a ledger, a manifest, taking up a run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bon.datasets.output import is_special
from bon.resume import Workplace, absolute

if TYPE_CHECKING:
    from bon.ledger import Ledger

PATHS = ("source", "path", "output", "ledger_dir", "graph_dir")
"""Settings that name files; noted so that they mean the same from any folder."""


def ledger_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--ledger` and `--resume`."""
    resume = click.option(
        "--resume", is_flag=True, help="Take up the run that was writing this output."
    )
    ledger = click.option(
        "--ledger",
        "ledger_dir",
        metavar="DIR",
        help="Keep verdicts there, and judge nothing that is there. Default: beside the output,"
        " until that is complete.",
    )
    return ledger(resume(function))


def resumed(
    context: click.Context, command: str, output: str | None, may_give: tuple[str, ...]
) -> dict[str, Any]:
    """The settings of the run that was writing `output`, of which few may be given anew."""
    if output is None:
        raise click.UsageError("--resume needs the output of the run it takes up: -o FILE")
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name not in may_give:
            raise click.UsageError(
                f"--resume takes all settings from the run it takes up: leave out {option.opts[0]}"
            )
    kept = Workplace(output).settings(command)
    return {**kept, "resume": True, "quiet": context.params["quiet"]}


@contextmanager
def keeping(
    command: str, settings: Mapping[str, Any], source: str | None
) -> Iterator[Ledger | None]:
    """The ledger of a run, and beside its output what takes it up again, until it is complete."""
    from bon.datasets import keep_apart
    from bon.ledger import Ledger

    output, folder = settings["output"], settings["ledger_dir"]
    keep_apart(source, output)
    workplace = None
    if output is not None and not is_special(Path(output).expanduser()):
        workplace = Workplace(output)
        if not settings["resume"]:
            paths = {name: absolute(settings[name]) for name in PATHS if name in settings}
            workplace.begin(command, {**settings, **paths}, absolute(source))
        folder = folder or workplace.ledger
    if folder is None:
        yield None
    else:
        with Ledger(folder) as ledger:
            yield ledger
    if workplace is not None:
        workplace.done()
