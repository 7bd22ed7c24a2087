"""What a server said about a call that it refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.rpc import error_details_pb2, status_pb2

from tandem.errors import DETAILS_KEY, DOMAIN, Violation


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a call was refused. Branch on `reason`; the message may change."""

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Violation] = ()
    retry_after: float | None = None
    """Seconds until a repeat makes sense."""


def reason_of(error: grpc.RpcError) -> Reason | None:
    """The reason that the server gave; None where the answer is not Tandem's."""
    for key, value in getattr(error, "trailing_metadata", tuple)() or ():
        if key == DETAILS_KEY:
            return _read(status_pb2.Status.FromString(value))
    return None


def _read(status: status_pb2.Status) -> Reason | None:
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    found = [
        detail.Unpack(part) for part in (info, bad, retry) for detail in status.details
    ]
    if not any(found) or info.domain != DOMAIN:
        return None
    return Reason(
        reason=info.reason,
        message=status.message,
        metadata=dict(info.metadata),
        violations=[Violation(v.field, v.description) for v in bad.field_violations],
        retry_after=(
            retry.retry_delay.ToTimedelta().total_seconds()
            if retry.HasField("retry_delay")
            else None
        ),
    )
