"""What can go wrong, and what a caller is told about it: the one table.

Services raise these; `tandem.calls` alone turns them into a status. On the
wire each is a google.rpc.Status with one ErrorInfo, so clients branch on
`reason` and never on the words of the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tandem import fitting

DOMAIN: Final = "tandem"
DETAILS_KEY: Final = "grpc-status-details-bin"
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault, by its path in the request, and what is wrong with it."""

    field: str
    description: str


class TandemError(Exception):
    """An outcome that the caller can act upon."""

    code: grpc.StatusCode
    reason: str
    retry_after: float | None = None
    """Seconds until a repeat makes sense; None where a repeat changes nothing."""

    def __init__(
        self, message: str, *, violations: Sequence[Violation] = (), **metadata: str
    ) -> None:
        super().__init__(message)
        self.violations = tuple(violations)
        self.metadata = metadata

    @property
    def told(self) -> str:
        """The message as it goes over the wire. It begins with the reason."""
        return fitting.cut(f"{self.reason}: {self}", fitting.MESSAGE_BYTES)

    def to_status(self) -> status_pb2.Status:
        """The status as it goes over the wire, ErrorInfo first.

        It fits into what any client accepts: of many violations the last names the
        rest in short.
        """
        status = status_pb2.Status(code=self.code.value[0], message=self.told)
        _pack(status, self._info())
        if self.violations:
            room = fitting.DETAILS_BYTES - status.ByteSize()
            _pack(status, self._bad_request(room))
        if self.retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(int(self.retry_after * 1000))
            _pack(status, retry)
        return status

    def _info(self) -> Message:
        metadata = {
            key: fitting.cut(value, fitting.VALUE_BYTES)
            for key, value in self.metadata.items()
        }
        info: Message = error_details_pb2.ErrorInfo(
            reason=self.reason, domain=DOMAIN, metadata=metadata
        )
        return info

    def _bad_request(self, room: int) -> Message:
        named = [(v.field, v.description) for v in self.violations]
        bad: Message = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=path, description=description
                )
                for path, description in fitting.fitting(named, room=room)
            ]
        )
        return bad

    def trailers(self) -> tuple[tuple[str, str | bytes], ...]:
        """Trailing metadata: the status, and the pushback that gRPC's own retry obeys."""
        details = (DETAILS_KEY, self.to_status().SerializeToString())
        if self.retry_after is None:
            return (details,)
        return (details, (PUSHBACK_KEY, str(int(self.retry_after * 1000))))


def _pack(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


class InvalidRequest(TandemError):
    """Fields of the request break their limits; nothing was stored."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"


class RequestIdReused(TandemError):
    """The request id was spent on other content; the stored task is untouched."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "REQUEST_ID_REUSED"


class ExternalIdTaken(TandemError):
    """Another request holds the external id, and the caller asked for a refusal."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "EXTERNAL_ID_TAKEN"


class Unauthenticated(TandemError):
    """The call has no credentials, or none that are valid now. It says no more."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class IssuerUnavailable(TandemError):
    """Nobody can say yet whether the token is valid. Send the same request later."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "ISSUER_UNAVAILABLE"
    retry_after = 1.0


class PermissionDenied(TandemError):
    """The caller's scopes do not allow this, whatever exists."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class RateLimited(TandemError):
    """The caller makes more calls than it may. Send the same request later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"
    retry_after = 1.0


class TaskNotFound(TandemError):
    """No task that the caller may read has this id."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "TASK_NOT_FOUND"


class ResumeTokenExpired(TandemError):
    """The place is older than retention, or of another history."""

    code = grpc.StatusCode.OUT_OF_RANGE
    reason = "RESUME_TOKEN_EXPIRED"


class TransitionRefused(TandemError):
    """The task's state does not lead to the one asked for."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "TRANSITION_REFUSED"


class LeaseLost(TandemError):
    """The claim is no longer held; the write changed nothing."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "LEASE_LOST"


class ResultConflict(TandemError):
    """Another result is stored for the same claim, and stays."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "RESULT_CONFLICT"


class OutcomeUnknown(TandemError):
    """The commit's answer was lost, and no id of the caller's makes a repeat safe."""

    code = grpc.StatusCode.ABORTED
    reason = "OUTCOME_UNKNOWN"


class StoreRefused(TandemError):
    """The database refused what passed every check; nothing was stored."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "STORE_REFUSED"


class StoreUnavailable(TandemError):
    """The database is away, busy, or did not answer. Send the same request again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"
    retry_after = 0.25


class Stopping(TandemError):
    """This process is shutting down. Another one serves the same request."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "STOPPING"
    retry_after = 0.1


class Overloaded(TandemError):
    """More is waiting than this process accepts. Send the same request later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"
    retry_after = 1.0


class NotBuilt(TandemError):
    """The method is part of the contract and not yet of this service."""

    code = grpc.StatusCode.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


BY_REASON: Final[Mapping[str, type[TandemError]]] = MappingProxyType(
    {error.reason: error for error in TandemError.__subclasses__()}
)
"""The table, as a client reads it."""
