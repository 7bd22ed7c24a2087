"""From plain Python to requests."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tandem.client import Spec, as_request_id, request_id_from
from tandem.client.requests import (
    create_limit,
    create_request,
    list_request,
    stream_request,
)
from tandem.errors import InvalidRequest
from tandem.states import TaskState
from tandem.v1 import creator_pb2, task_pb2
from tandem.v1.creator_pb2 import CreateTaskRequest, StreamCreatedTasksRequest

TEA = Spec(project="shop", type="email")


def test_a_spec_says_what_the_contract_says() -> None:
    moment = datetime(2031, 5, 1, 12, tzinfo=UTC)

    sent = Spec(
        project="shop",
        type="email",
        payload={"to": ["a", "b"], "count": 3},
        external_id="order:7",
        title="Tea",
        labels={"user": "u1"},
        queue="slow",
        priority="urgent",
        not_before_time=moment,
        max_attempts=3,
        initial_backoff=timedelta(seconds=2),
    ).to_wire()

    assert sent.payload["count"] == 3
    assert list(sent.payload["to"]) == ["a", "b"]  # type: ignore[arg-type]
    assert sent.priority == task_pb2.PRIORITY_URGENT
    assert sent.not_before_time.ToDatetime(UTC) == moment
    assert sent.retry_policy.max_attempts == 3
    assert sent.retry_policy.initial_backoff.seconds == 2
    assert not sent.retry_policy.HasField("max_backoff")
    assert (sent.queue, dict(sent.labels)) == ("slow", {"user": "u1"})


def test_what_a_spec_leaves_out_is_not_sent() -> None:
    sent = {descriptor.name for descriptor, _ in TEA.to_wire().ListFields()}

    assert sent == {"project", "type"}


def test_an_empty_payload_is_a_payload() -> None:
    assert Spec(project="a", type="b", payload={}).to_wire().HasField("payload")


@pytest.mark.parametrize(
    "payload", [{"at": datetime.now(UTC)}, {"n": 10**400}, {"text": "\ud800"}, {1: 2}]
)
def test_a_payload_without_json_form_is_refused_by_name(payload: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Spec(project="a", type="b", payload=payload).to_wire()

    assert [violation.field for violation in caught.value.violations] == [
        "spec.payload"
    ]


def test_a_moment_without_a_zone_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=re.escape("not_before_time has no time")):
        Spec(
            project="a",
            type="b",
            not_before_time=datetime(2031, 5, 1),  # noqa: DTZ001 - the fault
        ).to_wire()


def test_p10_texts_with_a_lone_surrogate_are_refused_by_name() -> None:
    spec = Spec(project="a", type="b", title="\ud800", labels={"user": "\udfff"})

    with pytest.raises(InvalidRequest) as raised:
        spec.to_wire()

    assert [each.field for each in raised.value.violations] == [
        "spec.labels",
        "spec.title",
    ]


def test_a_filter_by_a_moment_without_a_zone_is_refused_by_name() -> None:
    moment = datetime(2031, 5, 1)  # noqa: DTZ001 - the fault

    with pytest.raises(InvalidRequest, match=r"create_time_to has no time zone"):
        list_request("shop", {"create_time_to": moment}, full=False)


def test_each_intended_call_has_an_id_of_its_own() -> None:
    first, second = create_request(TEA, {}), create_request(TEA, {})

    assert UUID(first.request_id).version == 4
    assert first.request_id != second.request_id


def test_a_uuid_is_sent_as_it_is_and_any_other_text_by_the_one_it_stands_for() -> None:
    given = uuid4()

    assert as_request_id(given) == as_request_id(str(given).upper()) == str(given)
    assert as_request_id("order 7") == request_id_from("order 7")
    assert create_request(TEA, {"request_id": given}).request_id == str(given)


def test_a_content_window_comes_without_an_id_of_the_clients() -> None:
    window = timedelta(seconds=10)

    request = create_request(TEA, {"content_window": window, "content_keys": ["to"]})

    assert request.request_id == ""
    assert request.content_window.window.seconds == 10
    assert list(request.content_window.payload_keys) == ["to"]


def test_a_create_with_a_content_window_is_not_repeated_after_it() -> None:
    request = create_request(TEA, {"content_window": timedelta(seconds=10)})

    assert create_limit(request, 30) == 10
    assert create_limit(request, 5) == 5
    assert create_limit(create_request(TEA, {}), 30) == 30


@pytest.mark.parametrize("window", [timedelta(0), timedelta(seconds=-5)])
def test_a_window_that_cannot_be_is_left_for_the_service_to_refuse(
    window: timedelta,
) -> None:
    request = create_request(TEA, {"content_window": window})

    assert request.HasField("content_window")
    assert create_limit(request, 30) > 0


def test_options_of_a_create_are_sent() -> None:
    request = create_request(TEA, {"reject_existing": True, "validate_only": True})

    assert request.external_id_policy == CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT
    assert request.validate_only


def test_a_spec_of_the_contract_may_be_given_too() -> None:
    spec = task_pb2.TaskSpec(project="shop", type="email")

    assert create_request(spec, {}).spec == spec


def test_filters_of_a_list_are_sent() -> None:
    moment = datetime(2031, 5, 1, tzinfo=UTC)
    request = list_request(
        "shop",
        {
            "states": [TaskState.FAILED],
            "types": ["email"],
            "queues": ["slow"],
            "labels": {"user": "u1"},
            "external_id_prefix": "wf-1:",
            "create_time_from": moment,
        },
        full=False,
    )

    assert list(request.states) == [task_pb2.TaskStatus.STATE_FAILED]
    assert (list(request.types), list(request.queues)) == (["email"], ["slow"])
    assert dict(request.labels) == {"user": "u1"}
    assert request.external_id_prefix == "wf-1:"
    assert request.create_time_from.ToDatetime(UTC) == moment
    assert not request.HasField("create_time_to")
    assert request.view == task_pb2.TASK_VIEW_BASIC


@pytest.mark.parametrize(
    ("from_now", "start"),
    [
        (False, StreamCreatedTasksRequest.START_BEGINNING),
        (True, StreamCreatedTasksRequest.START_NOW),
    ],
)
def test_a_stream_begins_where_it_is_told(
    from_now: bool, start: creator_pb2.StreamCreatedTasksRequest.Start.ValueType
) -> None:
    request = stream_request({"from_now": from_now, "queues": ["slow"]})

    assert (request.start, list(request.queues)) == (start, ["slow"])
