"""`make bench-create`: ceiling, floor, peers and Tandem in turn, in one table.

Everything is measured in rounds: in each, everybody once. A ratio is the median of
the rounds' ratios, so that what the machine does beside the run hits both sides.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import click

from benchmarks.calm import Calm
from benchmarks.children import creator, serving
from benchmarks.databases import databases
from benchmarks.ghz import Ghz
from benchmarks.measures import Bench
from benchmarks.plan import Series, measures
from benchmarks.report import Run, report
from benchmarks.stopping import stop_on_sigterm
from tandem.postgres.roles import CREATOR

RESULTS = Path(__file__).with_name("RESULTS.md")

QUICK = {"seconds": 0.7, "rounds": 1}


@click.command()
@click.option("--seconds", default=1.5, help="Of each measurement.")
@click.option("--rounds", default=3, help="Each is measured so many times.")
@click.option("--quick", is_flag=True, help="One short round: for a first look only.")
@click.option("--only", default="", help="Measure only what has this in its name.")
@click.option("--seed", default=1, help="Of the request ids.")
@click.option("--peers", type=click.Path(path_type=Path), help="The peers' Python.")
@click.option("--append", is_flag=True, help=f"Append the table to {RESULTS.name}.")
def main(
    *,
    seconds: float,
    rounds: int,
    quick: bool,
    only: str,
    seed: int,
    peers: Path | None,
    append: bool,
) -> None:
    """Measure how fast tasks are created, as ratios within this one run."""
    stop_on_sigterm()
    if quick:
        seconds, rounds = QUICK["seconds"], int(QUICK["rounds"])
    calm = Calm(0) if quick else Calm()
    with _bench(seconds=seconds, peers=peers, seed=seed) as bench:
        series = _run(bench, calm, rounds=rounds, only=only)
        run = Run(rounds=rounds, seconds=seconds, seed=seed)
        table = report(series, bench, run)
    click.echo(table)
    if append:
        with RESULTS.open("a") as file:
            file.write(f"\n{table}")


def _run(bench: Bench, calm: Calm, *, rounds: int, only: str) -> Series:
    series = Series()
    for number in range(1, rounds + 1):
        for name, take in measures(bench):
            if only in name:
                print(f"round {number}: {name}", end="\033[K\r", file=sys.stderr)
                series.add(calm.take(take, bench))
    print(end="\033[K", file=sys.stderr)
    return series


@contextmanager
def _bench(*, seconds: float, peers: Path | None, seed: int) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the account of Postgres passes through
        with (
            databases(folder / "postgres") as ready,
            serving("benchmarks.servers.echo", folder, name="echo", environ={}) as echo,
            serving(
                "benchmarks.servers.floor",
                folder,
                name="floor",
                environ={"FLOOR_DATABASE_URL": ready.url("floor")},
            ) as floor,
            creator(ready.login(CREATOR), folder) as tandem,
        ):
            yield Bench(
                folder=folder,
                databases=ready,
                echo=echo,
                floor=floor,
                tandem=tandem,
                peers_python=peers,
                seconds=seconds,
                ghz=Ghz.find(),
                seeds=count(seed * 1_000_000),
            )


if __name__ == "__main__":
    main()
