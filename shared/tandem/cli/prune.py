"""`tandem prune`: what is past its retention goes, under the janitor's login."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from tandem import limits, logs
from tandem.cli import folders
from tandem.cli.interrupting import until_interrupted
from tandem.cli.options import common, takes
from tandem.cli.output import print_json
from tandem.cli.parameters import Span
from tandem.pruning.janitor import BATCH, Pruned
from tandem.pruning.retention import DELETE_AFTER, STRIP_AFTER, Retention
from tandem.pruning.running import Plan, give_up, prune_every
from tandem.pruning.running import prune as prune_once

JANITOR_URL: Final = "TANDEM_JANITOR_URL"


def retention_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--strip-after` and `--delete-after`."""
    for option in (delete_after_option, strip_after_option):
        function = option(function)
    return function


strip_after_option = click.option(
    "--strip-after",
    type=Span(),
    metavar="SPAN",
    envvar="TANDEM_STRIP_AFTER",
    default=STRIP_AFTER,
    show_default=True,
    help="After its finish a task keeps only its ids, state and times.",
)
delete_after_option = click.option(
    "--delete-after",
    type=Span(),
    metavar="SPAN",
    envvar="TANDEM_DELETE_AFTER",
    default=DELETE_AFTER,
    show_default=True,
    help="After its finish its ids are free again.",
)


def retention_of(strip_after: timedelta, delete_after: timedelta) -> Retention:
    """The two of them together.

    Raises:
        UsageError: they do not go together.
    """
    try:
        return Retention(strip_after, delete_after)
    except ValueError as fault:
        raise click.UsageError(str(fault), click.get_current_context()) from fault


@click.command()
@click.option("--once", is_flag=True, help="One round, then end.  [default]")
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Go on, with a pause of so many seconds between rounds.",
)
@retention_options
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@click.option(
    "--batch",
    type=click.IntRange(1, 100_000),
    default=BATCH,
    show_default=True,
    help="Rows of one transaction.",
)
@click.option(
    "--forget-group",
    "groups",
    metavar="GROUP",
    multiple=True,
    help="Give up a group that only reads, and for which tasks are kept.",
)
@click.option(
    "--database-url",
    envvar=JANITOR_URL,
    help="The login of tandem_janitor.  [default: that of --data]",
)
@folders.data_option("The folder of `tandem up`, whether that runs or not.")
@takes("json")
@click.pass_context
def prune(
    context: click.Context,
    /,
    *,
    once: bool,
    every: float | None,
    strip_after: timedelta,
    delete_after: timedelta,
    database_url: str | None,
    data: Path,
    groups: tuple[str, ...],
    dry_run: bool,
    batch: int,
) -> None:
    """Strip finished tasks, and delete those whose ids nobody needs any more.

    SPAN is a length of time such as 7d, 12h, 30m or 90s.
    """
    if once and every is not None:
        raise click.UsageError("give --once or --every, not both", context)
    _check_groups(context, groups, dry_run=dry_run)
    logs.configure("tandem", level=logging.WARNING, out=sys.stderr)
    retention = retention_of(strip_after, delete_after)

    def tell(pruned: Pruned) -> None:
        _print(pruned, context, dry_run=dry_run)

    async def work() -> None:
        login = folders.login(
            database_url, data, variable=JANITOR_URL, of=lambda each: each.janitor_url
        )
        async with login as url:
            plan = Plan(url=url, retention=retention, batch=batch, dry_run=dry_run)
            if groups:
                await give_up(url, groups)
            if every is None:
                tell(await prune_once(plan))
            else:
                await prune_every(plan, every, tell=tell)

    asyncio.run(until_interrupted(work(), on_interrupt=lambda: None))


def _check_groups(
    context: click.Context, groups: Collection[str], *, dry_run: bool
) -> None:
    if groups and dry_run:
        raise click.UsageError("give --forget-group or --dry-run, not both", context)
    if limits.WORKERS in groups:
        raise click.UsageError(
            f"{limits.WORKERS} cannot be forgotten: it runs the tasks", context
        )


def _print(pruned: Pruned, context: click.Context, *, dry_run: bool) -> None:
    if common(context).json:
        print_json({**asdict(pruned), "dry_run": dry_run})
        return
    click.echo(brief(pruned, dry_run=dry_run))


def brief(pruned: Pruned, *, dry_run: bool = False) -> str:
    """The round in one line."""
    counts = (
        f"{pruned.stripped} stripped, {pruned.deleted} deleted,"
        f" {pruned.windows} content windows, {pruned.takes} takes"
    )
    held = f"; kept for {', '.join(pruned.held_by)}" if pruned.held_by else ""
    return f"{'would prune' if dry_run else 'pruned'}: {counts}{held}"
