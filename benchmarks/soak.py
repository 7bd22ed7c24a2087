"""`make soak`: a pair at half of its capacity for half an hour; fails on what grows.

After the warm-up, in which the first tasks are stripped and deleted, the medians of
the first third of what is left are held against those of the last.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from benchmarks.create import RESULTS
from benchmarks.databases import databases
from benchmarks.endtoend import SIZE, side_by_side
from benchmarks.filling import connected, resume
from benchmarks.loads.shared import Figures
from benchmarks.measures import order
from benchmarks.pair import Pair, Place, pair
from benchmarks.process_measures import CONCURRENCY
from benchmarks.report import heading, table
from benchmarks.soak_samples import (
    NAMES,
    Sample,
    growing,
    look,
    median,
    minutes,
    thirds,
)
from benchmarks.soak_traffic import Traffic
from benchmarks.stopping import stop_on_sigterm
from tandem.postgres.bootstrap import DATABASE
from tandem.postgres.roles import JANITOR
from tandem.pruning.retention import Retention

CAPACITY_SECONDS = 8.0

TOO_MUCH = 20_000.0
"""Tasks a second that are more than a pair can do: what it does is its capacity."""

STRIP_SHARE = 0.1
DELETE_SHARE = 0.2
WARM_SHARE = 0.3
"""Of the whole length."""

LOOKS = 90
"""In the whole length."""

READING = (
    "First and last third after the warm-up, in medians; for each minute below them,"
    " too. Times in milliseconds, memory in megabytes."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """How long, and how hard."""

    seconds: float
    rate: float
    seed: int

    @property
    def retention(self) -> Retention:
        return Retention(
            timedelta(seconds=self.seconds * STRIP_SHARE),
            timedelta(seconds=self.seconds * DELETE_SHARE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of it."""

    samples: Sequence[Sample]
    figures: Figures
    traffic: Traffic
    warm: float
    """Seconds of warm-up."""

    @property
    def thirds(self) -> tuple[Sequence[Sample], Sequence[Sample]]:
        return thirds(self.samples, warm=self.warm)

    @property
    def faults(self) -> list[str]:
        return list(growing(*self.thirds))

    @property
    def counts(self) -> str:
        created = self.figures.outcomes.get("BATCH_CREATED", 0) * SIZE
        return (
            f"Created in batches: {created:,.0f}; cancelled: {self.traffic.cancelled:,};"
            f" stripped and deleted: {self.traffic.pruned:,}."
        )


@click.command()
@click.option("--minutes", "length", default=30.0, help="Of the whole soak.")
@click.option("--rate", default=0.0, help="Tasks a second; 0: half of the capacity.")
@click.option("--seed", default=1, help="Of the request ids.")
@click.option("--append", is_flag=True, help=f"Append the tables to {RESULTS.name}.")
def main(*, length: float, rate: float, seed: int, append: bool) -> None:
    """Work a pair for long, and fail if anything grows."""
    stop_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="tandem-soak-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the account of Postgres passes through
        with databases(folder / "postgres", ("ends",)) as ready:
            place = Place(folder=folder, databases=ready)
            rate = rate or _capacity(place, seed) / 2
            soak = Soak(seconds=length * 60, rate=rate, seed=seed)
            seen = _run(place, soak)
            tables = _report(place, soak, seen)
    click.echo(tables)
    if append:
        with RESULTS.open("a") as file:
            file.write(f"\n{tables}")
    for fault in seen.faults:
        click.echo(f"soak: {fault}", err=True)
    sys.exit(1 if seen.faults else 0)


def _capacity(place: Place, seed: int) -> float:
    """Tasks a second that are created and worked when more are asked for."""
    found = side_by_side(
        place,
        "ends",
        rate=TOO_MUCH,
        seconds=CAPACITY_SECONDS,
        concurrency=CONCURRENCY,
        seed=seed + 1,
    )
    return found.rate


def _run(place: Place, soak: Soak) -> Seen:
    asyncio.run(resume(place.databases.url(DATABASE)))
    with pair(place, DATABASE, concurrency=str(CONCURRENCY)) as both:
        return asyncio.run(_soak(place, both, soak))


async def _soak(place: Place, both: Pair, soak: Soak) -> Seen:
    traffic = Traffic(soak.seed + 2)
    going = asyncio.create_task(
        traffic.run(
            both.creator.address,
            both.processor.address,
            janitor_url=place.databases.login(JANITOR),
            retention=soak.retention,
        )
    )
    loading = asyncio.create_task(asyncio.to_thread(_load, both, soak))
    samples = await _watch(place, both, soak, traffic, going)
    going.cancel()
    with suppress(asyncio.CancelledError):
        await going
    return Seen(
        samples=samples,
        figures=await loading,
        traffic=traffic,
        warm=soak.seconds * WARM_SHARE,
    )


def _load(both: Pair, soak: Soak) -> Figures:
    return order(
        "batch",
        both.creator.address,
        seed=soak.seed,
        rate=soak.rate / SIZE,
        size=SIZE,
        seconds=soak.seconds,
        limit=soak.seconds + 60,
        watched=both.watched,
    )


async def _watch(
    place: Place,
    both: Pair,
    soak: Soak,
    traffic: Traffic,
    going: asyncio.Task[None],
) -> Sequence[Sample]:
    samples: list[Sample] = []
    start, every = time.monotonic(), soak.seconds / LOOKS
    async with connected(place.databases.url(DATABASE)) as connection:
        while (second := time.monotonic() - start) < soak.seconds:
            await asyncio.wait([going], timeout=every)
            if going.done():
                going.result()
            sample = await look(
                connection,
                both,
                second=second,
                creates=traffic.taken(),
                since=every,
            )
            samples.append(sample)
    return samples


def _report(place: Place, soak: Soak, seen: Seen) -> str:
    title = f"soak of {soak.seconds / 60:g} minutes at {soak.rate:,.0f} tasks/s"
    return "\n".join(
        [
            *heading(title, place.databases, {}),
            seen.counts,
            f"Growing: {'; '.join(seen.faults) or 'nothing'}.",
            "",
            READING,
            "",
            *table(("what", "first third", "last third"), _held_against(seen)),
            "",
            *table(("minute", *NAMES[1:]), minutes(seen.samples)),
            "",
        ]
    )


def _held_against(seen: Seen) -> Iterator[Sequence[str]]:
    for name in NAMES[1:]:
        yield name, *(f"{median(third, name):,.1f}" for third in seen.thirds)


if __name__ == "__main__":
    main()
