"""Run a processor: `python -m tandem_processor`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import uvloop

from tandem import calls, logs
from tandem.handlers import Handlers
from tandem.postgres.connect import PostgresUnfit
from tandem.server import PortTaken, stop_signal
from tandem.settings import InvalidSettings
from tandem_processor.loading import BadHandlers, load_handlers
from tandem_processor.running import WrongPrivileges, run_processor
from tandem_processor.settings import ProcessorSettings

CANNOT_RUN: Final = 2
"""The exit code for a fault that only an operator can repair."""

NOT_MIGRATED: Final = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedTableError,
    asyncpg.InsufficientPrivilegeError,
)


class CannotRun(Exception):
    """What an operator has to repair, in one line."""


async def serve(settings: ProcessorSettings, handlers: Handlers) -> None:
    """Work and serve until SIGTERM or SIGINT."""
    await run_processor(settings, handlers, stop_signal())


def run() -> None:
    """Work as the environment says.

    Raises:
        CannotRun: until an operator has repaired something.
    """
    with _repairable():
        settings = ProcessorSettings.from_environ(os.environ)
        logs.configure("processor", form=settings.log)
        handlers = load_handlers(settings.handlers)
        uvloop.run(serve(settings, handlers))


@contextmanager
def _repairable() -> Iterator[None]:
    try:
        yield
    except (InvalidSettings, PortTaken, PostgresUnfit) as fault:
        raise CannotRun(str(fault)) from fault
    except BadHandlers as fault:
        raise CannotRun(f"TANDEM_HANDLERS: {fault}") from fault
    except WrongPrivileges as fault:
        raise CannotRun(f"the database login is not fit to serve: {fault}") from fault
    except NOT_MIGRATED as fault:
        raise CannotRun(
            f"schema tandem is missing or old ({fault}); run `tandem migrate`"
        ) from fault
    except calls.STORE_AWAY as fault:
        raise CannotRun(
            f"cannot reach the database of TANDEM_DATABASE_URL: {fault}"
        ) from fault


def main() -> int:
    try:
        run()
    except CannotRun as fault:
        print(f"tandem-processor: {_one_line(str(fault))}", file=sys.stderr)  # noqa: T201 - logs may be what is wrong
        return CANNOT_RUN
    return 0


def _one_line(text: str) -> str:
    return logs.hide_passwords(" ".join(text.split()))


if __name__ == "__main__":
    sys.exit(main())
