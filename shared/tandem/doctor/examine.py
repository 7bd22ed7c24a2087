"""All checks, in the order in which one explains the next."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import asyncpg

from tandem.client import Credentials, InvalidCredentials
from tandem.doctor import logins, server, stream, tasks
from tandem.doctor.findings import Check, Finding, Line, Verdict
from tandem.doctor.logins import MIGRATE
from tandem.doctor.sessions import ADMINISTRATOR
from tandem.health import is_serving
from tandem.postgres.roles import CREATOR, OWNER, PROCESSOR
from tandem.starting import NOT_MIGRATED

ANY: Final = (ADMINISTRATOR, OWNER, PROCESSOR, CREATOR)

CHECKS: Final = (
    Check(
        name="migrations",
        logins=(OWNER, ADMINISTRATOR),
        look=logins.migrations,
    ),
    Check(
        name="privileges of the creator",
        logins=(CREATOR,),
        look=logins.creators_privileges,
    ),
    Check(
        name="privileges of the processor",
        logins=(PROCESSOR,),
        look=logins.processors_privileges,
    ),
    Check(
        name="sessions of the creator",
        logins=(CREATOR,),
        look=logins.beginnings,
    ),
    Check(
        name="sessions of the processor",
        logins=(PROCESSOR,),
        look=logins.beginnings,
    ),
    Check(name="settings of the server", logins=ANY, look=server.settings),
    Check(name="connections and locks", logins=ANY, look=server.room),
    Check(
        name="long transactions",
        logins=(ADMINISTRATOR,),
        look=server.transactions,
    ),
    Check(name="clock", logins=ANY, look=server.clock),
    Check(name="epoch", logins=(CREATOR,), look=stream.epoch),
    Check(name="positions", logins=(CREATOR,), look=stream.positions),
    Check(name="lost announcements", logins=(PROCESSOR,), look=stream.lost),
    Check(name="lanes without a processor", logins=(PROCESSOR,), look=stream.lanes),
    Check(name="deaf members", logins=(PROCESSOR,), look=stream.members),
    Check(
        name="tasks without a status",
        logins=(PROCESSOR,),
        look=tasks.without_status,
    ),
    Check(
        name="statuses without a task",
        logins=(PROCESSOR,),
        look=tasks.without_task,
    ),
    Check(
        name="running tasks of dead processors",
        logins=(PROCESSOR,),
        look=tasks.unheld,
    ),
    Check(
        name="running tasks in no claim batch",
        logins=(PROCESSOR,),
        look=tasks.unnoted,
    ),
    Check(
        name="claim batches of no processor",
        logins=(PROCESSOR,),
        look=tasks.batches,
    ),
    Check(name="silent processors", logins=(PROCESSOR,), look=tasks.silent),
)


async def examine(
    sessions: Mapping[str, asyncpg.Connection], addresses: Mapping[str, Sequence[str]]
) -> AsyncIterator[Line]:
    """Look at everything that these logins can see.

    Args:
        sessions: by role.
        addresses: of services whose health is asked for, by what each is.
    """
    for check in CHECKS:
        for line in await run(check, sessions):
            yield line
    for service, listened in addresses.items():
        for line in await _healths(service, listened):
            yield line


async def run(
    check: Check, sessions: Mapping[str, asyncpg.Connection]
) -> Sequence[Line]:
    """The lines of one check: one for each finding, or one that it is well."""
    login = next((login for login in check.logins if login in sessions), None)
    if login is None:
        wanted = " or ".join(check.logins)
        text = f"needs the login of {wanted}"
        return [Line(check=check.name, verdict=Verdict.SKIPPED, text=text)]
    return _lines(check.name, await _looked(check, sessions[login]))


async def _looked(check: Check, connection: asyncpg.Connection) -> Sequence[Finding]:
    try:
        return await check.look(connection)
    except NOT_MIGRATED as error:
        return [Finding(f"cannot be looked at: {error}", MIGRATE)]
    except asyncpg.PostgresError as error:
        remedy = "set that right first, and look again"
        return [Finding(f"cannot be looked at: {error}", remedy)]


async def _healths(service: str, addresses: Sequence[str]) -> list[Line]:
    check = f"health of the {service}"
    try:
        credentials = Credentials.from_environ(os.environ)
        for address in addresses:
            credentials.require_safe([address])
    except InvalidCredentials as fault:
        return _lines(check, [Finding(f"cannot be asked: {fault}", "set that right")])
    found = [
        Finding(
            f"{address} does not say that it is serving",
            "look at its log: at its start it says what is to be set right",
        )
        for address in addresses
        if not await asyncio.to_thread(is_serving, address, credentials)
    ]
    return _lines(check, found)


def _lines(check: str, found: Sequence[Finding]) -> list[Line]:
    if not found:
        return [Line(check=check, verdict=Verdict.OK)]
    return [
        Line(check=check, verdict=Verdict.FOUND, text=each.text, remedy=each.remedy)
        for each in found
    ]
