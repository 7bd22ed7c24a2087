"""What became of a create."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tandem.v1 import creator_pb2, task_pb2

Response = creator_pb2.CreateTaskResponse


class Outcome(StrEnum):
    """How a create found or made its task."""

    CREATED = "CREATED"
    """This call made it."""

    REPLAYED = "REPLAYED"
    """The same request id made it earlier."""

    EXISTING = "EXISTING"
    """Another request made it: its external id or its content matched."""


class ExistingReason(StrEnum):
    """Which rule found another request's task."""

    EXTERNAL_ID = "EXTERNAL_ID"
    CONTENT_WINDOW = "CONTENT_WINDOW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The one task of an intended call."""

    task: task_pb2.Task
    """As it is now."""

    outcome: Outcome
    request_id: str
    """The one that was sent, or that the service made. Lower case."""

    differing_fields: tuple[str, ...] = ()
    """With EXISTING: paths of what was asked and differs in the task."""

    existing_reason: ExistingReason | None = None

    @classmethod
    def of(cls, response: Response) -> Created:
        outcome = Response.Outcome.Name(response.outcome)
        return cls(
            task=response.task,
            outcome=Outcome(outcome.removeprefix("OUTCOME_")),
            request_id=response.request_id,
            differing_fields=tuple(response.differing_fields),
            existing_reason=_reason(response.existing_reason),
        )


def _reason(reason: creator_pb2.ExistingReason.ValueType) -> ExistingReason | None:
    if reason == creator_pb2.EXISTING_REASON_UNSPECIFIED:
        return None
    name = creator_pb2.ExistingReason.Name(reason)
    return ExistingReason(name.removeprefix("EXISTING_REASON_"))
