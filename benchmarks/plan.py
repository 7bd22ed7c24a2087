"""What one round measures, in order, and what all rounds found."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.loads.shared import Figures
from benchmarks.measures import (
    BATCH,
    BATCH_CALLERS,
    CALLERS,
    LIVE_RATE,
    OPEN_RATE,
    Bench,
)

PEERS = ("pgqueuer", "chancy", "procrastinate")

GHZ_CALLERS = 64

Take = Callable[[Bench], Mapping[str, Figures]]


@dataclass(frozen=True, slots=True)
class Series:
    """Figures by what was measured, one for each round."""

    found: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, figures: Mapping[str, Figures]) -> None:
        """Take what a round has found."""
        for name, each in figures.items():
            self.found.setdefault(name, []).append(each)

    def rates(self, name: str) -> list[float]:
        return [each.rate for each in self.found.get(name, ())]

    def median(self, name: str) -> Figures:
        """The figures of the round whose rate is the middle one."""
        ordered = sorted(self.found[name], key=lambda each: each.rate)
        return ordered[len(ordered) // 2]


def spread(values: list[float]) -> float:
    """From the least to the most, as a share of the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def measures(bench: Bench) -> Iterator[tuple[str, Take]]:
    """One round: who is compared is measured one right after the other."""
    for callers in CALLERS:
        yield _single(f"echo {callers}", _closed("echo", callers))
        yield _single(f"tandem {callers}", _closed("tandem", callers))
        yield _single(f"floor {callers}", _closed("floor", callers))
    yield "tandem, several processes", Bench.pair
    yield _single("insert", Bench.insert)
    yield _single("echo open", _open("echo"))
    yield _single("tandem open", _open("tandem"))
    if bench.ghz:
        yield _single("ghz echo", lambda b: b.by_ghz(b.echo, callers=GHZ_CALLERS))
        yield _single("ghz tandem", lambda b: b.by_ghz(b.tandem, callers=GHZ_CALLERS))
    yield _single("copy", Bench.copy)
    yield _single("batch 500", lambda b: b.batch(BATCH, callers=BATCH_CALLERS))
    yield _single("batch 20", lambda b: b.batch(20, callers=1))
    yield _single("batch 100", lambda b: b.batch(100, callers=1))
    yield _single("replay", Bench.replay)
    yield _single("lookup", Bench.lookup)
    yield _single("live", lambda b: b.load("live", b.tandem, rate=LIVE_RATE))
    yield _single("catch-up", lambda b: b.load("catch-up", b.tandem))
    if bench.peers_python:
        for name in PEERS:
            yield name, _peer(name)


def _single(name: str, take: Callable[[Bench], Figures]) -> tuple[str, Take]:
    return name, lambda bench: {name: take(bench)}


def _closed(who: str, callers: int) -> Callable[[Bench], Figures]:
    return lambda b: b.load("create", getattr(b, who), concurrency=callers)


def _open(who: str) -> Callable[[Bench], Figures]:
    return lambda b: b.load("create", getattr(b, who), rate=OPEN_RATE)


def _peer(name: str) -> Take:
    return lambda bench: bench.peer(name)
