"""From a failed call to the exception that its reason stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

import grpc

from tandem.client.advice import advice
from tandem.client.reasons import Reason, reason_of
from tandem.errors import BY_REASON, TandemError, Violation


class CallFailed(TandemError):
    """A call failed for a reason that is not Tandem's, or newer than this client.

    `reason` is what the server said, or empty.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(message, violations=violations)
        self.code = code
        self.reason = reason


class Unreachable(CallFailed):
    """No service answered there, or the connection broke before the answer."""


class TimedOut(CallFailed):
    """The time was over before the answer came: what the call did is not known."""


CLOSED_HERE: Final = "Channel closed!"
"""What grpcio says of a blocking call whose own channel was closed meanwhile."""

_KINDS: Final = MappingProxyType(
    {
        grpc.StatusCode.UNAVAILABLE: Unreachable,
        grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    }
)


def failure_of(error: grpc.RpcError) -> TandemError:
    """The failed call as an exception: one class for each reason in `tandem.errors`.

    CallFailed, Unreachable or TimedOut where the answer names none of these reasons.
    """
    reason = reason_of(error)
    if reason is None and _was_dropped(error):
        message = "the service stopped and dropped the call"
        return Unreachable(message, code=grpc.StatusCode.UNAVAILABLE)
    if reason is None:
        kind = _KINDS.get(error.code(), CallFailed)
        return kind(_told(error), code=error.code())
    failure = _typed(reason, error.code())
    failure.metadata = dict(reason.metadata)
    if reason.retry_after is not None:
        failure.retry_after = reason.retry_after
    return failure


def _told(error: grpc.RpcError) -> str:
    said = error.details() or error.code().name
    todo = advice(error)
    return f"{said}: {todo}" if todo else said


def _was_dropped(error: grpc.RpcError) -> bool:
    """Whether a service that shuts down let go of a call before it looked at it.

    gRPC says CANCELLED of calls that arrive while a server stops, although nobody
    cancelled them.
    """
    is_ours = error.details() == CLOSED_HERE
    return error.code() is grpc.StatusCode.CANCELLED and not is_ours


def _typed(reason: Reason, code: grpc.StatusCode) -> TandemError:
    message = reason.message.removeprefix(f"{reason.reason}: ")
    if kind := BY_REASON.get(reason.reason):
        return kind(message, violations=reason.violations)
    return CallFailed(
        message, code=code, reason=reason.reason, violations=reason.violations
    )


def silent(seconds: float) -> Unreachable:
    """A stream without a frame for so long is dead, whatever its connection says."""
    message = f"the stream was silent for {seconds:g} s"
    return Unreachable(message, code=grpc.StatusCode.UNAVAILABLE)


@contextmanager
def naming(**ids: str) -> Iterator[None]:
    """Failures of the block carry the ids that a repeat needs."""
    try:
        yield
    except TandemError as failure:
        failure.metadata = {**ids, **failure.metadata}
        raise
