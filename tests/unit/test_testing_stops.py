"""The kit for handlers' tests: attempts that are stopped, at any point or at any moment."""

from __future__ import annotations

import asyncio
import gc
import threading
from datetime import timedelta
from typing import Any

import pytest

from tandem.handlers import (
    AttemptStopped,
    BlockingContext,
    Context,
)
from tandem.testing import (
    HandlerTest,
    NotReached,
    Point,
    Reason,
    Stop,
    TaskState,
    begun,
    kept,
    noted,
    progressed,
    unkept,
    unnoted,
)
from tests.support.tried import Mail, raising, tried

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["async", "plain"])
def mail(request: pytest.FixtureRequest) -> Mail:
    return Mail(request.param)


@pytest.mark.parametrize(
    ("at", "calls"),
    [
        (begun("draft"), ["draft", "send"]),
        (unkept("draft"), ["draft", "draft", "send"]),
        (kept("draft"), ["draft", "send"]),
        (progressed(0.5), ["draft", "send"]),
        (unkept("send"), ["draft", "send", "send"]),
        (kept("send"), ["draft", "send"]),
        (unnoted("provider_id"), ["draft", "send"]),
        (noted("provider_id"), ["draft", "send"]),
    ],
    ids=str,
)
def test_after_a_crash_the_next_attempt_goes_on_from_what_was_kept(
    mail: Mail, at: Point, calls: list[str]
) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    died = test.run(Stop.CRASH, at=at)
    noted_before = dict(test.annotations)
    ended = test.run()

    assert (died.state, died.reason) == (TaskState.PENDING, Reason.CRASHED)
    assert died.due_time == test.now
    assert mail.calls == calls
    assert ended.value()["receipt"] == "sent to Ada"
    assert bool(noted_before) == (at == noted("provider_id"))


def test_a_crash_inside_a_step_ends_the_step_there(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})
    mail.meanwhile = lambda: test.stop(Stop.CRASH)

    died = test.run()
    left = test.stages["draft"]
    mail.meanwhile = lambda: None
    test.run().value()

    assert died.reason is Reason.CRASHED
    assert left.state is TaskState.RUNNING
    assert mail.ends == ["draft", "send"]
    assert mail.calls == ["draft", "draft", "send"]


