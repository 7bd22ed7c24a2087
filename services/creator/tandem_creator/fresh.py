"""A caller's own spec in the answer, where it is what was kept."""

from __future__ import annotations

from datetime import datetime

from tandem import wire
from tandem.tasks import TaskRow
from tandem.v1 import task_pb2
from tandem_creator.drafts import Draft


def fill_fresh(
    task: task_pb2.Task,
    draft: Draft,
    given: task_pb2.TaskSpec,
    create_time: datetime,
    *,
    full: bool,
) -> None:
    """What rendering the draft's row would give, at a fifth of its cost.

    Most creates are new. `given` is the draft's, and is used up.
    """
    task.task_id = str(draft.task_id)
    # Copied here and nowhere else: a message that is handed over is copied each time.
    task.spec.MergeFrom(spec_as_kept(given, draft.queue, draft.priority, full=full))
    task.status.state = task_pb2.TaskStatus.STATE_PENDING
    wire.fill_timestamp(task.create_time, create_time)
    task.request_id = str(draft.request_id)
    task.created_by = draft.created_by or ""


def is_kept_as_given(draft: Draft, row: TaskRow) -> bool:
    """Whether the row, of the same content as the draft, is told in the same words.

    Unset fields and fields that say what unset ones mean are the same content.
    """
    return (
        draft.payload == row.payload
        and row.prune_time is None
        and row.start_delay is None
        and row.max_attempts is None
        and row.initial_backoff is None
        and row.max_backoff is None
        and row.attempt_timeout is None
    )


def spec_as_kept(
    given: task_pb2.TaskSpec, queue: str, priority: int, *, full: bool
) -> task_pb2.TaskSpec:
    """The spec as given, with the values in effect; the same message, changed."""
    if not full:
        given.ClearField("payload")
    given.DiscardUnknownFields()
    given.queue = queue
    given.priority = task_pb2.Priority.ValueType(priority)
    return given
