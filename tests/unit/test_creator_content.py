"""P3: when a repeated create wants the same task, and which fields differ when not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from tandem.states import TaskState
from tandem.tasks import TaskRow
from tandem.v1 import task_pb2
from tandem_creator.content import differing_fields
from tandem_creator.drafts import Defaulted
from tandem_creator.parsing import parse_create
from tandem_creator.rows import row_of
from tests.support.creator import a_request


def stored(**given: Any) -> TaskRow:
    return row_of(parse_create(a_request(**given)), None)


def differing(given: dict[str, Any], row: TaskRow) -> list[str]:
    return differing_fields(parse_create(a_request(**given)), row)


def policy(**fields: Any) -> dict[str, Any]:
    return {"retry_policy": task_pb2.RetryPolicy(**fields)}


def seconds(count: float) -> duration_pb2.Duration:
    whole = int(count)
    return duration_pb2.Duration(
        seconds=whole, nanos=round((count - whole) * 1_000_000_000)
    )


NOON = timestamp_pb2.Timestamp(seconds=1_800_000_000)

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"payload": {"a": 1, "b": 2}}, {"payload": {"b": 2, "a": 1}}),
    ({"payload": {"a": 1}}, {"payload": {"a": 1.0}}),
    ({"payload": {}}, {}),
    ({}, {"payload": {}}),
    ({"queue": "default"}, {}),
    ({}, {"queue": "default"}),
    ({}, {"priority": task_pb2.PRIORITY_NORMAL}),
    ({"priority": task_pb2.PRIORITY_NORMAL}, {}),
    ({"labels": {"a": "1", "b": "2"}}, {"labels": {"b": "2", "a": "1"}}),
    ({}, policy(max_attempts=5)),
    (policy(max_attempts=5), {}),
    ({}, policy(initial_backoff=seconds(1), max_backoff=seconds(600))),
    (policy(), {}),
    ({"start_delay": seconds(3)}, {"start_delay": seconds(3)}),
    ({"start_delay": seconds(0)}, {}),
    ({"not_before_time": NOON}, {"not_before_time": NOON}),
    ({"external_id": "x", "title": "t"}, {"external_id": "x", "title": "t"}),
]

DIFFERENT: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"type": "email"}, {"type": "sms"}, ["spec.type"]),
    ({"payload": {"a": 1}}, {"payload": {"a": 2}}, ["spec.payload.a"]),
    (
        {"payload": {"a": 1}},
        {"payload": {"b": 1}},
        ["spec.payload.a", "spec.payload.b"],
    ),
    ({"payload": {"a": True}}, {"payload": {"a": 1}}, ["spec.payload.a"]),
    ({"payload": {"a": None}}, {"payload": {}}, ["spec.payload.a"]),
    ({"payload": {"a": [1, 2]}}, {"payload": {"a": [2, 1]}}, ["spec.payload.a"]),
    ({"payload": {"a": "1"}}, {"payload": {"a": 1}}, ["spec.payload.a"]),
    ({"payload": {"a": {"b": 1}}}, {"payload": {"a": {"b": 2}}}, ["spec.payload.a"]),
    ({}, {"payload": {"a": 1}}, ["spec.payload.a"]),
    ({"queue": "fast"}, {}, ["spec.queue"]),
    ({}, {"queue": "fast"}, ["spec.queue"]),
    ({}, {"priority": task_pb2.PRIORITY_HIGH}, ["spec.priority"]),
    ({"title": "a"}, {"title": "b"}, ["spec.title"]),
    ({"title": "a"}, {}, ["spec.title"]),
    ({"external_id": "a"}, {"external_id": "b"}, ["spec.external_id"]),
    ({"external_id": "a"}, {}, ["spec.external_id"]),
    ({"labels": {"a": "1"}}, {"labels": {"a": "2"}}, ["spec.labels.a"]),
    ({}, {"labels": {"a": ""}}, ["spec.labels.a"]),
    ({}, {"start_delay": seconds(1)}, ["spec.start_delay"]),
    ({"not_before_time": NOON}, {}, ["spec.not_before_time"]),
    ({}, policy(max_attempts=6), ["spec.retry_policy.max_attempts"]),
    ({}, policy(initial_backoff=seconds(2)), ["spec.retry_policy.initial_backoff"]),
    ({}, policy(attempt_timeout=seconds(2)), ["spec.retry_policy.attempt_timeout"]),
    (
        {"payload": {"a": 1}, "title": "x"},
        {"payload": {"a": 2}, "title": "y", "priority": 1},
        ["spec.payload.a", "spec.priority", "spec.title"],
    ),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_p3_a_create_that_wants_the_same_differs_in_nothing(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert differing(second, stored(**first)) == []


@pytest.mark.parametrize(("first", "second", "paths"), DIFFERENT)
def test_p3_each_differing_field_is_named(
    first: dict[str, Any], second: dict[str, Any], paths: list[str]
) -> None:
    assert differing(second, stored(**first)) == paths


def test_p3_unset_twice_is_equal_though_the_default_has_changed_since() -> None:
    row = replace(stored(), queue="former", priority=1)

    assert differing({}, row) == []


def test_p3_a_given_value_is_compared_with_the_one_in_effect() -> None:
    row = replace(stored(), queue="former")

    assert row.defaulted & Defaulted.QUEUE
    assert differing({"queue": "former"}, row) == []
    assert differing({"queue": "default"}, row) == ["spec.queue"]


def test_p3_below_a_microsecond_nothing_differs() -> None:
    row = stored(start_delay=duration_pb2.Duration(nanos=1_000))

    assert differing({"start_delay": duration_pb2.Duration(nanos=1_999)}, row) == []


def test_p3_of_a_stripped_task_what_is_left_is_compared() -> None:
    row = replace(
        stored(payload={"a": 1}),
        payload=None,
        prune_time=datetime.now(UTC),
        state=TaskState.SUCCEEDED,
    )

    assert differing({"payload": {"a": 2}, "title": "other"}, row) == []
    assert differing({"type": "other"}, row) == ["spec.type"]
