"""What a caller is told of a batch: a result for each request, or why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

from google.protobuf.message import Message

from tandem import limits
from tandem.errors import (
    ExternalIdTaken,
    RequestIdReused,
    TandemError,
    Violation,
)
from tandem.v1 import creator_pb2 as pb
from tandem_creator.drafts import Draft
from tandem_creator.flush import Answer
from tandem_creator.outcomes import fill, refusal
from tandem_creator.store.winners import Winner

Outcome = pb.CreateTaskResponse

FIRST_TOLD: Final = (RequestIdReused, ExternalIdTaken)
"""Where requests are refused for several reasons, the batch is for the first of these."""

REDUCED_RESULT: Final = frozenset({"task", "outcome", "request_id", "existing_reason"})
REDUCED_TASK: Final = frozenset({"task_id", "spec", "status", "create_time"})
REDUCED_SPEC: Final = frozenset({"project", "type", "external_id"})
REDUCED_STATUS: Final = frozenset({"state", "attempt", "start_time", "finish_time"})


def refuse_batch(drafts: Sequence[Draft], winners: Mapping[UUID, Winner]) -> None:
    """Raise if one of the tasks that were there first is no answer.

    Raises:
        RequestIdReused: a request id made a task of other content.
        ExternalIdTaken: another request has an external id, and this was asked for.
    """
    places = {draft.task_id: index for index, draft in enumerate(drafts)}
    refusals = {
        index: refused
        for index, draft in enumerate(drafts)
        if (winner := winners.get(draft.task_id))
        and (refused := _refusal(draft, winner, places))
    }
    if refusals:
        raise _together(refusals)


def _refusal(
    draft: Draft, winner: Winner, places: Mapping[UUID, int]
) -> TandemError | None:
    refused = refusal(draft, winner)
    holder = places.get(winner.row.task_id)
    if holder is None or not isinstance(refused, ExternalIdTaken):
        return refused
    # The holder is undone with the batch: there is no task to name.
    shared = f"is that of requests[{holder}] too"
    return ExternalIdTaken(
        f"its external id {shared}",
        violations=[Violation("spec.external_id", shared)],
    )


def _together(refusals: Mapping[int, TandemError]) -> TandemError:
    """One refusal that names every request at fault, and the first in its metadata."""
    index = min(refusals, key=lambda i: (FIRST_TOLD.index(type(refusals[i])), i))
    told = refusals[index]
    more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
    return type(told)(
        f"requests[{index}]: {told}{more}; nothing was stored",
        violations=[
            Violation(f"requests[{i}].{violation.field}", violation.description)
            for i, refused in refusals.items()
            for violation in refused.violations
        ],
        index=str(index),
        **told.metadata,
    )


def respond_batch(
    drafts: Sequence[Draft], answers: Mapping[UUID, Answer], *, full: bool
) -> pb.BatchCreateTasksResponse:
    """One result per draft, in order; a draft without an answer would be created.

    Whatever would be refused was refused before (`refuse_batch`).

    An answer over 4 MiB leaves out what it can: first what TASK_VIEW_BASIC leaves
    out, then all but ids, state and times. The batch stands, and a repeat of it
    must be answered, too.
    """
    response = pb.BatchCreateTasksResponse()
    for draft in drafts:
        fill(response.results.add(), draft, answers.get(draft.task_id), full=full)
    response.summary.CopyFrom(_summary(response.results))
    if full and response.ByteSize() > limits.MAX_MESSAGE_BYTES:
        return respond_batch(drafts, answers, full=False)
    if response.ByteSize() > limits.MAX_MESSAGE_BYTES:
        for result in response.results:
            _reduce(result)
    return response


def _summary(results: Collection[pb.CreateTaskResponse]) -> pb.BatchSummary:
    counted = Counter(result.outcome for result in results)
    return pb.BatchSummary(
        requested=len(results),
        created=counted[Outcome.OUTCOME_CREATED],
        replayed=counted[Outcome.OUTCOME_REPLAYED],
        existing=counted[Outcome.OUTCOME_EXISTING],
    )


def _reduce(result: pb.CreateTaskResponse) -> None:
    """Only what a thousand of fit into one answer, whatever was stored."""
    task = result.task
    parts: tuple[tuple[Message, frozenset[str]], ...] = (
        (result, REDUCED_RESULT),
        (task, REDUCED_TASK),
        (task.spec, REDUCED_SPEC),
        (task.status, REDUCED_STATUS),
    )
    for message, kept in parts:
        for descriptor, _ in message.ListFields():
            if descriptor.name not in kept:
                message.ClearField(descriptor.name)
