"""The rows of processing that are judged."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.loads.shared import Figures
from benchmarks.plan import Series
from benchmarks.recovery import DEAD_AFTER, HELD
from benchmarks.rows import Row, against_best_peer, plain, rates


def rows(series: Series) -> Iterator[Row]:
    """Every row of the targets that this run has figures for."""
    yield from against_best_peer(series, "D-1", "drain", "drain", least=1)
    yield rates(series, "D-2", "drain laden", "drain", least=0.9)
    yield rates(series, "D-3", "drain pinned", "drain", least=0.8)
    yield plain(series, "D-4", "pickup", lambda f: f.p50, " ms p50", most=3)
    yield plain(series, "D-4", "pickup", lambda f: f.p99, " ms p99", most=10)
    yield rates(series, "D-5", "side by side", "drain", least=0.4)
    yield plain(series, "D-5", "side by side", _growth, "", most=0.02, what=GROWTH)
    yield from _rest(series)
    yield from _recovery(series)


GROWTH = "growth of pending tasks for each created"


def _rest(series: Series) -> Iterator[Row]:
    yield plain(series, "I-1", "idle", lambda f: f.rate, " statements/s", most=5)
    yield plain(series, "I-1", "idle", _cores, " cores", most=0.01)
    yield plain(series, "I-1", "idle", _memory, " MB", most=90)


def _recovery(series: Series) -> Iterator[Row]:
    past = f"{HELD:,} tasks of a killed processor run again, past its {DEAD_AFTER:g} s"
    yield plain(
        series, "R-1", "processor killed", lambda f: f.rate, " s", most=2, what=past
    )
    failed = "calls that failed over a killed creator"
    yield plain(series, "R-2", "creator killed", _failed, "", most=0, what=failed)
    returned = "first create after a killed Postgres's return"
    yield plain(
        series, "R-2", "postgres killed", lambda f: f.rate, " s", most=2, what=returned
    )


def _growth(figures: Figures) -> float:
    return figures.outcomes["pending grew"]


def _cores(figures: Figures) -> float:
    return max(figures.cores["creator"], figures.cores["processor"])


def _memory(figures: Figures) -> float:
    return max(figures.outcomes["creator MB"], figures.outcomes["processor MB"])


def _failed(figures: Figures) -> float:
    return sum(
        count for name, count in figures.outcomes.items() if name.startswith("FAILED")
    )
