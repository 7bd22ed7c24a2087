"""What both services do alike between their first line and their first served call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor

from tandem import calls, logs
from tandem.allowances import Allowances
from tandem.authentication.door import Door
from tandem.errors import StoreUnavailable
from tandem.postgres.connect import PostgresUnfit
from tandem.postgres.logins import Connection
from tandem.postgres.pool import OnConnect, create_pool
from tandem.postgres.privileges import Expected, check_privileges
from tandem.server import PortTaken, Server
from tandem.settings import InvalidSettings, Settings

log = structlog.get_logger()

CANNOT_RUN: Final = 2
"""The exit code for a fault that only an operator can repair."""

CLOSE_LIMIT: Final = 5.0
"""Seconds for the database to say goodbye."""

LOCK_TIMEOUT: Final = 5.0
"""Seconds that a statement waits for a lock."""

NOT_MIGRATED: Final = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedTableError,
    asyncpg.InsufficientPrivilegeError,
)

LOST_CONNECTION: Final = (
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
)


class WrongPrivileges(Exception):
    """The login may do too little or too much. The message lists every fault."""


class CannotRun(Exception):
    """What an operator has to repair, in one line."""


def exit_code(program: str, run: Callable[[], int]) -> int:
    """Run to the end; what an operator has to repair becomes one line, and exit code 2."""
    try:
        with _repairable():
            return run()
    except CannotRun as fault:
        line = logs.hide_passwords(" ".join(str(fault).split()))
        print(f"{program}: {line}", file=sys.stderr)  # noqa: T201 - logs may be what is wrong
        return CANNOT_RUN


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
    except asyncpg.ProtocolViolationError as fault:
        raise CannotRun(
            f"the server of TANDEM_DATABASE_URL refuses a session's settings ({fault});"
            " if it is a pooler, set TANDEM_POOLER=true"
        ) from fault
    except (*calls.STORE_AWAY, StoreUnavailable) as fault:
        raise CannotRun(
            f"cannot reach the database of TANDEM_DATABASE_URL: {fault}"
        ) from fault


@asynccontextmanager
async def open_pool(
    settings: Settings,
    *,
    size: int,
    application_name: str,
    on_connect: OnConnect | None = None,
    by_keys: bool = False,
    lock_timeout: float = LOCK_TIMEOUT,
) -> AsyncIterator[asyncpg.Pool]:
    """A pool of the service's own login, for the length of a block."""
    asyncio.get_running_loop().set_exception_handler(_tell_unheard)
    pool = await create_pool(
        settings.database_url,
        size=size,
        application_name=application_name,
        on_connect=on_connect,
        lock_timeout=lock_timeout,
        by_keys=by_keys,
        pooler=settings.pooler,
        # Neither service sets, listens or locks but within a transaction.
        cleans=False,
    )
    try:
        yield pool
    finally:
        await _close(pool)


def _tell_unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the pool does for a caller that has gone fails with its connection.

    Nobody is left to hear it, and asyncio would log it as an error.
    """
    error = context.get("exception")
    if isinstance(error, LOST_CONNECTION):
        log.warning("database unavailable", error=type(error).__name__)
    else:
        loop.default_exception_handler(context)


async def _close(pool: asyncpg.Pool) -> None:
    try:
        async with asyncio.timeout(CLOSE_LIMIT):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def make_server(
    settings: Settings,
    servicer: object,
    service: ServiceDescriptor,
    *,
    credentials: grpc.ServerCredentials | None,
    door: Door | None,
    share_port: bool = False,
) -> Server:
    """The server of a service as its settings have it, not started."""
    return Server(
        servicer,
        service,
        listen=settings.listen,
        share_port=share_port,
        credentials=credentials,
        door=door,
        allowances=Allowances(
            rate=settings.caller_rate, streams=settings.caller_streams
        ),
        message_bytes=settings.caller_message_bytes,
    )


async def require_privileges(connection: Connection, expected: Expected) -> None:
    """Prove that the login is exactly as the service's should be.

    Raises:
        WrongPrivileges: it is not.
    """
    faults = await check_privileges(connection, expected)
    if any(fault.startswith("too few") for fault in faults):
        faults.append("run `tandem migrate` if this release is newer than the schema")
    if faults:
        raise WrongPrivileges("; ".join(faults))


def proven_first(expected: Expected, then: OnConnect) -> OnConnect:
    """What a pool does with each new connection, once its login is proven over the first.

    Whatever writes must not come before the proof.
    """
    proven = False

    async def enter(connection: asyncpg.Connection) -> None:
        nonlocal proven
        if not proven:
            await require_privileges(connection, expected)
            proven = True
        await then(connection)

    return enter


def announce(settings: Settings, port: int) -> None:
    """Tell the port, in the log and in the file that was asked for."""
    if settings.port_file:
        write_port(port, Path(settings.port_file))
    host = settings.listen.rpartition(":")[0]
    log.info("serving", listen=f"{host}:{port}", port=port)


def write_port(port: int, path: Path) -> None:
    """Tell it in this file. The file is whole from the moment it is there."""
    draft = path.with_name(f"{path.name}.{port}")
    draft.write_text(f"{port}\n", encoding="ascii")
    draft.replace(path)
