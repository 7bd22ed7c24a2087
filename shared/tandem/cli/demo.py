"""`tandem demo`: a folder of articles, published through both services."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from tandem import logs
from tandem.cli.interrupting import until_interrupted
from tandem.cli.options import common, takes
from tandem.cli.output import console, print_json
from tandem.cli.show import showing
from tandem.demo.articles import find_articles, own_articles
from tandem.demo.plan import Plan, Report
from tandem.demo.run import publish
from tandem.demo.words import counted, noun

LIMIT: Final = 300.0
"""Seconds, unless `--limit` says otherwise."""


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Markdown articles.  [default: README.md and docs of this folder]",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="site",
    show_default=True,
    help="Where the pages go: an empty folder, or one of an earlier demo.",
)
@click.option(
    "--limit",
    type=click.FloatRange(min=1),
    default=LIMIT,
    show_default=True,
    help="Seconds until what is not published counts as lost.",
)
@takes("json")
@click.pass_context
def demo(
    context: click.Context, *, folder: Path | None, output: Path, limit: float
) -> int:
    """Publish Markdown articles as pages, while callers and processors misbehave.

    Starts its own PostgreSQL, two creators and two processors, one of which is
    killed in the middle. Then checks in the database that each article has exactly
    one task and one page; if not, names each that has not, and ends with 1.
    """
    plan = Plan(
        folder=folder or Path(),
        articles=find_articles(folder) if folder else own_articles(Path()),
        output=output,
        limit=limit,
        log=output.with_name(f"{output.name}.log"),
    )
    report = _run(plan, as_json=common(context).json)
    _tell(report, plan, as_json=common(context).json)
    return 1 if report.violations else 0


def _run(plan: Plan, *, as_json: bool) -> Report:
    screen = Console(stderr=as_json)
    reports: list[Report] = []

    async def work() -> None:
        with showing(screen) as show:
            reports.append(await publish(plan, show))

    def stopping() -> None:
        screen.print("stopping")

    logs.configure("tandem", level=logging.WARNING, out=sys.stderr)
    asyncio.run(until_interrupted(work(), on_interrupt=stopping))
    if not reports:
        raise click.Abort
    return reports[0]


def _tell(report: Report, plan: Plan, *, as_json: bool) -> None:
    figures = _figures(report, plan)
    if as_json:
        print_json({**figures, "violations": list(report.violations)})
    else:
        console().print(_table(figures))
        click.echo(f"pages: {(plan.output / 'index.html').absolute()}")
    for violation in report.violations:
        click.echo(f"tandem: {violation}", err=True)
    if report.violations:
        click.echo(f"tandem: the services' log is {plan.log.absolute()}", err=True)
    elif not as_json:
        click.echo(
            f"checked in the database: {counted(len(plan.articles), 'article')},"
            " one task and one page each"
        )


def _figures(report: Report, plan: Plan) -> dict[str, Any]:
    tally, work = report.tally, report.work
    return {
        "articles": len(plan.articles),
        "calls": tally.calls,
        "created": work.tasks,
        "replayed": tally.replayed,
        "refused": tally.refused,
        "cut_off": tally.cut_off,
        **{k: v for k, v in asdict(work).items() if k != "tasks"},
        "killed": 0 if report.crash is None else 1,
        "seconds": round(report.seconds, 1),
    }


ROWS: Final = {
    "articles": ("article", "articles"),
    "calls": ("call made", "calls made"),
    "created": ("task created", "tasks created"),
    "replayed": (
        "replay, answered with the same task",
        "replays, answered with the same task",
    ),
    "refused": ("refused, as other content under a spent id",) * 2,
    "cut_off": ("hung up on, then repeated",) * 2,
    "attempts": ("attempt", "attempts"),
    "stages": ("stage kept", "stages kept"),
    "reused": ("of them reused after the crash",) * 2,
    "killed": ("processor killed", "processors killed"),
    "seconds": ("second, starting included", "seconds, starting included"),
}
"""The words of each figure, for one and for any other number."""


def _table(figures: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    table.add_column(justify="right", style="bold")
    table.add_column()
    for name, words in ROWS.items():
        table.add_row(f"{figures[name]:,}", noun(figures[name], *words))
    return table
