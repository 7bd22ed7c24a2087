from __future__ import annotations

from contextlib import ExitStack

import pytest

from tandem import allowances
from tandem.access import ANONYMOUS, Caller
from tandem.allowances import Allowances
from tandem.errors import RateLimited

ALICE, BOB = Caller("alice"), Caller("bob")


class Clock:
    """Stands until it is moved."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(allowances, "time", clock)
    return clock


def begun(allowed: Allowances, caller: Caller, tries: int = 50) -> int:
    """How many of so many calls at once are allowed."""
    count = 0
    for _ in range(tries):
        try:
            allowed.spend(caller)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_second_s_calls_may_come_at_once_and_no_more(clock: Clock) -> None:
    allowed = Allowances(rate=10, streams=1)

    assert begun(allowed, ALICE) == 10
    clock.now += 0.5
    assert begun(allowed, ALICE) == 5
    clock.now += 3_600
    assert begun(allowed, ALICE) == 10


def test_callers_do_not_share_an_allowance(clock: Clock) -> None:
    allowed = Allowances(rate=10, streams=1)
    begun(allowed, ALICE)

    assert begun(allowed, BOB) == 10


def test_who_waits_as_told_is_served(clock: Clock) -> None:
    allowed = Allowances(rate=10, streams=1)
    begun(allowed, ALICE)

    with pytest.raises(RateLimited) as refused:
        allowed.spend(ALICE)
    assert refused.value.retry_after == pytest.approx(0.1)
    assert dict(refused.value.trailers())["grpc-retry-pushback-ms"] == "100"

    clock.now += 0.1001
    assert begun(allowed, ALICE) == 1


def test_a_refused_call_costs_nothing(clock: Clock) -> None:
    allowed = Allowances(rate=10, streams=1)
    begun(allowed, ALICE, tries=1_000)
    clock.now += 1

    assert begun(allowed, ALICE) == 10


def test_without_a_rate_calls_are_not_counted() -> None:
    allowed = Allowances(rate=0, streams=1)

    assert begun(allowed, ANONYMOUS, tries=1_000) == 1_000
    assert not allowed._budgets


def test_so_many_callers_are_remembered_and_no_more(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "MOST_KEPT", 3)
    allowed = Allowances(rate=10, streams=1)
    for number in range(5):
        allowed.spend(Caller(f"caller-{number}"))

    assert list(allowed._budgets) == ["caller-2", "caller-3", "caller-4"]


def test_streams_at_once_are_limited_for_each_caller() -> None:
    allowed = Allowances(rate=0, streams=2)

    with ExitStack() as open_streams:
        for caller in (ALICE, ALICE, BOB):
            open_streams.enter_context(allowed.streaming(caller))
        with pytest.raises(RateLimited), allowed.streaming(ALICE):
            raise AssertionError("a third stream was opened")
    with allowed.streaming(ALICE):
        pass

    assert not allowed._streams


def test_a_stream_that_fails_is_open_no_longer() -> None:
    allowed = Allowances(rate=0, streams=1)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError), allowed.streaming(ALICE):
            raise ZeroDivisionError
