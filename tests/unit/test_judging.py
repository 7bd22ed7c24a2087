from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tandem import limits
from tandem.handlers import DoNotRetry, Handler, RetryLater, RetryPolicy
from tandem.judging import backoff, judge, max_attempts_of, timeout_of
from tandem.outcomes import (
    Claimed,
    Ending,
    Outcome,
    Raised,
    Reason,
    Returned,
    StopCause,
)
from tandem.states import TaskState

SECOND = timedelta(seconds=1)

UNSET = (
    "payload",
    "labels",
    "title",
    "external_id",
    "max_attempts",
    "initial_backoff",
    "max_backoff",
    "attempt_timeout",
)


def claimed(**fields: Any) -> Claimed:
    unset = dict.fromkeys(UNSET)
    ids = {"task_id": uuid4(), "request_id": uuid4(), "project": "acme", "type": "echo"}
    return Claimed(**{**unset, **ids, "attempt": 1, "claim": 1, **fields})


def handler(*, timeout: timedelta | None = None, **retry: Any) -> Handler:
    return Handler(
        type="echo",
        function=print,
        is_async=False,
        retry=RetryPolicy(**retry),
        timeout=timeout,
    )


def judged(
    ending: Ending, cause: StopCause | None = None, **fields: Any
) -> Outcome | None:
    return judge(claimed(**fields), handler(), ending=ending, cause=cause)


def told(ending: Ending, cause: StopCause | None = None, **fields: Any) -> Outcome:
    outcome = judged(ending, cause, **fields)
    assert outcome is not None
    return outcome


def test_what_a_handler_returns_is_kept_as_canonical_json() -> None:
    outcome = told(Returned({"b": 1.0, "a": [True, None]}))

    assert outcome.state is TaskState.SUCCEEDED
    assert outcome.result == '{"a":[true,null],"b":1}'


def test_a_handler_may_return_nothing() -> None:
    assert told(Returned(None)).result is None


@pytest.mark.parametrize(
    "value", [[1], "text", {"x": float("nan")}, {1: 2}, {"x": {1}}]
)
def test_a_result_that_is_no_json_object_fails_the_attempt(value: Any) -> None:
    outcome = told(Returned(value))

    assert (outcome.state, outcome.reason) == (
        TaskState.PENDING,
        Reason.UNSTORABLE_RESULT,
    )


def test_an_exception_is_told_without_its_stack() -> None:
    outcome = told(Raised(RuntimeError("no\0 luck")))

    assert outcome.state is TaskState.PENDING
    assert (outcome.reason, outcome.message) == (
        Reason.HANDLER_ERROR,
        "RuntimeError: no\\0 luck",
    )


def test_a_long_message_is_cut_to_the_limit() -> None:
    message = told(Raised(RuntimeError("x" * 10_000))).message

    assert message is not None
    assert len(message) == limits.MAX_ERROR_MESSAGE


def test_the_last_attempt_that_fails_fails_the_task() -> None:
    outcome = told(Raised(RuntimeError("boom")), max_attempts=3, attempt=3)

    assert outcome.state is TaskState.FAILED


def test_do_not_retry_fails_the_task_at_its_first_attempt() -> None:
    outcome = told(Raised(DoNotRetry("no such topic")))

    assert (outcome.state, outcome.reason) == (TaskState.FAILED, Reason.DO_NOT_RETRY)


def test_retry_later_decides_when_and_still_spends_the_attempt() -> None:
    again = told(Raised(RetryLater(timedelta(minutes=3))))
    spent = told(Raised(RetryLater(timedelta(minutes=3))), max_attempts=1)

    assert (again.state, again.delay) == (TaskState.PENDING, timedelta(minutes=3))
    assert again.spends_attempt
    assert spent.state is TaskState.FAILED


def test_an_attempt_that_ran_too_long_failed_whatever_it_returned() -> None:
    outcome = told(Returned({}), StopCause.TIMEOUT, attempt_timeout=SECOND)

    assert (outcome.state, outcome.reason) == (TaskState.PENDING, Reason.TIMEOUT)


@pytest.mark.parametrize("ending", [None, Raised(asyncio.CancelledError())])
def test_p11_a_drained_attempt_is_given_back_unspent(ending: Ending) -> None:
    outcome = told(ending, StopCause.DRAIN)

    assert outcome.state is TaskState.PENDING
    assert (outcome.spends_attempt, outcome.delay) == (False, timedelta(0))


@pytest.mark.parametrize("cause", [StopCause.DRAIN, StopCause.CANCEL_REQUESTED])
def test_a_handler_that_was_done_when_it_was_stopped_succeeded(
    cause: StopCause,
) -> None:
    assert told(Returned({}), cause).state is TaskState.SUCCEEDED


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(Raised(asyncio.CancelledError()), None), (None, Reason.CANCEL_IGNORED)],
)
def test_a_task_asked_to_cancel_is_cancelled(
    ending: Ending, reason: Reason | None
) -> None:
    outcome = told(ending, StopCause.CANCEL_REQUESTED)

    assert (outcome.state, outcome.reason) == (TaskState.CANCELLED, reason)


def test_nothing_is_reported_of_a_lost_lease() -> None:
    assert judged(Returned({}), StopCause.LEASE_LOST) is None


def test_a_handler_that_cancels_itself_failed() -> None:
    outcome = told(Raised(asyncio.CancelledError()))

    assert outcome.reason is Reason.HANDLER_ERROR


def test_the_spec_comes_before_the_handler_and_the_handler_before_the_service() -> None:
    assert max_attempts_of(claimed(max_attempts=2), handler(max_attempts=3)) == 2
    assert max_attempts_of(claimed(), handler(max_attempts=3)) == 3
    assert max_attempts_of(claimed(), handler()) == limits.DEFAULT_MAX_ATTEMPTS
    spec, own = timedelta(seconds=1), timedelta(seconds=2)
    assert timeout_of(claimed(attempt_timeout=spec), handler(timeout=own)) == spec
    assert timeout_of(claimed(), handler(timeout=own)) == own
    assert timeout_of(claimed(), handler()) is None


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (5, 10), (100, 10)]
)
def test_the_wait_doubles_up_to_its_bound(attempt: int, seconds: float) -> None:
    fields = {"initial_backoff": SECOND, "max_backoff": 10 * SECOND}

    wait = backoff(
        claimed(attempt=attempt, **fields), handler(), chance=lambda _, most: most
    )

    assert wait == timedelta(seconds=seconds)


def test_the_wait_may_be_any_part_of_it() -> None:
    assert backoff(claimed(), handler(), chance=lambda least, _: least) == timedelta(0)
