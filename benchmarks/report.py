"""One table: what was measured, against what, and whether it is what was asked."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks.cpu import BESIDE
from benchmarks.databases import Databases
from benchmarks.loads.shared import Figures
from benchmarks.measures import Bench
from benchmarks.plan import Series
from benchmarks.rows import Row, rows

NOISY = 0.30
"""A spread over the rounds that makes a figure too noisy to be believed."""

PACKAGES = ("tandem-tasks", "grpcio", "protobuf", "asyncpg", "uvloop", "structlog")

HEAD = (
    "row",
    "what",
    "figure",
    "against",
    "ratio",
    "by CPU",
    "asked",
    "verdict",
    "spread",
)

CPU = ("load", "server", "creator", "processor", "postgres")

BUSY = ("what", "per second", "p50 ms", "p99 ms", "CPU µs")

EXPLANATION = """\
Everything measured: what one call cost on both sides and in the database,
and the cores that each kept busy; `others` is the rest of the
machine, `stolen` what its host kept from it.
`by CPU` is the ratio of what both sides' calls cost: it suffers less from others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How the figures came about."""

    rounds: int
    seconds: float
    seed: int

    @property
    def title(self) -> str:
        return f"{self.rounds} rounds of {self.seconds:g} s, seed {self.seed}"


def report(series: Series, bench: Bench, run: Run) -> str:
    """The whole run as Markdown."""
    return "\n".join(
        [
            *heading(run.title, bench.databases, bench.peer_versions),
            "",
            *judgements(rows(series), series),
            "",
            EXPLANATION,
            "",
            *everything(series),
            "",
        ]
    )


def judgements(judged: Iterable[Row], series: Series) -> Iterator[str]:
    """The table of what was asked."""
    return table(HEAD, [_judged(row, series) for row in judged])


def everything(series: Series) -> Iterator[str]:
    """The table of all that was measured, with the groups of processes that were there."""
    groups = [
        group
        for group in (*CPU, *BESIDE)
        if any(group in series.median(name).cores for name in series.found)
    ]
    return table((*BUSY, *groups), _busy(series, groups))


def heading(
    title: str, databases: Databases, peer_versions: Mapping[str, str]
) -> Iterator[str]:
    """When, on what, and with what."""
    now = datetime.now(UTC)
    facts = databases.facts()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    peers = ", ".join(f"{name} {found}" for name, found in peer_versions.items())
    yield f"## {now:%Y-%m-%d %H:%M} UTC: {title}"
    yield ""
    yield f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {packages}."
    yield f"Peers: {peers or 'not installed'}."
    yield (
        f"PostgreSQL {facts['server_version']}, fsync {facts['fsync']},"
        f" synchronous_commit {facts['synchronous_commit']}, else as it comes."
    )
    yield f"Load average at the end: {os.getloadavg()[0]:.1f}."


def _judged(row: Row, series: Series) -> Sequence[str]:
    if not row.figures:
        return (
            row.name,
            row.what,
            "not measured",
            row.against,
            "",
            "",
            row.asked,
            "",
            "",
        )
    middle = statistics.median(row.figures)
    spread = row.spread(series)
    return (
        row.name,
        row.what,
        row.told,
        row.against,
        f"{middle:.2f}" if row.is_ratio else "",
        _by_cpu(row, series),
        row.asked,
        _verdict(row, middle, spread),
        f"{spread:.0%}",
    )


def _verdict(row: Row, middle: float, spread: float) -> str:
    words = []
    if row.is_asked:
        words.append("reached" if row.is_reached(middle) else "MISSED")
    if spread > NOISY:
        words.append("too noisy to be believed")
    return ", ".join(words)


def _busy(series: Series, groups: Sequence[str]) -> Iterator[Sequence[str]]:
    for name in series.found:
        found = series.median(name)
        yield (
            name,
            f"{found.rate:,.0f}",
            f"{found.p50:.2f}" if found.p50 else "",
            f"{found.p99:.2f}" if found.p99 else "",
            _each(found),
            *(f"{found.cores[g]:.2f}" if g in found.cores else "" for g in groups),
        )


def _each(found: Figures) -> str:
    ours = _microseconds(found)
    return f"{ours:,.0f}" if ours else ""


def _by_cpu(row: Row, series: Series) -> str:
    """The ratio that the processor time of both sides leaves room for.

    It suffers less from whoever else is on the machine than rates do.
    """
    if not row.is_ratio or len(row.measured) != 2:
        return ""
    ours, theirs = (map(_microseconds, series.found[name]) for name in row.measured)
    ratios = [other / mine for mine, other in zip(ours, theirs, strict=False) if mine]
    middle = statistics.median(ratios) if ratios else 0.0
    return f"{middle:.2f}" if middle else ""


def _microseconds(found: Figures) -> float:
    """What one call cost altogether, on both sides and in the database."""
    if not found.is_apart:
        return 0.0
    used = sum(found.cores.get(each, 0.0) for each in CPU)
    return used / found.rate * 1_000_000 if found.rate else 0.0


def table(
    head: Sequence[str], body: Sequence[Sequence[str]] | Iterator[Sequence[str]]
) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for cells in body:
        yield f"| {' | '.join(cells)} |"
