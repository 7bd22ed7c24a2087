"""What is claimed, how its handler ends, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, StrEnum, auto
from typing import Any, NamedTuple
from uuid import UUID

from tandem.states import TaskState


class Claimed(NamedTuple):
    """A task that this processor holds, with all that its handler needs.

    Its fields stand in the order of the columns that a claim answers.
    """

    task_id: UUID
    request_id: UUID
    project: str
    type: str
    payload: str | None
    labels: str | None
    title: str | None
    external_id: str | None
    attempt: int
    claim: int
    max_attempts: int | None
    initial_backoff: timedelta | None
    max_backoff: timedelta | None
    attempt_timeout: timedelta | None
    is_suspect: bool = False
    """A processor crashed while it ran, and it has not survived an attempt since."""

    queue: str = ""
    trace_context: str | None = None
    """The traceparent of the call that created it."""

    age: float = 0.0
    """Seconds from its creation to this claim, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler came to its end."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised, or was cancelled."""

    error: BaseException


Ending = Returned | Raised | None
"""None: it had to stop, and has not ended yet."""


class StopCause(Enum):
    """Why an attempt is stopped before its end."""

    LEASE_LOST = auto()
    TIMEOUT = auto()
    CANCEL_REQUESTED = auto()
    DRAIN = auto()


class Reason(StrEnum):
    """Why an attempt ended badly, as the contract spells it."""

    HANDLER_ERROR = "HANDLER_ERROR"
    TIMEOUT = "TIMEOUT"
    CRASHED = "CRASHED"
    DO_NOT_RETRY = "DO_NOT_RETRY"
    UNSTORABLE_RESULT = "UNSTORABLE_RESULT"
    CANCEL_IGNORED = "CANCEL_IGNORED"


class Outcome(NamedTuple):
    """What is reported of one claim."""

    task_id: UUID
    claim: int
    state: TaskState
    result: str | None = None
    reason: Reason | None = None
    message: str | None = None
    delay: timedelta = timedelta(0)
    """With PENDING: how long until it is due."""

    spends_attempt: bool = True


def given_back(task_id: UUID, claim: int) -> Outcome:
    """The task is due again at once, and no attempt is spent."""
    return Outcome(
        task_id=task_id, claim=claim, state=TaskState.PENDING, spends_attempt=False
    )
