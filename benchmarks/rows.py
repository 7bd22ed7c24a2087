"""The rows that are judged: each a figure, what it is held against, and what is asked."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.loads.shared import Figures
from benchmarks.measures import (
    BATCH,
    LIVE_RATE,
    OPEN_RATE,
    PAIR_CALLERS,
    pair_name,
)
from benchmarks.plan import PEERS, Series, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One judgement. No figures: it was not measured."""

    name: str
    what: str
    figures: Sequence[float]
    """A ratio or a plain figure for each round."""

    told: str
    against: str
    least: float | None = None
    most: float | None = None
    is_ratio: bool = True
    measured: Sequence[str] = ()
    """What the spread is taken of."""

    unit: str = ""

    @property
    def is_asked(self) -> bool:
        return self.least is not None or self.most is not None

    @property
    def asked(self) -> str:
        if not self.is_asked:
            return ""
        if self.least is not None:
            return f"≥ {self.least:,g}{self.unit}"
        return f"≤ {self.most:,g}{self.unit}"

    def is_reached(self, figure: float) -> bool:
        if self.least is not None:
            return figure >= self.least
        return self.most is not None and figure <= self.most

    def spread(self, series: Series) -> float:
        """The widest of those that the figure is made of."""
        return max((spread(series.rates(each)) for each in self.measured), default=0.0)


def rows(series: Series) -> Iterator[Row]:
    """Every row of the targets that this run has figures for."""
    for callers, least in ((16, 0.50), (64, 0.55), (256, 0.60)):
        yield rates(series, "C-1", f"tandem {callers}", f"echo {callers}", least=least)
    yield rates(series, "C-1 by ghz", "ghz tandem", "ghz echo", least=0.55)
    for callers in PAIR_CALLERS:
        name = pair_name(callers)
        yield rates(series, "beside C-1", name, f"echo {callers}")
    yield rates(series, "C-1 floor", "tandem 64", "floor 64", least=1)
    yield from against_best_peer(series, "C-2", "tandem 16", "single", least=2)
    yield _alone(series)
    yield rates(series, "C-4", f"batch {BATCH}", "copy", least=0.75)
    yield from against_best_peer(series, "C-4", f"batch {BATCH}", "bulk", least=1)
    yield rates(series, "C-5", "replay", "tandem 16", least=1)
    yield _written(series)
    yield plain(series, "S-1", "catch-up", lambda f: f.rate, " ids/s", least=200_000)
    yield plain(series, "S-1", "live", lambda f: f.p50, " ms p50", most=3)
    yield plain(series, "B9", "lookup", lambda f: f.p99, " ms p99", most=5)
    yield plain(series, "B9", "batch 20", lambda f: f.p99, " ms p99", most=100)
    yield plain(series, "B9", "batch 100", lambda f: f.p99, " ms p99", most=500)


def rates(
    series: Series, name: str, ours: str, theirs: str, *, least: float | None = None
) -> Row:
    pairs = list(zip(series.rates(ours), series.rates(theirs), strict=False))
    return Row(
        name=name,
        what=ours,
        figures=[mine / other for mine, other in pairs],
        told=told(series.rates(ours), "/s"),
        against=f"{theirs}: {told(series.rates(theirs), '/s')}",
        least=least,
        measured=(ours, theirs),
    )


def against_best_peer(
    series: Series, name: str, ours: str, way: str, *, least: float
) -> Iterator[Row]:
    measured = [f"{peer} {way}" for peer in PEERS if series.rates(f"{peer} {way}")]
    if measured:
        best = max(measured, key=lambda each: statistics.median(series.rates(each)))
        yield rates(series, name, ours, best, least=least)


def _alone(series: Series) -> Row:
    names = ("tandem 1", "echo 1", "insert")
    found = [series.found.get(each, []) for each in names]
    rounds = list(zip(*found, strict=False))
    return Row(
        name="C-3",
        what="one caller, p50",
        figures=[ours.p50 / (echo.p50 + insert.p50) for ours, echo, insert in rounds],
        told=told([ours.p50 for ours, _, _ in rounds], " ms"),
        against="echo + INSERT: "
        + told([echo.p50 + insert.p50 for _, echo, insert in rounds], " ms"),
        most=1.3,
        measured=names,
    )


def _written(series: Series) -> Row:
    counted = [
        float(each.outcomes["rows written"]) for each in series.found.get("replay", ())
    ]
    return Row(
        name="C-5",
        what="rows that replays wrote",
        figures=counted,
        told=told(counted, ""),
        against="pg_stat counters before",
        most=0,
        is_ratio=False,
    )


def plain(
    series: Series,
    name: str,
    ours: str,
    figure: Callable[[Figures], float],
    unit: str,
    *,
    least: float | None = None,
    most: float | None = None,
    what: str = "",
) -> Row:
    figures = [figure(each) for each in series.found.get(ours, ())]
    return Row(
        name=name,
        what=what or WORDS.get(ours, ours),
        figures=figures,
        told=told(figures, unit),
        against="",
        least=least,
        most=most,
        is_ratio=False,
        measured=(ours,),
        unit=unit,
    )


WORDS = {
    "catch-up": "stream to one subscriber, catching up",
    "live": f"create to receipt at {LIVE_RATE:g}/s, commit included",
    "lookup": "one lookup by external id",
    "batch 20": "20 tasks in bulk",
    "batch 100": "100 tasks in bulk",
    "tandem open": f"arrivals at {OPEN_RATE:g}/s",
}


def told(figures: Sequence[float], unit: str) -> str:
    if not figures:
        return ""
    middle = statistics.median(figures)
    digits = 0 if middle >= 100 or middle == int(middle) else 2
    return f"{middle:,.{digits}f}{unit}"
