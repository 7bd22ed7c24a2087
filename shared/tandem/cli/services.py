"""`tandem migrate|creator|processor`: what an operator runs on a server."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, NoReturn

import click

from tandem import logs
from tandem.cli.options import common, takes
from tandem.cli.output import print_json
from tandem.postgres.bootstrap import DATABASE, prepare
from tandem.postgres.migrate import migrate as apply_migrations
from tandem.postgres.passwords import Passwords
from tandem.postgres.roles import OWNER
from tandem.postgres.urls import login_url
from tandem.processes import Service

PASSWORD_VARIABLES: Final = {
    each.name: f"TANDEM_{each.name.upper()}_PASSWORD" for each in fields(Passwords)
}


@click.command()
@click.option(
    "--admin-url",
    envvar="TANDEM_ADMIN_URL",
    help="A login that may make roles and databases: makes them, then migrates.",
)
@click.option(
    "--owner-url",
    envvar="TANDEM_OWNER_URL",
    help="The login of tandem_owner: only migrates.",
)
@click.option("--database", default=DATABASE, show_default=True)
@takes("json")
@click.pass_context
def migrate(
    context: click.Context,
    *,
    admin_url: str | None,
    owner_url: str | None,
    database: str,
) -> None:
    """Make the schema what this release needs. May be repeated at any time.

    With --admin-url the roles' passwords are read from TANDEM_OWNER_PASSWORD,
    TANDEM_CREATOR_PASSWORD, TANDEM_PROCESSOR_PASSWORD and TANDEM_JANITOR_PASSWORD.
    """
    logs.configure("tandem", level=logging.WARNING, out=sys.stderr)
    if admin_url:
        applied = asyncio.run(_from_nothing(admin_url, database, os.environ))
    elif owner_url:
        applied = asyncio.run(apply_migrations(owner_url))
    else:
        raise click.UsageError("set TANDEM_ADMIN_URL or TANDEM_OWNER_URL", context)
    if common(context).json:
        print_json({"applied": applied})
    else:
        click.echo(f"applied {', '.join(applied)}" if applied else "nothing to apply")


@click.command()
@click.option("--database-url", help="The login of tandem_creator.")
@click.option("--listen", metavar="HOST:PORT")
@click.option("--processes", type=int, help="So many on one address. Default: 1.")
@click.option("--pool-size", type=int, help="Database connections of each process.")
@click.option("--grace", type=float, help="Seconds for calls in flight at a stop.")
@click.option("--metrics-listen", metavar="HOST:PORT", help="For Prometheus.")
@click.option("--log", type=click.Choice(["json", "console"]))
@takes()
def creator(**settings: Any) -> NoReturn:
    """Run a creator. What is not given is read from TANDEM_* in the environment."""
    _become(Service.CREATOR, settings)


@click.command()
@click.option("--database-url", help="The login of tandem_processor.")
@click.option("--handlers", metavar="MODULE:NAME", help="What it runs.")
@click.option("--listen", metavar="HOST:PORT")
@click.option("--queues", metavar="NAME[,...]")
@click.option("--concurrency", type=int)
@click.option("--pool-size", type=int)
@click.option("--heartbeat", type=float, help="Seconds between signs of life.")
@click.option("--dead-after", type=float, help="Seconds of silence.")
@click.option("--grace", type=float, help="Seconds for handlers at a stop.")
@click.option("--metrics-listen", metavar="HOST:PORT", help="For Prometheus.")
@click.option("--log", type=click.Choice(["json", "console"]))
@takes("creator")
@click.pass_context
def processor(context: click.Context, /, **settings: Any) -> NoReturn:
    """Run a processor. What is not given is read from TANDEM_* in the environment."""
    settings["creator_address"] = common(context).creator
    _become(Service.PROCESSOR, settings)


async def _from_nothing(
    admin_url: str, database: str, environ: Mapping[str, str]
) -> list[str]:
    passwords = _passwords(environ)
    await prepare(admin_url, passwords, database=database)
    return await apply_migrations(
        login_url(admin_url, OWNER, password=passwords.of(OWNER), database=database)
    )


def _passwords(environ: Mapping[str, str]) -> Passwords:
    absent = [name for name in PASSWORD_VARIABLES.values() if not environ.get(name)]
    if absent:
        raise click.UsageError(f"set {', '.join(absent)}: the roles' passwords")
    return Passwords(
        **{role: environ[name] for role, name in PASSWORD_VARIABLES.items()}
    )


def _become(service: Service, settings: Mapping[str, Any]) -> NoReturn:
    given = {
        f"TANDEM_{name.upper()}": str(value)
        for name, value in settings.items()
        if value is not None
    }
    command = [sys.executable, "-m", service.module]
    os.execve(command[0], command, {**os.environ, **given})  # noqa: S606 - our own module
