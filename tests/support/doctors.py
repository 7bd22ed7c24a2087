"""What the doctor finds in a test's database."""

from __future__ import annotations

from tandem.doctor.examine import CHECKS, run
from tandem.doctor.findings import Line, Verdict
from tandem.doctor.sessions import sessions
from tests.support.cluster import Database


def urls(database: Database) -> list[str]:
    """Every login that `tandem up` has, each in the test's database."""
    return [database.creator_url, database.processor_url, database.owner_url]


async def look(database: Database, name: str) -> list[Line]:
    """The lines of one check, over new sessions."""
    [check] = [check for check in CHECKS if check.name == name]
    logins = [*urls(database), database.cluster.admin_url]
    async with sessions(logins, database=database.name) as opened:
        return list(await run(check, opened))


async def found(database: Database, name: str) -> str:
    """The one finding of a check, and what to do."""
    [line] = await look(database, name)
    assert line.verdict is Verdict.FOUND
    assert line.remedy
    return line.text
