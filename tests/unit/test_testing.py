"""The kit for handlers' tests: each situation, for handlers of both kinds."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tandem import limits
from tandem.errors import InvalidRequest
from tandem.handlers import (
    AttemptStopped,
    BlockingContext,
    Context,
    DoNotRetry,
    Handlers,
    RetryLater,
    RetryPolicy,
)
from tandem.testing import (
    HandlerTest,
    Line,
    NotReached,
    Point,
    Reason,
    StillRunning,
    Stop,
    TaskState,
    begun,
    kept,
    noted,
    progressed,
    unkept,
    unnoted,
)
from tests.support.tried import Mail, tried

MINUTE = timedelta(minutes=1)

HUGE = "x" * (limits.MAX_OUTPUT_BYTES + 1)


@pytest.fixture(params=["async", "plain"])
def mail(request: pytest.FixtureRequest) -> Mail:
    return Mail(request.param)


def test_a_handler_is_run_and_all_that_it_said_is_there(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail", {"to": "Ada"}, title="a title")

    ended = test.run()

    assert ended.value() == {"receipt": "sent to Ada", "title": "a title"}
    assert (ended.state, ended.attempt, ended.reason) == (TaskState.SUCCEEDED, 1, None)
    assert {name: s.result for name, s in test.stages.items()} == {
        "draft": "Dear Ada",
        "send": "sent to Ada",
    }
    assert test.annotations == {"provider_id": "remote-1"}
    assert test.progress == 1
    assert test.lines == (Line("info", "sent", {"to": "Ada"}),)


async def test_a_handler_is_run_inside_a_running_loop_as_well(mail: Mail) -> None:
    assert HandlerTest(mail.handlers, "mail", {"to": "Ada"}).run().value()
    assert (await HandlerTest(mail.handlers, "mail", {"to": "Ada"}).run_async()).value()


async def test_an_async_handler_may_share_the_loop_of_its_test() -> None:
    here = asyncio.get_running_loop()

    async def look(ctx: Context) -> dict[str, Any]:
        return {"shared": asyncio.get_running_loop() is here}

    test, again = tried(look), tried(look)

    assert (await test.run_async()).value() == {"shared": True}
    assert again.run().value() == {"shared": False}


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


def test_a_task_whose_attempts_are_spent_has_one_more_when_it_is_retried() -> None:
    test = tried(raising(RuntimeError("boom")), max_attempts=1)
    test.run()

    test.retry()

    assert (test.run().state, test.attempts) == (TaskState.FAILED, 2)


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


def test_backoffs_double_up_to_the_longest_and_the_clock_goes_along() -> None:
    retry = RetryPolicy(
        max_attempts=5, initial_backoff=MINUTE, max_backoff=timedelta(minutes=3)
    )
    test = tried(raising(RuntimeError("boom")), retry=retry)
    start = test.now

    ends = [test.run() for _ in range(5)]

    assert [ended.delay for ended in ends] == [
        MINUTE,
        2 * MINUTE,
        3 * MINUTE,
        3 * MINUTE,
        None,
    ]
    assert ends[-1].state is TaskState.FAILED
    assert test.now == start + 9 * MINUTE


def test_chance_may_be_chosen() -> None:
    test = tried(
        raising(RuntimeError("boom")),
        retry=RetryPolicy(initial_backoff=MINUTE),
        chance=lambda least, most: (least + most) / 2,
    )

    assert test.run().delay == MINUTE / 2


@pytest.mark.parametrize(
    ("error", "state", "reason", "delay"),
    [
        (DoNotRetry("no"), TaskState.FAILED, Reason.DO_NOT_RETRY, None),
        (
            RetryLater(timedelta(hours=2)),
            TaskState.PENDING,
            Reason.HANDLER_ERROR,
            timedelta(hours=2),
        ),
        (
            RuntimeError("boom"),
            TaskState.PENDING,
            Reason.HANDLER_ERROR,
            limits.DEFAULT_INITIAL_BACKOFF,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_handler_raises_is_judged(
    error: Exception, state: TaskState, reason: Reason, delay: timedelta | None
) -> None:
    ended = tried(raising(error)).run()

    assert (ended.state, ended.reason, ended.delay) == (state, reason, delay)
    assert ended.error is error
    with pytest.raises(type(error)):
        ended.value()


@pytest.mark.parametrize(
    "result",
    [
        [1],
        "text",
        {"n": 2**53},
        {"n": float("nan")},
        {1: 2},
        {"x": HUGE},
        {"o": object()},
    ],
    ids=["list", "text", "integer", "nan", "key", "size", "object"],
)
def test_a_result_that_could_not_be_kept_fails_here_as_there(result: Any) -> None:
    assert tried(lambda ctx: result).run().reason is Reason.UNSTORABLE_RESULT


def test_the_result_and_the_kept_stages_share_their_room() -> None:
    half = "x" * (limits.MAX_OUTPUT_BYTES // 2)

    def fill(ctx: BlockingContext) -> dict[str, str]:
        ctx.stage("first", lambda: half)
        return {"second": half}

    ended = tried(fill).run()

    assert ended.reason is Reason.UNSTORABLE_RESULT
    assert "takes the task's results over" in ended.message


Word = Callable[[BlockingContext], Any]

REFUSED: dict[str, Word] = {
    "a stage's name": lambda ctx: ctx.stage("a b", str),
    "a stage's result": lambda ctx: ctx.stage("a", object),
    "a stage's size": lambda ctx: ctx.stage("a", lambda: HUGE),
    "progress": lambda ctx: ctx.progress(1.1),
    "an annotation's name": lambda ctx: ctx.annotate(**{"a b": "x"}),
    "an annotation's length": lambda ctx: ctx.annotate(a="x" * 256),
    "annotations": lambda ctx: ctx.annotate(**{f"a{n}": "x" for n in range(17)}),
}


@pytest.mark.parametrize("word", REFUSED.values(), ids=list(REFUSED))
def test_a_word_that_would_be_refused_is_refused_here(word: Word) -> None:
    ended = tried(word).run()

    assert ended.state is TaskState.PENDING
    assert isinstance(ended.error, ValueError)


def test_the_annotations_of_earlier_attempts_count() -> None:
    def note(ctx: BlockingContext) -> None:
        for number in range(10):
            ctx.annotate(**{f"a{ctx.attempt}-{number}": "x"})
        raise RuntimeError("again")

    test = tried(note)
    errors = [str(test.run().error) for _ in range(2)]

    assert errors[0] == "again"
    assert errors[1].startswith("a task has at most 16 annotations")
    assert len(test.annotations) == 16


def test_a_payload_that_could_not_be_created_is_refused(mail: Mail) -> None:
    with pytest.raises(InvalidRequest, match=r"spec\.payload is 65,5.. bytes"):
        HandlerTest(mail.handlers, "mail", {"to": "x" * 65_536})


def test_a_handler_gets_its_payload_as_it_comes_out_of_the_database() -> None:
    def look(ctx: BlockingContext) -> dict[str, str]:
        return {key: type(value).__name__ for key, value in ctx.payload.items()}

    test = tried(look, {"whole": 2.0, "pair": (1, 2)})

    assert test.run().value() == {"whole": "int", "pair": "list"}


def test_the_idempotency_key_is_the_same_in_every_attempt() -> None:
    keys: list[str] = []

    def note(ctx: BlockingContext) -> None:
        keys.append(ctx.idempotency_key)
        raise RuntimeError("again")

    test = tried(note)
    test.run()
    test.run()

    assert keys == [test.task_id] * 2


def test_a_point_that_is_never_reached_fails_the_test(mail: Mail) -> None:
    with pytest.raises(NotReached, match=r"before kept\('dratf'\)"):
        HandlerTest(mail.handlers, "mail", {"to": "Ada"}).run(
            Stop.CRASH, at=kept("dratf")
        )


def test_a_point_that_is_never_reached_shows_what_the_handler_raised() -> None:
    with pytest.raises(NotReached) as missed:
        tried(raising(RuntimeError("boom"))).run(Stop.CRASH, at=kept("draft"))

    assert repr(missed.value.__cause__) == "RuntimeError('boom')"


def test_a_handler_that_hangs_fails_the_test() -> None:
    async def hang(ctx: Context) -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - that is the fault

    with pytest.raises(StillRunning, match=r"for over 0\.05 s"):
        tried(hang, within=0.05).run()


def test_a_stop_and_a_point_come_together(mail: Mail) -> None:
    test = HandlerTest(mail.handlers, "mail")

    with pytest.raises(ValueError, match="needs a point"):
        test.run(Stop.CRASH)
    with pytest.raises(ValueError, match="no attempt is under way"):
        test.stop(Stop.CRASH)


def test_a_type_without_a_handler_is_named() -> None:
    with pytest.raises(ValueError, match="no handler for 'male'"):
        HandlerTest(Handlers(), "male")


def raising(error: Exception) -> Callable[[BlockingContext], None]:
    def fail(ctx: BlockingContext) -> None:
        raise error

    return fail
