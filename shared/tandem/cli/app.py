"""The command `tandem`: its parts, and the one place where it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import click

from tandem.cli.demo import demo
from tandem.cli.failures import INTERRUPTED, describe
from tandem.cli.options import common_options
from tandem.cli.services import creator, migrate, processor
from tandem.cli.stream import stream
from tandem.cli.task import task
from tandem.cli.up import up

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=HELP)
@click.version_option(version("tandem-tasks"), prog_name="tandem")
@common_options
def tandem() -> None:
    """Tasks created once, and processed without loss.

    Exit codes: 0 done, 1 a call was refused or not answered, 2 something has to be
    set right first.
    """


for command in (up, demo, migrate, creator, processor, task, stream):
    tandem.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and answer its exit code. An error is one line on stderr."""
    try:
        code = tandem.main(list(arguments), prog_name="tandem", standalone_mode=False)
        sys.stdout.flush()
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
