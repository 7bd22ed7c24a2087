"""A draft as the row that it becomes, without reading it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from tandem.states import TaskState
from tandem.tasks import TaskRow
from tandem_creator.drafts import Draft
from tandem_creator.store.creates import Created

NOT_WRITTEN: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The create time of a row that was not."""


def row_of(draft: Draft, created: Created | None) -> TaskRow:
    """The row that the draft was written as, or would be."""
    return TaskRow(
        task_id=draft.task_id,
        project=draft.project,
        request_id=draft.request_id,
        external_id=draft.external_id,
        type=draft.type,
        queue=draft.queue,
        priority=draft.priority,
        title=draft.title,
        labels=draft.labels,
        not_before_time=draft.not_before_time,
        start_delay=draft.start_delay,
        max_attempts=draft.max_attempts,
        initial_backoff=draft.initial_backoff,
        max_backoff=draft.max_backoff,
        attempt_timeout=draft.attempt_timeout,
        defaulted=draft.defaulted,
        create_time=created.create_time if created else NOT_WRITTEN,
        created_by=draft.created_by,
        trace_context=draft.trace_context,
        prune_time=None,
        state=TaskState.PENDING,
        attempt=0,
        claim=0,
        processor_id=None,
        progress=None,
        due_time=created.due_time if created else None,
        start_time=None,
        update_time=None,
        finish_time=None,
        cancel_request_time=None,
        cancel_comment=None,
        errors=None,
        annotations=None,
        payload=draft.payload,
        result=None,
    )
