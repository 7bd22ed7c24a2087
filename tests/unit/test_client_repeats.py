"""When a call is sent again, and when it is given up."""

from __future__ import annotations

import grpc
import pytest

from tandem import errors
from tandem.client.failures import CallFailed, TimedOut, Unreachable
from tandem.client.repeats import FIRST_WAIT, LONGEST_WAIT, Endurance, Repeats, Wait
from tandem.errors import TandemError

AWAY = Unreachable("away", code=grpc.StatusCode.UNAVAILABLE)
LATE = TimedOut("late", code=grpc.StatusCode.DEADLINE_EXCEEDED)

CUT_OFF = CallFailed("CANCELLED", code=grpc.StatusCode.CANCELLED)


def test_waits_grow_with_jitter_up_to_a_limit() -> None:
    wait = Wait()

    waits = [wait.after(AWAY) for _ in range(8)]

    ends = [min(FIRST_WAIT * 2**n, LONGEST_WAIT) for n in range(8)]
    assert all(end / 2 <= w <= end for w, end in zip(waits, ends, strict=True))


def test_a_wait_is_never_shorter_than_the_service_asked_for() -> None:
    busy = errors.StoreUnavailable("away")
    busy.retry_after = 60.0

    assert Wait().after(busy) == 60


@pytest.mark.parametrize("failure", [AWAY, LATE, CUT_OFF, errors.Stopping("x")])
def test_what_leaves_the_outcome_open_is_sent_again(failure: TandemError) -> None:
    assert Repeats(30, single=10, now=0).pause(failure, now=1) > 0


@pytest.mark.parametrize(
    "failure",
    [
        errors.InvalidRequest("x"),
        errors.RequestIdReused("x"),
        errors.OutcomeUnknown("x"),
        errors.Overloaded("x"),
        CallFailed("x", code=grpc.StatusCode.INTERNAL),
    ],
    ids=lambda f: type(f).__name__,
)
def test_what_is_decided_is_not_sent_again(failure: TandemError) -> None:
    with pytest.raises(type(failure)):
        Repeats(30, single=10, now=0).pause(failure, now=1)


def test_a_try_takes_its_own_limit_or_what_is_left_of_the_whole() -> None:
    repeats = Repeats(30, single=10, now=100)

    assert [repeats.next_limit(now) for now in (100, 125, 140)] == [10, 5, 0]


def test_a_repeat_that_would_begin_too_late_is_not_waited_for() -> None:
    with pytest.raises(Unreachable):
        Repeats(30, single=10, now=0).pause(AWAY, now=29.9)


def test_why_no_try_succeeded_is_told_rather_than_that_the_time_is_over() -> None:
    repeats = Repeats(30, single=10, now=0)
    repeats.pause(AWAY, now=1)

    with pytest.raises(Unreachable):
        repeats.pause(LATE, now=30)
    with pytest.raises(TimedOut):
        Repeats(30, single=30, now=0).pause(LATE, now=30)


@pytest.mark.parametrize(
    "tries",
    [Repeats(1, single=10, now=0), Endurance(1, outage=10, now=0)],
    ids=["call", "stream"],
)
def test_what_is_raised_is_shown_without_grpc_s_own_error(
    tries: Repeats | Endurance,
) -> None:
    with pytest.raises(Unreachable) as raised:
        _pause_in_trouble(tries)

    assert raised.value.__suppress_context__


def _pause_in_trouble(tries: Repeats | Endurance) -> None:
    try:
        _hang_up()
    except grpc.RpcError:
        tries.pause(Unreachable("away", code=grpc.StatusCode.UNAVAILABLE), now=5)


def _hang_up() -> None:
    raise grpc.RpcError


def test_a_stream_is_opened_again_for_as_long_as_an_outage_may_last() -> None:
    endurance = Endurance(None, outage=60, now=0)

    assert endurance.pause(AWAY, now=1000) > 0
    assert endurance.pause(AWAY, now=1050) > 0
    with pytest.raises(Unreachable):
        endurance.pause(AWAY, now=1060)


def test_a_frame_ends_an_outage() -> None:
    endurance = Endurance(None, outage=60, now=0)
    endurance.pause(AWAY, now=0)
    endurance.heard()

    assert endurance.pause(AWAY, now=59.9) > 0


def test_a_stream_with_a_limit_ends_with_it() -> None:
    endurance = Endurance(10, outage=60, now=100)

    assert endurance.time_left(104) == 6
    assert endurance.pause(AWAY, now=104) > 0
    for failure, now in ((AWAY, 109.9), (LATE, 104)):
        with pytest.raises(type(failure)):
            endurance.pause(failure, now=now)


def test_a_stream_is_not_opened_again_once_it_was_refused() -> None:
    refused = errors.ResumeTokenExpired("x")

    with pytest.raises(errors.ResumeTokenExpired):
        Endurance(None, outage=60, now=0).pause(refused, now=0)


def test_a_stream_that_a_stopping_server_has_not_looked_at_is_opened_again() -> None:
    assert Endurance(None, outage=30, now=0).pause(CUT_OFF, now=1) > 0
