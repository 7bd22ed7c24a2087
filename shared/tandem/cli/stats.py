"""`tandem stats`: what waits, what runs, what was done, and who works."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import click
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table
from rich.text import Text

from tandem import limits, wire
from tandem.cli import calling
from tandem.cli.options import common, common_options
from tandem.cli.output import console, moment, print_json, state_text
from tandem.v1 import processor_pb2 as pb

DAYS: Final = 7


@click.command()
@click.option("--project", default="", help="Only this one.")
@click.option(
    "--days",
    type=click.IntRange(0, limits.MAX_STATS_DAYS),
    default=DAYS,
    show_default=True,
    help="Of history, in UTC, today included.",
)
@common_options
@click.pass_context
def stats(context: click.Context, *, project: str, days: int) -> None:
    """Count tasks by queue, state and day; show groups and processors.

    The figures are at most 5 s old.
    """
    request = pb.GetStatsRequest(project=project, days=days)
    with calling.processor(context) as stub:
        found = stub.GetStats(request, timeout=calling.CALL_LIMIT)
    if common(context).json:
        print_json(found)
        return
    for table in (_queues(found), _groups(found), _days(found), _processors(found)):
        if table.row_count:
            console().print(table)
            click.echo()
    click.echo(f"counted at {moment(found.read_time)} UTC")


def _queues(found: pb.GetStatsResponse) -> Table:
    table = _table("QUEUE", "STATE", "TASKS", "OLDEST DUE", "OVER 5 MIN")
    for each in found.queues:
        table.add_row(
            Text(f"{each.queue} (paused)" if each.paused else each.queue),
            state_text(each.state),
            f"{each.count:,}",
            _age(each),
            _count_of(each.waiting_over_five_minutes),
        )
    return table


def _groups(found: pb.GetStatsResponse) -> Table:
    table = _table("GROUP", "NOT YET SENT", "MEMBERS", "DEAF")
    for each in found.groups:
        numbers = (f"{each.lag:,}", f"{each.members:,}", _count_of(each.deaf_members))
        table.add_row(Text(each.group), *numbers)
    return table


def _days(found: pb.GetStatsResponse) -> Table:
    table = _table("DAY", "CREATED", "SUCCEEDED", "FAILED")
    for each in found.days:
        numbers = (each.created, each.succeeded, each.failed)
        table.add_row(each.date, *map(_count_of, numbers))
    return table


def _processors(found: pb.GetStatsResponse) -> Table:
    table = _table("PROCESSOR", "STATE", "RUNNING", "HEARTBEAT", "TYPES")
    for each in found.processors:
        table.add_row(
            each.processor_id,
            Text("DEAD", style="red") if each.dead else "LIVE",
            f"{each.running:,}",
            _since(each.heartbeat_time, found.read_time),
            Text(_listed(each.types)),
        )
    return table


NUMBERS: Final = frozenset(
    {"TASKS", "OLDEST DUE", "OVER 5 MIN", "NOT YET SENT", "MEMBERS", "DEAF"}
    | {"CREATED", "SUCCEEDED", "FAILED", "RUNNING"}
)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim")
    for column in columns:
        table.add_column(
            column, no_wrap=True, justify="right" if column in NUMBERS else "left"
        )
    return table


def _age(each: pb.QueueStats) -> str:
    return (
        span_text(each.oldest_age.ToTimedelta()) if each.HasField("oldest_age") else ""
    )


def _since(earlier: Timestamp, now: Timestamp) -> str:
    gone = wire.moment(now) - wire.moment(earlier)
    return f"{span_text(max(gone, timedelta()))} ago"


def _count_of(number: int) -> str:
    """The number; nothing for none, so that the others are seen."""
    return f"{number:,}" if number else "-"


def _listed(names: Iterable[str], *, most: int = 6) -> str:
    shown: Sequence[str] = list(names)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def span_text(span: timedelta) -> str:
    """The two largest units of it: 3 d 4 h, 12 min 5 s, 0.3 s."""
    seconds = span.total_seconds()
    if seconds < UNITS[-2][1]:
        return f"{seconds:.1f} s"
    parts = []
    for name, size in UNITS:
        if number := int(seconds // size):
            parts.append(f"{number} {name}")
        seconds %= size
    return " ".join(parts[:2])


UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
