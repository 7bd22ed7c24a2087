"""What a creator counts, and when it tells."""

from __future__ import annotations

import asyncpg
import pytest
from structlog.testing import capture_logs

from tandem.errors import InvalidRequest, Overloaded
from tandem_creator.statistics import Statistics


def failing(statistics: Statistics, error: Exception) -> None:
    with pytest.raises(type(error)), statistics.call():
        raise error


def test_failed_calls_are_counted_by_reason() -> None:
    statistics = Statistics()

    for error in (
        InvalidRequest("no"),
        InvalidRequest("no"),
        Overloaded("later"),
        ConnectionError(),
        asyncpg.DataError(),
        KeyError("a defect"),
    ):
        failing(statistics, error)

    assert statistics.refused == {
        "INVALID_REQUEST": 2,
        "OVERLOADED": 1,
        "STORE_UNAVAILABLE": 1,
        "STORE_REFUSED": 1,
        "DEFECT": 1,
    }
    assert statistics.constraint_violations == 0


def test_violated_constraints_are_counted_apart() -> None:
    statistics = Statistics()

    failing(statistics, asyncpg.UniqueViolationError())

    assert statistics.refused == {"STORE_REFUSED": 1}
    assert statistics.constraint_violations == 1


def test_outcomes_are_totals_and_flushes_are_those_since_the_last_line() -> None:
    statistics = Statistics()
    statistics.answered("CREATED", 3)
    statistics.flushed(size=10, wait=0.004, left=2)
    statistics.flushed(size=20, wait=0.002, left=7)

    with capture_logs() as lines:
        statistics.report()
        statistics.answered("REPLAYED")
        statistics.report()

    first, second = lines
    assert first["made"] == {"CREATED": 3}
    assert (first["flushes"], first["flush_size_mean"], first["flush_size_max"]) == (
        2,
        15.0,
        20,
    )
    assert (first["wait_ms_mean"], first["wait_ms_max"]) == (3.0, 4.0)
    assert first["waiting_max"] == 7
    assert second["made"] == {"CREATED": 3, "REPLAYED": 1}
    assert second["flushes"] == 0
    assert (statistics.sizes.count, statistics.sizes.total) == (2, 30)


def test_an_idle_process_reports_nothing() -> None:
    statistics = Statistics()
    statistics.answered("EXISTING", 0)

    with capture_logs() as lines:
        statistics.report()

    assert lines == []
