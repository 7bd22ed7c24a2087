"""Requests from plain Python, each made once: its repeats are the same message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypedDict
from uuid import UUID, uuid4

from tandem import limits, wire
from tandem.client.ids import as_request_id
from tandem.client.specs import Spec, spec_to_wire, timestamp
from tandem.states import TaskState
from tandem.traceparents import checked
from tandem.v1 import creator_pb2, processor_pb2, task_pb2

SHORTEST_WINDOW: Final = 1.0
"""Seconds. The service refuses any shorter one, for which it has to be asked."""


class Creating(TypedDict, total=False):
    """How one task is to be created."""

    request_id: str | UUID
    """Names the intended call: a UUID, or any text that is new for each task wanted."""

    reject_existing: bool
    """Raise ExternalIdTaken where another request holds the external id."""

    content_window: timedelta
    """Equal content within it is the same task. Without request and external id only."""

    content_keys: Sequence[str]
    """Payload keys that the window compares; unset, the whole payload."""

    validate_only: bool
    """Answer what would happen, and write nothing."""

    traceparent: str
    """Of the span that wants it, as the W3C writes it; unset, of the current one."""


class Filters(TypedDict, total=False):
    """Which tasks: all filters must hold."""

    states: Sequence[TaskState]
    types: Sequence[str]
    queues: Sequence[str]
    labels: Mapping[str, str]
    external_id_prefix: str
    create_time_from: datetime
    create_time_to: datetime


class Following(TypedDict, total=False):
    """Which created ids, and from where."""

    resume_token: str
    """Of the last message that was handled; it wins over `from_now`."""

    from_now: bool
    queues: Sequence[str]
    projects: Sequence[str]
    until_caught_up: bool
    """End once every id created before the call was sent."""


def create_request(
    spec: Spec | task_pb2.TaskSpec, options: Creating
) -> creator_pb2.CreateTaskRequest:
    """A create with an id of its own, but for a content window, which excludes ids."""
    request = creator_pb2.CreateTaskRequest(
        spec=spec_to_wire(spec),
        external_id_policy=policy(reject_existing=options.get("reject_existing")),
        validate_only=options.get("validate_only", False),
    )
    window = options.get("content_window")
    if window is not None:
        request.content_window.window.FromTimedelta(window)
        request.content_window.payload_keys.extend(options.get("content_keys", ()))
    if "request_id" in options or window is None:
        request.request_id = as_request_id(options.get("request_id") or uuid4())
    return request


def traceparent_of(options: Creating) -> str:
    """What was given; empty if nothing was.

    Raises:
        ValueError: it is no traceparent.
    """
    return checked(options.get("traceparent", ""))


def policy(
    *, reject_existing: bool | None
) -> creator_pb2.CreateTaskRequest.ExternalIdPolicy.ValueType:
    if reject_existing:
        return creator_pb2.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT
    return creator_pb2.CreateTaskRequest.EXTERNAL_ID_POLICY_UNSPECIFIED


def lookup_request(
    project: str, *, request_id: str | UUID, external_id: str
) -> creator_pb2.LookupTaskRequest:
    return creator_pb2.LookupTaskRequest(
        project=project,
        request_id=as_request_id(request_id) if request_id else "",
        external_id=external_id,
    )


def list_request(
    project: str, filters: Filters, *, full: bool
) -> processor_pb2.ListTasksRequest:
    return processor_pb2.ListTasksRequest(
        project=project,
        states=[wire.STATES[state] for state in filters.get("states", ())],
        types=filters.get("types"),
        queues=filters.get("queues"),
        labels=filters.get("labels"),
        external_id_prefix=filters.get("external_id_prefix", ""),
        create_time_from=timestamp(filters.get("create_time_from"), "create_time_from"),
        create_time_to=timestamp(filters.get("create_time_to"), "create_time_to"),
        page_size=limits.MAX_PAGE_SIZE,
        view=view(full=full),
    )


def cancel_request(
    task_id: str, *, expected_attempt: int | None, comment: str
) -> processor_pb2.CancelTaskRequest:
    return processor_pb2.CancelTaskRequest(
        task_id=task_id, expected_attempt=expected_attempt, comment=comment
    )


def stream_request(following: Following) -> creator_pb2.StreamCreatedTasksRequest:
    start = creator_pb2.StreamCreatedTasksRequest.START_BEGINNING
    if following.get("from_now"):
        start = creator_pb2.StreamCreatedTasksRequest.START_NOW
    return creator_pb2.StreamCreatedTasksRequest(
        resume_token=following.get("resume_token", ""),
        start=start,
        queues=following.get("queues"),
        projects=following.get("projects"),
        until_caught_up=following.get("until_caught_up", False),
    )


def view(*, full: bool) -> task_pb2.TaskView.ValueType:
    return task_pb2.TASK_VIEW_FULL if full else task_pb2.TASK_VIEW_BASIC


def create_limit(request: creator_pb2.CreateTaskRequest, limit: float) -> float:
    """Seconds in which the create may be repeated.

    A repeat after its content window would make a second task.
    """
    if not request.HasField("content_window"):
        return limit
    window = request.content_window.window.ToTimedelta()
    return min(limit, max(window.total_seconds(), SHORTEST_WINDOW))
