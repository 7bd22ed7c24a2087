"""What a soak looks at, and when it calls a figure growing."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import asyncpg

from benchmarks import process_sql as sql
from benchmarks.loads.shared import percentile
from benchmarks.pair import Pair, resident


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look. Latencies are those of what happened since the look before."""

    second: float
    creator_mb: float
    processor_mb: float
    connections: float
    dead_rows: float
    unfinished: float
    batches: float
    """Of claims that are not yet dropped."""

    takes: float
    create_p50_ms: float
    create_p99_ms: float
    start_p50_ms: float
    """From a task's create to its handler, by the database's clock."""

    start_p99_ms: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """The last third may be so many times the first third, and so much more."""

    times: float
    more: float


# Latencies of a shared machine vary twofold by themselves; what leaks, grows on.
ALLOWED = {
    "creator_mb": Allowance(1.10, 4),
    "processor_mb": Allowance(1.10, 4),
    # Pools grow to their size when first they need to.
    "connections": Allowance(1.25, 3),
    "dead_rows": Allowance(2, 5_000),
    "unfinished": Allowance(2, 200),
    "batches": Allowance(2, 50),
    "takes": Allowance(2, 50),
    "create_p50_ms": Allowance(2, 5),
    "create_p99_ms": Allowance(2, 50),
    "start_p50_ms": Allowance(2, 20),
    "start_p99_ms": Allowance(2, 200),
}

NAMES = tuple(each.name for each in fields(Sample))


async def look(
    connection: asyncpg.Connection,
    both: Pair,
    *,
    second: float,
    creates: Sequence[float],
    since: float,
) -> Sample:
    """`since` is for how many seconds nobody has looked."""
    [row] = await connection.fetch(sql.READ_SOAK)
    [waits] = await connection.fetch(sql.READ_STARTS, since)
    return Sample(
        second=round(second),
        creator_mb=resident(both.creator),
        processor_mb=resident(both.processor),
        connections=row["connections"],
        dead_rows=row["dead"],
        unfinished=row["unfinished"],
        batches=row["batches"],
        takes=row["takes"],
        create_p50_ms=percentile(creates, 50),
        create_p99_ms=percentile(creates, 99),
        start_p50_ms=waits["p50"] or 0.0,
        start_p99_ms=waits["p99"] or 0.0,
    )


def thirds(
    samples: Sequence[Sample], *, warm: float
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """The first and the last third of what was seen after the warm-up."""
    after = [each for each in samples if each.second >= warm]
    size = max(len(after) // 3, 1)
    return after[:size], after[-size:]


def growing(first: Sequence[Sample], last: Sequence[Sample]) -> Iterator[str]:
    """A line for each figure whose median has grown past its allowance."""
    for name, allowance in ALLOWED.items():
        before, after = median(first, name), median(last, name)
        most = before * allowance.times + allowance.more
        if after > most:
            yield f"{name} grew from {before:,.1f} to {after:,.1f}; {most:,.1f} is allowed"


def median(samples: Sequence[Sample], name: str) -> float:
    values: list[float] = [getattr(each, name) for each in samples]
    return statistics.median(values)


def minutes(samples: Sequence[Sample]) -> Iterator[Sequence[str]]:
    """One row of medians for each minute."""
    for minute in sorted({int(each.second // 60) for each in samples}):
        inside = [each for each in samples if int(each.second // 60) == minute]
        yield (
            str(minute + 1),
            *(f"{median(inside, name):,.1f}" for name in NAMES[1:]),
        )
