"""A create's answer is the task as every reader will see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from tandem import wire
from tandem.limits import DEFAULT_MAX_ATTEMPTS
from tandem.states import TaskState
from tandem.tasks import render_task
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tandem_creator.outcomes import respond
from tandem_creator.parsing import parse_create
from tandem_creator.rows import row_of
from tandem_creator.store.creates import Created
from tandem_creator.store.winners import Match, Winner

pytestmark = pytest.mark.usefixtures("anybody")

BY_ID = Match.REQUEST_ID

NOW = datetime(2031, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)

SPECS: dict[str, dict[str, Any]] = {
    "bare": {},
    "full": {
        "payload": wire.to_struct({"a": [1, 2.5, None, True, {"b": "c"}], "d": {}}),
        "queue": "quick",
        "priority": task_pb2.PRIORITY_URGENT,
        "external_id": "wf-1",
        "labels": {"user": "1", "kind": ""},
        "title": "A title",
    },
    "negative zero": {"payload": wire.to_struct({"a": {"b": [-0.0]}})},
    "whole number": {"payload": wire.to_struct({"a": 3.0, "b": -7})},
    "empty payload": {"payload": wire.to_struct({})},
    "delayed": {"start_delay": duration_pb2.Duration(seconds=3, nanos=1001)},
    "later": {"not_before_time": timestamp_pb2.Timestamp(seconds=9, nanos=1999)},
    "retried": {"retry_policy": task_pb2.RetryPolicy(max_attempts=2)},
    "retried as ever": {"retry_policy": task_pb2.RetryPolicy()},
}


def request(**fields: Any) -> pb.CreateTaskRequest:
    spec = task_pb2.TaskSpec(project="p", type="t", **fields)
    return pb.CreateTaskRequest(request_id=str(uuid4()).upper(), spec=spec)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("fields", SPECS.values(), ids=SPECS.keys())
def test_a_fresh_task_is_told_as_its_readers_will_see_it(
    fields: dict[str, Any], *, full: bool
) -> None:
    draft = parse_create(request(**fields), created_by="somebody")
    created = Created(draft.task_id, 7, NOW, None)
    row = row_of(draft, created)

    answer = respond(draft, created, full=full).task

    expected = render_task(row)
    if not full:
        expected.spec.ClearField("payload")
    assert answer == expected
    assert answer.SerializeToString(deterministic=True) == (
        expected.SerializeToString(deterministic=True)
    )


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("fields", SPECS.values(), ids=SPECS.keys())
def test_a_replayed_task_is_told_as_its_readers_see_it(
    fields: dict[str, Any], *, full: bool
) -> None:
    first = parse_create(request(**fields))
    row = row_of(first, Created(first.task_id, 7, NOW, None))
    row = replace(row, state=TaskState.RUNNING, attempt=2, claim=3, start_time=NOW)

    answer = respond(parse_create(request(**fields)), Winner(row, BY_ID), full=full)

    expected = render_task(row)
    if not full:
        expected.spec.ClearField("payload")
    assert answer.outcome == pb.CreateTaskResponse.OUTCOME_REPLAYED
    assert answer.task == expected


def test_a_replay_that_leaves_out_what_was_said_is_told_what_was_said() -> None:
    said = {"retry_policy": task_pb2.RetryPolicy(max_attempts=DEFAULT_MAX_ATTEMPTS)}
    first = parse_create(request(**said))
    row = row_of(first, Created(first.task_id, 7, NOW, None))

    answer = respond(parse_create(request()), Winner(row, BY_ID), full=True)

    assert answer.task.spec.retry_policy.max_attempts == DEFAULT_MAX_ATTEMPTS


def test_what_the_contract_does_not_know_is_not_told_back() -> None:
    unknown = b"\xfa\x3e\x03abc"
    given = pb.CreateTaskRequest.FromString(request().SerializeToString())
    given.spec.MergeFromString(unknown)

    draft = parse_create(given)
    answer = respond(draft, Created(draft.task_id, 7, NOW, None), full=True)

    assert unknown not in answer.SerializeToString()
