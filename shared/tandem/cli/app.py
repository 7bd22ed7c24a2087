"""The command `tandem`: its parts, and the one place where it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Final

import click

from tandem.cli import INTERRUPTED
from tandem.cli.failures import SET_RIGHT_FIRST, describe
from tandem.cli.options import common_options

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


COMMANDS: Final = {
    "up": "up",
    "demo": "demo",
    "migrate": "services",
    "prune": "prune",
    "key": "key",
    "creator": "services",
    "processor": "services",
    "task": "task",
    "queue": "queue",
    "stream": "stream",
    "stats": "stats",
    "doctor": "doctor",
}
"""Each command, by the module that has it."""


class LateGroup(click.Group):
    """Imports a command when it is asked for: together they take a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"tandem.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=LateGroup, context_settings=HELP)
@click.version_option(version("tandem-tasks"), prog_name="tandem")
@common_options
def tandem() -> None:
    """Tasks created once, and processed without loss.

    Exit codes: 0 done, 1 a call was refused or not answered, 2 something has to be
    set right first.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and answer its exit code. An error is one line on stderr."""
    try:
        code = tandem.main(list(arguments), prog_name="tandem", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as help_:
        click.echo(help_.format_message(), err=True)
        return SET_RIGHT_FIRST
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough. Nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        failure = describe(error)
        if failure is None:
            raise
        click.echo(f"tandem: {failure.line}", err=True)
        return failure.code
    return code if isinstance(code, int) else 0