def test_a_stopped_attempt_has_no_value(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    ended = test.run(Stop.CRASH, at=kept("draft"))

    with pytest.raises(AssertionError, match="no success, but PENDING: CRASHED: its"):
        ended.value()


async def test_a_word_that_nobody_waits_for_is_no_forgotten_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mail = Mail("async")

    await HandlerTest(mail.handlers, "mail", {"to": "Ada"}).run_async(
        Stop.CRASH, at=unkept("draft")
    )
    gc.collect()

    assert caplog.records == []


def test_a_task_that_crashes_three_times_is_failed(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    states = [test.run(Stop.CRASH, at=begun("draft")).state for _ in range(3)]

    assert states == [TaskState.PENDING, TaskState.PENDING, TaskState.FAILED]


def test_only_crashes_in_a_row_add_up() -> None:
    test = tried(lambda ctx: ctx.stage(f"s{ctx.attempt}", int, "no number"))

    states = [
        test.run(Stop.CRASH, at=begun("s1")).state,
        test.run(Stop.CRASH, at=begun("s2")).state,
        test.run().state,
        test.run(Stop.CRASH, at=begun("s4")).state,
    ]

    assert states == [TaskState.PENDING] * 4


def test_a_crash_in_the_last_attempt_fails_the_task(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"}, max_attempts=1)

    assert test.run(Stop.CRASH, at=kept("draft")).state is TaskState.FAILED


def test_a_lost_lease_stops_the_handler_and_drops_its_result(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    ended = test.run(Stop.LEASE_LOST, at=unkept("draft"))

    assert (ended.state, ended.result) == (TaskState.PENDING, None)
    assert test.stages["draft"].state is TaskState.RUNNING
    assert isinstance(ended.error, asyncio.CancelledError | AttemptStopped)
    assert mail.calls == ["draft"]


def test_a_cancelled_task_is_cancelled_and_has_no_further_attempt(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    ended = test.run(Stop.CANCEL, at=kept("draft"))

    assert (ended.state, ended.reason) == (TaskState.CANCELLED, None)
    assert "send" not in mail.calls
    with pytest.raises(ValueError, match="no further attempt"):
        test.run()


def test_a_cancelled_task_that_is_retried_goes_on_from_what_was_kept(
    mail: Mail,
) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})
    test.run(Stop.CANCEL, at=kept("draft"))

    test.retry()

    assert (test.run().attempt, test.state) == (2, TaskState.SUCCEEDED)
    assert mail.calls == ["draft", "send"]
    with pytest.raises(ValueError, match="the task is SUCCEEDED"):
        test.retry()


def test_a_handler_that_succeeds_all_the_same_has_succeeded() -> None:
    def swallow(ctx: BlockingContext) -> dict[str, Any]:
        test.stop(Stop.CANCEL)
        return {"seen": ctx.cancelled.is_set()}

    test = tried(swallow)

    assert test.run().value() == {"seen": True}


def test_a_handler_that_ignores_its_cancellation_is_told_apart() -> None:
    over = threading.Event()

    def ignore(ctx: BlockingContext) -> None:
        test.stop(Stop.CANCEL)
        over.wait(20)

    test = tried(ignore, stop_seconds=0.05)
    ended = test.run()
    over.set()

    assert (ended.state, ended.reason) == (TaskState.CANCELLED, Reason.CANCEL_IGNORED)


def test_a_cancelled_task_that_crashes_is_cancelled(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    def cancel_and_crash() -> None:
        test.stop(Stop.CANCEL)
        test.stop(Stop.CRASH)

    mail.meanwhile = cancel_and_crash

    assert test.run().state is TaskState.CANCELLED


def test_a_drained_attempt_is_given_back_unspent_with_the_step_it_was_in() -> None:
    mail = Mail("async")
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    ended = test.run(Stop.DRAIN, at=unkept("draft"))

    assert (ended.state, ended.spends_attempt) == (TaskState.PENDING, False)
    assert test.attempts == 0
    assert test.run().value()
    assert mail.calls == ["draft", "send"]


def test_a_drained_plain_handler_that_still_ends_has_succeeded() -> None:
    mail = Mail("plain")
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"})

    assert test.run(Stop.DRAIN, at=unkept("draft")).state is TaskState.SUCCEEDED


def test_a_timeout_at_a_point_spends_the_attempt(mail: Mail) -> None:
    test = HandlerTest(
        mail.handlers,
        "mail",
        {"to": "Ada"},
        attempt_timeout=MINUTE,
        initial_backoff=MINUTE,
    )

    ended = test.run(Stop.TIMEOUT, at=begun("send"))

    assert (ended.state, ended.reason) == (TaskState.PENDING, Reason.TIMEOUT)
    assert ended.message == "ran longer than 0:01:00"
    assert (ended.delay, test.attempts) == (MINUTE, 1)


def test_time_that_passes_in_a_step_meets_the_timeout(mail: Mail) -> None:
    def after(span: timedelta) -> Reason | None:
        test = HandlerTest(
            mail.handlers, "mail", {"to": "Ada"}, attempt_timeout=2 * MINUTE
        )
        mail.meanwhile = lambda: test.advance(span)
        return test.run().reason

    # Each of the two steps takes that long.
    assert after(MINUTE / 2) is None
    assert after(MINUTE * 2) is Reason.TIMEOUT


def test_a_timeout_that_really_passes_counts_too() -> None:
    async def wait(ctx: Context) -> None:
        await asyncio.Event().wait()

    test = tried(wait, timeout=timedelta(milliseconds=20))

    assert test.run().reason is Reason.TIMEOUT


def test_a_stop_for_a_timeout_needs_one(mail: Mail) -> None:
    with pytest.raises(ValueError, match="has a timeout"):
        HandlerTest(mail.handlers, "mail").run(Stop.TIMEOUT, at=begun("draft"))


def test_a_point_that_is_never_reached_fails_the_test(mail: Mail) -> None:
    with pytest.raises(NotReached, match=r"before kept\('dratf'\)"):
        HandlerTest(mail.handlers, "mail", {"to": "Ada"}).run(
            Stop.CRASH, at=kept("dratf")
        )


def test_a_point_that_is_never_reached_shows_what_the_handler_raised() -> None:
    with pytest.raises(NotReached) as missed:
        tried(raising(RuntimeError("boom"))).run(Stop.CRASH, at=kept("draft"))

    assert repr(missed.value.__cause__) == "RuntimeError('boom')"


def test_a_stop_and_a_point_come_together(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail")

    with pytest.raises(ValueError, match="needs a point"):
        test.run(Stop.CRASH)
    with pytest.raises(ValueError, match="no attempt is under way"):
        test.stop(Stop.CRASH)
