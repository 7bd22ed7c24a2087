"""What an attempt came to, and what becomes of its task."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeAlias

from tandem import limits
from tandem.handlers import DoNotRetry, Handler, RetryLater
from tandem.outcomes import (
    Claimed,
    Ending,
    Outcome,
    Raised,
    Reason,
    Returned,
    StopCause,
    given_back,
)
from tandem.results import (
    Unstorable,
    check_size,
    encode_result,
    plain_message,
    plain_text,
)
from tandem.states import TaskState

Chance: TypeAlias = Callable[[float, float], float]
"""A number from the first to the second."""

MAX_CRASHES: Final = 3
"""A task that was running in so many crashes, one after the other, is taken for their cause."""

LONGEST_DOUBLING: Final = 40
"""Doublings after which any backoff has met its bound; more would overflow."""


def judge(
    claimed: Claimed,
    handler: Handler,
    *,
    ending: Ending,
    cause: StopCause | None,
    kept_bytes: int = 0,
    chance: Chance = random.uniform,
) -> Outcome | None:
    """The outcome of an attempt; None where there is nothing left to report.

    `kept_bytes` is the size of the stage results that the task has kept.
    """
    if cause is StopCause.LEASE_LOST:
        return None
    if cause is StopCause.TIMEOUT:
        limit = timeout_of(claimed, handler)
        return _failed(
            claimed,
            handler,
            reason=Reason.TIMEOUT,
            message=f"ran longer than {limit}",
            chance=chance,
        )
    if isinstance(ending, Returned):
        return _returned(claimed, handler, ending.value, kept_bytes, chance)
    if cause is StopCause.DRAIN:
        return given_back(claimed.task_id, claimed.claim)
    if cause is StopCause.CANCEL_REQUESTED:
        return _cancelled(claimed, ending)
    assert isinstance(ending, Raised)
    return _raised(claimed, handler, ending.error, chance)


def unstorable(
    claimed: Claimed,
    handler: Handler,
    message: str,
    *,
    chance: Chance = random.uniform,
) -> Outcome:
    """The attempt failed, since what it returned cannot be kept."""
    return _failed(
        claimed,
        handler,
        reason=Reason.UNSTORABLE_RESULT,
        message=plain_text(message),
        chance=chance,
    )


def broken_down(claimed: Claimed, handler: Handler) -> Outcome:
    """The handler ran, and a defect of the processor kept what it came to.

    The attempt is spent: a defect that returns each time must not run it for ever.
    """
    return _failed(
        claimed,
        handler,
        reason=Reason.CRASHED,
        message="a defect of the processor lost what the attempt came to",
    )


def _returned(
    claimed: Claimed, handler: Handler, value: Any, kept_bytes: int, chance: Chance
) -> Outcome:
    try:
        result = encode_result(value)
        if result is not None:
            check_size("the result", result, kept_bytes=kept_bytes)
    except Unstorable as error:
        return unstorable(claimed, handler, str(error), chance=chance)
    return Outcome(
        task_id=claimed.task_id,
        claim=claimed.claim,
        state=TaskState.SUCCEEDED,
        result=result,
    )


def _cancelled(claimed: Claimed, ending: Ending) -> Outcome:
    ignored = ending is None
    return Outcome(
        task_id=claimed.task_id,
        claim=claimed.claim,
        state=TaskState.CANCELLED,
        reason=Reason.CANCEL_IGNORED if ignored else None,
        message="the handler went on after it was asked to stop" if ignored else None,
    )


def _raised(
    claimed: Claimed, handler: Handler, error: BaseException, chance: Chance
) -> Outcome:
    message = plain_message(error)
    if isinstance(error, DoNotRetry):
        return _given_up(claimed, Reason.DO_NOT_RETRY, message)
    if isinstance(error, Unstorable):
        return unstorable(claimed, handler, str(error), chance=chance)
    after = error.after if isinstance(error, RetryLater) else None
    return _failed(
        claimed,
        handler,
        reason=Reason.HANDLER_ERROR,
        message=message,
        after=after,
        chance=chance,
    )


def _given_up(claimed: Claimed, reason: Reason, message: str) -> Outcome:
    return Outcome(
        task_id=claimed.task_id,
        claim=claimed.claim,
        state=TaskState.FAILED,
        reason=reason,
        message=message,
    )


def _failed(
    claimed: Claimed,
    handler: Handler,
    *,
    reason: Reason,
    message: str,
    after: timedelta | None = None,
    chance: Chance = random.uniform,
) -> Outcome:
    if claimed.attempt >= max_attempts_of(claimed, handler):
        return _given_up(claimed, reason, message)
    if after is None:
        after = backoff(claimed, handler, chance=chance)
    return Outcome(
        task_id=claimed.task_id,
        claim=claimed.claim,
        state=TaskState.PENDING,
        reason=reason,
        message=message,
        delay=min(max(after, timedelta(0)), limits.MAX_START_DELAY),
    )


def max_attempts_of(claimed: Claimed, handler: Handler) -> int:
    """The spec's, else the handler's, else the service's."""
    return (
        claimed.max_attempts
        or handler.retry.max_attempts
        or limits.DEFAULT_MAX_ATTEMPTS
    )


def timeout_of(claimed: Claimed, handler: Handler) -> timedelta | None:
    """The spec's, else the handler's, else none."""
    return claimed.attempt_timeout or handler.timeout


def backoff(
    claimed: Claimed,
    handler: Handler,
    *,
    chance: Chance = random.uniform,
) -> timedelta:
    """Somewhere between nothing and the doubled wait: retries that began together part."""
    first = _first(
        claimed.initial_backoff,
        handler.retry.initial_backoff,
        limits.DEFAULT_INITIAL_BACKOFF,
    )
    most = _first(
        claimed.max_backoff, handler.retry.max_backoff, limits.DEFAULT_MAX_BACKOFF
    )
    doublings = min(claimed.attempt - 1, LONGEST_DOUBLING)
    seconds = min(first.total_seconds() * 2**doublings, most.total_seconds())
    return timedelta(seconds=chance(0, seconds))


def _first(*spans: timedelta | None) -> timedelta:
    return next(span for span in spans if span is not None)
