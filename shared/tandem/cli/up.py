"""`tandem up`: Postgres and both services in one terminal, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from tandem import logs
from tandem.addresses import CREATOR_ADDRESS, PROCESSOR_ADDRESS
from tandem.cli import checks
from tandem.cli.chorus import Chorus
from tandem.cli.failures import ServiceEnded
from tandem.cli.folders import data_option
from tandem.cli.hourly import pruned_hourly
from tandem.cli.interrupting import until_interrupted
from tandem.cli.options import common, takes
from tandem.cli.prune import retention_of, retention_options
from tandem.database import embedded_end, ready_database
from tandem.happening import first_of
from tandem.pair import Pair
from tandem.pruning import running as pruning
from tandem.pruning.retention import Retention

HANDLERS: Final = "tandem.demo.handlers:handlers"

HINT: Final = """
  Now, in another terminal:

    {command} task create --project website --type echo --payload '{{"topic": "Tea"}}'
    {command} task list --project website
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be brought up."""

    data: Path
    admin_url: str | None
    handlers: str
    creators: tuple[str, ...]
    processors: tuple[str, ...]
    retention: Retention


@click.command()
@data_option("Where the embedded Postgres and the passwords are kept.")
@click.option(
    "--admin-url",
    envvar="TANDEM_ADMIN_URL",
    help="Use this server, as this administrator, in place of the embedded one.",
)
@click.option(
    "--handlers",
    metavar="MODULE:NAME",
    default=HANDLERS,
    show_default=True,
    callback=checks.handlers,
    help="What processors run.",
)
@click.option(
    "--creator-listen",
    "creators",
    metavar="HOST:PORT",
    multiple=True,
    default=[CREATOR_ADDRESS],
    callback=checks.listens,
    help="Repeat it for more creators.",
)
@click.option(
    "--processor-listen",
    "processors",
    metavar="HOST:PORT",
    multiple=True,
    default=[PROCESSOR_ADDRESS],
    callback=checks.listens,
    help="Repeat it for more processors.",
)
@retention_options
@takes("json")
@click.pass_context
def up(
    context: click.Context,
    *,
    data: Path,
    admin_url: str | None,
    handlers: str,
    creators: tuple[str, ...],
    processors: tuple[str, ...],
    strip_after: timedelta,
    delete_after: timedelta,
) -> None:
    """Start an embedded Postgres, creators and processors; Ctrl-C stops all.

    A service or a Postgres that ends by itself ends everything, with exit code 1:
    nothing here hides a crash behind a restart. What is past its retention is pruned
    every hour.
    """
    plan = Plan(
        data=data,
        admin_url=admin_url,
        handlers=handlers,
        creators=creators,
        processors=processors,
        retention=retention_of(strip_after, delete_after),
    )
    chorus = Chorus(as_json=common(context).json or not sys.stdout.isatty())
    logs.configure("tandem", form=chorus.form, level=logging.WARNING, out=sys.stderr)
    asyncio.run(until_interrupted(serve(plan, chorus), on_interrupt=chorus.stopping))
    chorus.say("stopped")


async def serve(plan: Plan, chorus: Chorus) -> None:
    """Bring everything up and stay until cancelled.

    Raises:
        DidNotServe: a service did not come up.
        ServiceEnded: a service, or the embedded server, ended by itself.
    """
    database = ready_database(plan.data, admin_url=plan.admin_url)
    async with (
        database as logins,
        Pair(logins, handlers=plan.handlers, on_line=chorus.repeat) as pair,
    ):
        log = {"TANDEM_LOG": chorus.form}
        await pair.start_creators(plan.creators, environ=log)
        await pair.start_processors(plan.processors, environ=log)
        _greet(plan, pair, chorus)
        janitor = pruning.Plan(url=logins.janitor_url, retention=plan.retention)
        async with pruned_hourly(janitor, chorus):
            raise await _first_end(plan, pair)


async def _first_end(plan: Plan, pair: Pair) -> ServiceEnded:
    """What ended first of all that was started here."""
    service = asyncio.ensure_future(pair.first_end())
    postgres = [] if plan.admin_url else [embedded_end(plan.data)]
    await first_of(service, *postgres)
    if service.done():
        ended = service.result()
        return ServiceEnded(f"{ended.label} ended by itself: {ended.why()}")
    return ServiceEnded(
        f"PostgreSQL in {plan.data} ended by itself: its log tells why; run"
        " `tandem up` again"
    )


def _greet(plan: Plan, pair: Pair, chorus: Chorus) -> None:
    chorus.say("ready", creator=pair.creator_address, processor=pair.processor_address)
    if not chorus.as_json:
        click.echo(f"{hint(plan)}\n  Ctrl-C stops all.\n")


def hint(plan: Plan) -> str:
    """What to type next, for whoever changed nothing; else nothing."""
    addresses = (plan.creators, plan.processors)
    if plan.handlers != HANDLERS or addresses != (
        (CREATOR_ADDRESS,),
        (PROCESSOR_ADDRESS,),
    ):
        return ""
    return HINT.format(command=_as_typed(sys.argv[0]))


def _as_typed(program: str) -> str:
    """The shortest path that starts it from here, since `make` alone has it on its PATH."""
    path = Path(program)
    return str(
        path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    )
