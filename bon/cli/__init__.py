"""The command line. A command lives in the file of its name and is imported only when it is asked for.

Exit codes: 0 done; 1 the run could not go on; 2 usage; 3 some prompts failed, the rest is written;
130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from io import TextIOWrapper

import click

from bon import __version__
from bon.types import BonError
from bon.untrusted import one_line

COMMANDS = {
    "run": "Sample candidates for each prompt, play a tournament, print the winner.",
    "sample": "Run the policy alone and write the candidates.",
    "rerank": "Play tournaments over candidates that are there already, at any scale.",
    "serve": "Serve the OpenAI API, every answer the best of N.",
    "demo": "Run the main job on bundled problems with bundled models.",
    "show": "Show results in the terminal: bracket or cross table, ranking, winner.",
    "report": "Make one self-contained page of results.",
    "export": "Turn results into training data: preference pairs, best-of-n, rewards.",
    "ledger": "Describe, compact or export a ledger of verdicts.",
    "profile": "Learn from results how their judge judges.",
    "strategies": "List the strategies: what each costs and when to choose it.",
    "bench": "Measure strategies: simulated, on recorded verdicts, or live.",
    "doctor": "Say what is installed and what to do about what is not.",
}


class _Commands(click.Group):
    """Lists commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"bon.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="bon")
@click.pass_context
def cli(context: click.Context) -> None:
    """Best of N by tournament: sample N answers, let a reward reasoning model compare them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the command line; every foreseen error is one line on stderr."""
    _write_what_can_be_written()
    try:
        sys.exit(cli.main(prog_name="bon", standalone_mode=False))  # an Exit comes back as a code
    except click.ClickException as error:
        _say(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was complete is on disk", err=True)
        sys.exit(130)
    except BonError as error:
        click.echo(f"Error: {one_line(str(error), 2000)}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # such as a disk that is full
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def _write_what_can_be_written() -> None:
    """Question marks for what stdout's encoding lacks, where Python would raise; stderr escapes it."""
    if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.encoding.lower().startswith("utf"):
        sys.stdout.reconfigure(errors="replace")


def _say(error: click.ClickException) -> None:
    """One line, where click would print how the command is used as well."""
    message = error.format_message()
    if "\n" in message:  # the help of a group that was given no command
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" ({context.command_path} --help says more)" if context else ""
    click.echo(f"Error: {message.rstrip('.')}{hint}", err=True)
