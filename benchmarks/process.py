"""`make bench-process`: how fast tasks are worked, by Tandem and by its peers.

Everything is measured in rounds, as creation is. What no round can repeat, recovery
and rest, is measured once.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TypedDict, Unpack

import click

from benchmarks.calm import Calm
from benchmarks.create import RESULTS
from benchmarks.databases import databases
from benchmarks.pair import Place
from benchmarks.plan import Series
from benchmarks.process_measures import COPIES, ProcessBench
from benchmarks.process_plan import measures
from benchmarks.process_report import report
from benchmarks.stopping import stop_on_sigterm


class Sizes(TypedDict):
    """How much is measured; see the options."""

    tasks: int
    pickups: int
    backlog: int
    pinned: float
    seconds: float


@click.command()
@click.option("--tasks", default=60_000, help="In each drain.")
@click.option("--rounds", default=3, help="Each is measured so many times.")
@click.option("--pickups", default=100, help="In each measurement of them.")
@click.option("--backlog", default=1_000_000, help="Pending, and finished, in D-2.")
@click.option("--pinned", default=20.0, help="Seconds of traffic in D-3; 600 in full.")
@click.option("--seconds", default=8.0, help="Of creation and processing together.")
@click.option("--quick", is_flag=True, help="One short round: for a first look only.")
@click.option("--only", default="", help="Measure only what has this in its name.")
@click.option("--seed", default=1, help="Of the request ids.")
@click.option("--again", default=6, help="Disturbed measurements that are taken again.")
@click.option("--peers", type=click.Path(path_type=Path), help="The peers' Python.")
@click.option("--append", is_flag=True, help=f"Append the tables to {RESULTS.name}.")
def main(
    *,
    rounds: int,
    quick: bool,
    only: str,
    seed: int,
    again: int,
    peers: Path | None,
    append: bool,
    **sizes: Unpack[Sizes],
) -> None:
    """Measure how fast tasks are processed, as ratios within this one run."""
    stop_on_sigterm()
    if quick:
        sizes.update({"tasks": 3_000, "pickups": 30, "backlog": 20_000})
        rounds = 1
    with _bench(sizes, seed=seed, peers=peers) as bench:
        series = _run(bench, rounds=rounds, only=only, calm=Calm(budget=again))
        tables = report(series, bench, rounds=rounds)
    click.echo(tables)
    if append:
        with RESULTS.open("a") as file:
            file.write(f"\n{tables}")


def _run(bench: ProcessBench, *, rounds: int, only: str, calm: Calm) -> Series:
    series = Series()
    for number in range(1, rounds + 1):
        for name, take in measures(bench, is_first=number == 1):
            if only in name or name == "drain":
                print(f"round {number}: {name}", end="\033[K\r", file=sys.stderr)
                series.add(calm.take(take, bench))
    print(end="\033[K", file=sys.stderr)
    return series


@contextmanager
def _bench(sizes: Sizes, *, seed: int, peers: Path | None) -> Iterator[ProcessBench]:
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the account of Postgres passes through
        with databases(folder / "postgres", COPIES) as ready:
            yield ProcessBench(
                place=Place(folder=folder, databases=ready),
                peers_python=peers,
                seeds=count(seed * 1_000_000),
                **sizes,
            )


if __name__ == "__main__":
    main()
