"""`tandem doctor`: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from tandem import logs
from tandem.cli.failures import REFUSED
from tandem.cli.folders import data_option
from tandem.cli.options import common, common_options
from tandem.cli.output import print_json
from tandem.doctor.examine import examine
from tandem.doctor.findings import Line, Verdict
from tandem.doctor.sessions import sessions, urls_of_folder
from tandem.postgres.bootstrap import DATABASE

WIDEST: Final = max(map(len, Verdict))

COLOURS: Final = {Verdict.OK: "green", Verdict.FOUND: "red", Verdict.SKIPPED: "yellow"}


@click.command()
@data_option("What `tandem up` keeps; it knows every login.")
@click.option(
    "--admin-url",
    envvar="TANDEM_ADMIN_URL",
    help="With --data: the server that `tandem up --admin-url` uses.",
)
@click.option(
    "--database-url",
    "urls",
    envvar="TANDEM_DATABASE_URL",
    multiple=True,
    help="A login, in place of --data: repeat it for the creator's, the processor's,"
    " the owner's and an administrator's.",
)
@common_options
@click.pass_context
def doctor(
    context: click.Context, *, data: Path, admin_url: str | None, urls: tuple[str, ...]
) -> int:
    """Look for what is wrong, and say what to do. Reads, and changes nothing.

    One line for each finding, or for each check without one. What the given logins
    cannot see is skipped, and said so. Addresses that are given are asked for their
    health. Exit codes: 0 nothing found, 1 something found, 2 cannot look.
    """
    logs.configure("tandem", level=logging.WARNING, out=sys.stderr)
    database = None if urls else DATABASE
    logins = urls or urls_of_folder(data, admin_url=admin_url)
    found = asyncio.run(_examine(context, logins, database))
    return REFUSED if found else 0


async def _examine(
    context: click.Context, logins: Sequence[str], database: str | None
) -> int:
    """Print every line, and answer the number of findings."""
    found = 0
    async with sessions(logins, database=database) as opened:
        async for line in examine(opened, _addresses(context)):
            _print(line, as_json=common(context).json)
            found += line.verdict is Verdict.FOUND
    return found


def _addresses(context: click.Context) -> dict[str, list[str]]:
    """Those that were given: where services listen by default, none may be."""
    asked = common(context)
    known = {"creator": asked.creator, "processor": asked.processor}
    return {
        service: [part.strip() for part in addresses.split(",")]
        for service, addresses in known.items()
        if service in asked.given
    }


def _print(line: Line, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(line))
        return
    verdict = click.style(f"{line.verdict:<{WIDEST}}", fg=COLOURS[line.verdict])
    text = f": {line.text}" if line.text else ""
    remedy = f"; {line.remedy}" if line.remedy else ""
    click.echo(f"{verdict} {line.check}{text}{remedy}")
