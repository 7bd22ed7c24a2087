"""A task as a caller wants it: checked, and not yet anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntFlag
from typing import Final
from uuid import UUID

from asyncpg.pgproto import pgproto
from uuid_utils import uuid7

from tandem import limits
from tandem.v1 import creator_pb2, task_pb2

DEFAULT_PRIORITY: Final = task_pb2.PRIORITY_NORMAL


class Defaulted(IntFlag):
    """Fields that were unset, where the value in effect is stored instead.

    A field that is stored as NULL when it is unset needs no bit. The numbers are
    in the database: none may ever change.
    """

    QUEUE = 1
    PRIORITY = 2


NOTHING_DEFAULTED: Final = Defaulted(0)


def new_task_id() -> UUID:
    """A UUIDv7, as the driver makes UUIDs: they are read and written in no time."""
    task_id: UUID = pgproto.UUID(uuid7().bytes)
    return task_id


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which equal content is the same task."""

    length: timedelta
    content_key: bytes
    """Equal for equal content; 32 bytes."""


# Not frozen, although nothing ever changes it: setting so many fields of a frozen
# one takes four times as long, and every create does.
@dataclass(slots=True, kw_only=True, eq=False)
class Draft:
    """A create that passed every check. None and empty maps stand for unset."""

    project: str
    type: str
    request_id: UUID
    has_own_request_id: bool
    """Whether the caller gave it; if not, a repeat cannot be recognised by it."""

    external_id: str | None = None
    queue: str = limits.DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    payload: str | None = None
    """Canonical JSON."""

    labels: str | None = None
    """Canonical JSON."""

    title: str | None = None
    not_before_time: datetime | None = None
    start_delay: timedelta | None = None
    max_attempts: int | None = None
    initial_backoff: timedelta | None = None
    max_backoff: timedelta | None = None
    attempt_timeout: timedelta | None = None
    defaulted: Defaulted = NOTHING_DEFAULTED
    created_by: str | None = None
    trace_context: str | None = None
    policy: creator_pb2.CreateTaskRequest.ExternalIdPolicy.ValueType = (
        creator_pb2.CreateTaskRequest.EXTERNAL_ID_POLICY_RETURN_EXISTING
    )
    window: Window | None = None
    given: task_pb2.TaskSpec | None = None
    """The spec as it came, where defaults are all that it lacks of the stored one."""

    task_id: UUID = field(default_factory=new_task_id)

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it again cannot make a second task."""
        return self.has_own_request_id or self.external_id is not None

    @property
    def insert_order(self) -> tuple[str, bytes]:
        """One order for all creators: crossed external ids would deadlock."""
        return (self.external_id or "", self.request_id.bytes)
