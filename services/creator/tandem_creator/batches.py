"""A batch of creates: checked as a whole, every fault named by its index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4, uuid5

from tandem import limits
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tandem.validation import Violations
from tandem_creator.drafts import Draft
from tandem_creator.parsing import parse_draft
from tandem_creator.twins import refuse_unequal_twins

FOR_THE_WHOLE: Final = "must be unset; the batch has one for all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Creates that are written together or not at all."""

    request_id: UUID
    """The caller's, or one that was made: requests without an id derive theirs from it."""

    drafts: Sequence[Draft]
    is_repeatable: bool
    """Whether sending it again cannot make a second task of any of them."""

    full: bool
    validate_only: bool


def parse_batch(
    request: pb.BatchCreateTasksRequest,
    *,
    require_request_id: bool = False,
    created_by: str = "",
    trace_context: str = "",
) -> Batch:
    """The request as a batch.

    Raises:
        InvalidRequest: names every field at fault, of every request.
    """
    found = Violations()
    given = found.uuid("request_id", request.request_id, required=False)
    _check_whole(request, found)
    reader = _Reader(
        request_id=given or uuid4(),
        is_given=bool(request.request_id),
        require_request_id=require_request_id,
        created_by=created_by,
        trace_context=trace_context,
    )
    drafts = [
        reader.read(each, found.within(f"requests[{index}]"), index=index)
        for index, each in enumerate(request.requests)
    ]
    found.refuse()
    refuse_unequal_twins(drafts)
    return Batch(
        request_id=reader.request_id,
        drafts=drafts,
        is_repeatable=all(draft.is_repeatable for draft in drafts),
        full=request.view == task_pb2.TASK_VIEW_FULL,
        validate_only=request.validate_only,
    )


def _check_whole(request: pb.BatchCreateTasksRequest, found: Violations) -> None:
    if not 1 <= len(request.requests) <= limits.MAX_BATCH:
        found.add("requests", f"must be 1 to {limits.MAX_BATCH:,}")
        # None of them is looked at: there may be a hundred thousand.
        found.refuse()
    found.known_enum("view", request.view, task_pb2.TaskView.values())
    if request.view != task_pb2.TASK_VIEW_FULL:
        return
    if (size := request.ByteSize()) > limits.MAX_FULL_BATCH_BYTES:
        found.add(
            "view",
            f"must not be TASK_VIEW_FULL for {size:,} bytes of requests;"
            f" at most {limits.MAX_FULL_BATCH_BYTES:,}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads one request of a batch."""

    request_id: UUID
    is_given: bool
    require_request_id: bool
    created_by: str
    trace_context: str

    def read(
        self, request: pb.CreateTaskRequest, found: Violations, *, index: int
    ) -> Draft:
        required = self.require_request_id and not self.is_given
        own = found.uuid("request_id", request.request_id, required=required)
        if request.validate_only:
            found.add("validate_only", FOR_THE_WHOLE)
        if request.view:
            found.add("view", FOR_THE_WHOLE)
        return parse_draft(
            request,
            found,
            request_id=own or uuid5(self.request_id, str(index)),
            has_own_request_id=own is not None or self.is_given,
            created_by=self.created_by,
            trace_context=self.trace_context,
        )
