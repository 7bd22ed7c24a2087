"""Run a creator: `python -m tandem_creator`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import structlog
import uvloop

from tandem import calls, logs
from tandem.errors import StoreUnavailable
from tandem.postgres.connect import PostgresUnfit
from tandem.server import PortTaken, stop_signal
from tandem.settings import InvalidSettings
from tandem_creator.running import WrongPrivileges, running_creator, write_port
from tandem_creator.settings import CreatorSettings

log = structlog.get_logger()

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


async def serve(settings: CreatorSettings) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit code."""
    stop = stop_signal()
    async with running_creator(settings) as creator:
        log.info("serving", listen=settings.listen, port=creator.port)
        if settings.port_file:
            write_port(creator.port, Path(settings.port_file))
        failed = await _first(stop, creator.failed) is creator.failed
        log.info("stopping", grace=settings.grace)
    return 1 if failed else 0


async def _first(*happenings: asyncio.Event) -> asyncio.Event:
    """The first of these to happen."""
    waits = {asyncio.create_task(each.wait()): each for each in happenings}
    done, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in rest:
        wait.cancel()
    return waits[done.pop()]


def run() -> int:
    """Serve as the environment says.

    Raises:
        CannotRun: until an operator has repaired something.
    """
    with _repairable():
        settings = CreatorSettings.from_environ(os.environ)
        logs.configure("creator", form=settings.log)
        return uvloop.run(serve(settings))


@contextmanager
def _repairable() -> Iterator[None]:
    try:
        yield
    except (InvalidSettings, PortTaken, PostgresUnfit) as fault:
        raise CannotRun(str(fault)) from fault
    except WrongPrivileges as fault:
        raise CannotRun(f"the database login is not fit to serve: {fault}") from fault
    except NOT_MIGRATED as fault:
        raise CannotRun(
            f"schema tandem is missing or old ({fault}); run `tandem migrate`"
        ) from fault
    except (*calls.STORE_AWAY, StoreUnavailable) as fault:
        raise CannotRun(
            f"cannot reach the database of TANDEM_DATABASE_URL: {fault}"
        ) from fault


def main() -> int:
    try:
        return run()
    except CannotRun as fault:
        print(f"tandem-creator: {_one_line(str(fault))}", file=sys.stderr)  # noqa: T201 - logs may be what is wrong
        return CANNOT_RUN


def _one_line(text: str) -> str:
    return logs.hide_passwords(" ".join(text.split()))


if __name__ == "__main__":
    sys.exit(main())
