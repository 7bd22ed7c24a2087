"""Requests checked whole, so that every field at fault is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tandem import limits, wire
from tandem.v1 import processor_pb2, task_pb2
from tandem.validation import Violations
from tandem_processor.cancels import CancelRequest
from tandem_processor.retries import RetryRequest
from tandem_processor.tokens import MalformedToken, Place, read_place

FULL = task_pb2.TASK_VIEW_FULL

MAX_ATTEMPT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """Which tasks; None holds for all."""

    project: str
    states: Sequence[str] | None
    types: Sequence[str] | None
    queues: Sequence[str] | None
    create_time_from: datetime | None
    create_time_to: datetime | None
    labels: str | None
    external_id_prefix: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """One page of a list."""

    filter: ListFilter
    filter_hash: bytes
    after: Place | None
    page_size: int
    include_total: bool
    full: bool

    @property
    def project(self) -> str:
        return self.filter.project


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsQuery:
    """What is to be counted."""

    project: str
    """Empty: all that the caller may read."""

    days: int


def is_full(
    view: task_pb2.TaskView.ValueType, violations: Violations, *, default: bool
) -> bool:
    """Whether payload and results are asked for."""
    violations.known_enum("view", view, task_pb2.TaskView.values())
    return default if view == task_pb2.TASK_VIEW_UNSPECIFIED else view == FULL


def parse_task_ids(texts: Sequence[str], violations: Violations) -> list[UUID]:
    """1 to 1,000 ids.

    Raises:
        InvalidRequest: names each that is none.
    """
    violations.count("task_ids", len(texts), least=1, most=limits.MAX_BATCH)
    if len(texts) > limits.MAX_BATCH:
        violations.refuse()
    parsed = [violations.uuid(f"task_ids[{i}]", text) for i, text in enumerate(texts)]
    violations.refuse()
    return [task_id for task_id in parsed if task_id is not None]


def parse_cancel(request: processor_pb2.CancelTaskRequest) -> CancelRequest:
    """Which task, and under what condition.

    Raises:
        InvalidRequest: names every field at fault.
    """
    violations = Violations()
    task_id = violations.uuid("task_id", request.task_id)
    attempt = None
    if request.HasField("expected_attempt"):
        attempt = _attempt(request.expected_attempt, violations)
    comment = violations.text("comment", request.comment)
    violations.refuse()
    assert task_id is not None
    return CancelRequest(
        task_id=task_id, expected_attempt=attempt, comment=comment or None
    )


def parse_retry(request: processor_pb2.RetryTaskRequest) -> RetryRequest:
    """Which task, at which attempt.

    Raises:
        InvalidRequest: names every field at fault.
    """
    violations = Violations()
    task_id = violations.uuid("task_id", request.task_id)
    attempt = _attempt(request.expected_attempt, violations)
    violations.refuse()
    assert task_id is not None
    return RetryRequest(task_id=task_id, expected_attempt=attempt)


def parse_queue(queue: str) -> str:
    """The name of one queue, which need not have tasks.

    Raises:
        InvalidRequest: it is no name.
    """
    violations = Violations()
    violations.name("queue", queue)
    violations.refuse()
    return queue


def _attempt(value: int, violations: Violations) -> int:
    return violations.count("expected_attempt", value, least=0, most=MAX_ATTEMPT)


def parse_list(request: processor_pb2.ListTasksRequest) -> ListQuery:
    """The query that the request stands for.

    Raises:
        InvalidRequest: names every field at fault.
    """
    violations = Violations()
    full = is_full(request.view, violations, default=False)
    chosen = _filter(request, violations)
    filter_hash = _hash(request)
    after = _place(request.page_token, filter_hash, violations)
    violations.count("page_size", request.page_size, least=0, most=2**31 - 1)
    violations.refuse()
    return ListQuery(
        filter=chosen,
        filter_hash=filter_hash,
        after=after,
        page_size=min(
            request.page_size or limits.DEFAULT_PAGE_SIZE, limits.MAX_PAGE_SIZE
        ),
        include_total=request.include_total,
        full=full,
    )


def parse_stats(request: processor_pb2.GetStatsRequest) -> StatsQuery:
    """The query that the request stands for.

    Raises:
        InvalidRequest: names every field at fault.
    """
    violations = Violations()
    if request.project:
        violations.name("project", request.project)
    violations.count("days", request.days, least=0, most=limits.MAX_STATS_DAYS)
    violations.refuse()
    return StatsQuery(project=request.project, days=request.days)


def _filter(
    request: processor_pb2.ListTasksRequest, violations: Violations
) -> ListFilter:
    since = until = None
    if request.HasField("create_time_from"):
        since = violations.moment("create_time_from", request.create_time_from)
    if request.HasField("create_time_to"):
        until = violations.moment("create_time_to", request.create_time_to)
    return ListFilter(
        project=violations.name("project", request.project),
        states=_states(request.states, violations) or None,
        types=violations.names("types", request.types) or None,
        queues=violations.names("queues", request.queues) or None,
        create_time_from=since,
        create_time_to=until,
        labels=_labels(request.labels, violations),
        external_id_prefix=violations.text(
            "external_id_prefix", request.external_id_prefix
        )
        or None,
    )


def _states(
    states: Sequence[task_pb2.TaskStatus.State.ValueType], violations: Violations
) -> list[str]:
    known = wire.STATES_FROM_WIRE
    for index, state in enumerate(states):
        violations.known_enum(f"states[{index}]", state, known)
    return [str(known[state]) for state in states if state in known]


def _labels(labels: Mapping[str, str], violations: Violations) -> str | None:
    if not labels:
        return None
    violations.count("labels", len(labels), least=0, most=limits.MAX_LABELS)
    for key, value in labels.items():
        path = f'labels["{key}"]'
        violations.name(path, key)
        violations.text(path, value)
    return json.dumps(dict(labels))


def _hash(request: processor_pb2.ListTasksRequest) -> bytes:
    """What makes two requests pages of one list."""
    bare = processor_pb2.ListTasksRequest()
    bare.CopyFrom(request)
    for name in ("page_size", "page_token", "include_total", "view"):
        bare.ClearField(name)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


def _place(token: str, filter_hash: bytes, violations: Violations) -> Place | None:
    if not token:
        return None
    try:
        return read_place(token, filter_hash)
    except MalformedToken as error:
        violations.add("page_token", str(error))
        return None
