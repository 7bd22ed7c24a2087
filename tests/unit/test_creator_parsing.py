"""P10: bad input is refused, and every bad field is named."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from tandem import limits
from tandem.errors import InvalidRequest
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tandem_creator.drafts import Defaulted
from tandem_creator.parsing import parse_create
from tests.support.creator import a_new_id, a_request

NIL = "00000000-0000-0000-0000-000000000000"


def faults(request: pb.CreateTaskRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        parse_create(request)
    return {v.field: v.description for v in caught.value.violations}


def seconds(count: int) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=count)


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels > 1 else {}


DAY = 24 * 60 * 60

BAD_SPECS: list[tuple[dict[str, Any], str]] = [
    ({"project": ""}, "spec.project"),
    ({"project": "-shop"}, "spec.project"),
    ({"project": "x" * 64}, "spec.project"),
    ({"project": "a\0b"}, "spec.project"),
    ({"type": ""}, "spec.type"),
    ({"type": "é"}, "spec.type"),
    ({"queue": "a b"}, "spec.queue"),
    ({"priority": 5}, "spec.priority"),
    ({"priority": -1}, "spec.priority"),
    ({"title": "x" * 256}, "spec.title"),
    ({"title": "a\0b"}, "spec.title"),
    ({"external_id": "x" * 256}, "spec.external_id"),
    ({"external_id": "a\0b"}, "spec.external_id"),
    ({"labels": {str(n): "" for n in range(17)}}, "spec.labels"),
    ({"labels": {"a b": "x"}}, 'spec.labels["a b"]'),
    ({"labels": {"": "x"}}, 'spec.labels[""]'),
    ({"labels": {"k": "x" * 256}}, 'spec.labels["k"]'),
    ({"labels": {"k": "\0"}}, 'spec.labels["k"]'),
    ({"labels": {"\0": "x"}}, 'spec.labels["\\0"]'),
    ({"start_delay": seconds(-1)}, "spec.start_delay"),
    ({"start_delay": seconds(367 * DAY)}, "spec.start_delay"),
    (
        {"not_before_time": timestamp_pb2.Timestamp(seconds=10**12)},
        "spec.not_before_time",
    ),
    (
        {"not_before_time": timestamp_pb2.Timestamp(nanos=-1)},
        "spec.not_before_time",
    ),
    (
        {"not_before_time": timestamp_pb2.Timestamp(), "start_delay": seconds(1)},
        "spec.start_delay",
    ),
]

BAD_POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"max_attempts": -1}, "max_attempts"),
    ({"max_attempts": 101}, "max_attempts"),
    ({"initial_backoff": seconds(-1)}, "initial_backoff"),
    ({"initial_backoff": seconds(8 * DAY)}, "initial_backoff"),
    ({"initial_backoff": seconds(2), "max_backoff": seconds(1)}, "max_backoff"),
    ({"attempt_timeout": seconds(0)}, "attempt_timeout"),
    ({"attempt_timeout": duration_pb2.Duration(seconds=2**62)}, "attempt_timeout"),
]

BAD_PAYLOADS: list[tuple[Any, str]] = [
    ({"a": {"b": [0, 1, 2, math.nan]}}, "spec.payload.a.b[3]"),
    ({"a": math.inf}, "spec.payload.a"),
    ({"a": -math.inf}, "spec.payload.a"),
    ({"a": 2.0**53}, "spec.payload.a"),
    ({"a": -(2.0**53)}, "spec.payload.a"),
    ({"a": "x\0"}, "spec.payload.a"),
    ({"a\0": 1}, "spec.payload.a\\0"),
    ({"a": "x" * limits.MAX_PAYLOAD_BYTES}, "spec.payload"),
    (nested(limits.MAX_PAYLOAD_LEVELS + 1), "spec.payload" + ".a" * 32),
]


@pytest.mark.parametrize(("spec", "field"), BAD_SPECS)
def test_p10_a_bad_field_of_the_spec_is_named(spec: dict[str, Any], field: str) -> None:
    assert list(faults(a_request(**spec))) == [field]


@pytest.mark.parametrize(("policy", "field"), BAD_POLICIES)
def test_p10_a_bad_retry_policy_is_named(policy: dict[str, Any], field: str) -> None:
    request = a_request(retry_policy=task_pb2.RetryPolicy(**policy))

    assert list(faults(request)) == [f"spec.retry_policy.{field}"]


@pytest.mark.parametrize(("payload", "field"), BAD_PAYLOADS)
def test_p10_a_bad_value_in_the_payload_is_named_by_its_path(
    payload: dict[str, Any], field: str
) -> None:
    assert list(faults(a_request(payload=payload))) == [field]


def test_p10_a_value_without_a_kind_is_named() -> None:
    request = a_request(payload={"a": 1})
    request.spec.payload.fields["b"].CopyFrom(struct_pb2.Value())

    assert list(faults(request)) == ["spec.payload.b"]


@pytest.mark.parametrize(
    "request_id", ["x", NIL, a_new_id()[:-1], a_new_id().replace("-", ""), "a\0"]
)
def test_p10_a_bad_request_id_is_named(request_id: str) -> None:
    assert list(faults(a_request(request_id=request_id))) == ["request_id"]


def test_p10_a_missing_spec_is_named() -> None:
    assert faults(pb.CreateTaskRequest()) == {"spec": "is required"}


def test_p10_unknown_choices_are_named() -> None:
    request = a_request(priority=9)
    request.external_id_policy = 7  # type: ignore[assignment]  # proto3 lets it through
    request.view = 8  # type: ignore[assignment]  # proto3 lets it through

    assert list(faults(request)) == ["spec.priority", "external_id_policy", "view"]


def test_p10_every_fault_is_named_at_once() -> None:
    request = a_request(
        request_id="x", payload={"a": math.nan}, project="", type="", title="x" * 256
    )

    assert set(faults(request)) == {
        "request_id",
        "spec.project",
        "spec.type",
        "spec.payload.a",
        "spec.title",
    }


BAD_WINDOWS: list[tuple[pb.ContentWindow, dict[str, Any], str]] = [
    (pb.ContentWindow(), {}, "content_window.window"),
    (pb.ContentWindow(window=seconds(0)), {}, "content_window.window"),
    (pb.ContentWindow(window=seconds(DAY + 1)), {}, "content_window.window"),
    (
        pb.ContentWindow(window=seconds(10), payload_keys=["topik"]),
        {},
        "content_window.payload_keys",
    ),
    (pb.ContentWindow(window=seconds(10)), {"external_id": "x"}, "content_window"),
    (
        pb.ContentWindow(window=seconds(10)),
        {"request_id": a_new_id()},
        "content_window",
    ),
]


@pytest.mark.parametrize(("window", "ids", "field"), BAD_WINDOWS)
def test_a_bad_content_window_is_named(
    window: pb.ContentWindow, ids: dict[str, Any], field: str
) -> None:
    request = a_request(payload={"topic": "Tea"}, **ids)
    request.content_window.CopyFrom(window)

    assert list(faults(request)) == [field]


def test_content_is_compared_by_the_keys_that_are_named() -> None:
    def key(payload: dict[str, Any], *keys: str) -> bytes:
        request = a_request(payload=payload)
        request.content_window.window.CopyFrom(seconds(10))
        request.content_window.payload_keys.extend(keys)
        draft = parse_create(request)
        assert draft.window
        return draft.window.content_key

    assert key({"a": 1, "b": 1}, "a") == key({"a": 1, "b": 2}, "a")
    assert key({"a": 1, "b": 1}, "b", "a") == key({"b": 1, "a": 1}, "a", "b", "a")
    assert key({"a": 1, "b": 1}) == key({"b": 1, "a": 1})
    assert key({"a": 1, "b": 1}) != key({"a": 1, "b": 2})
    assert key({"a": 1}, "a", "b") != key({"a": 1, "b": None}, "a", "b")


def test_request_ids_may_be_made_mandatory() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_create(a_request(external_id="x"), require_request_id=True)

    assert [v.field for v in caught.value.violations] == ["request_id"]


def test_what_is_at_its_limit_passes() -> None:
    room = limits.MAX_PAYLOAD_BYTES - len('{"a":""}')
    draft = parse_create(
        a_request(
            payload={"a": "x" * room},
            project="x" * 63,
            title="x" * 255,
            external_id="é" * 255,
            labels={str(n): "x" * 255 for n in range(16)},
            start_delay=seconds(366 * DAY),
        )
    )

    assert len((draft.payload or "").encode()) == limits.MAX_PAYLOAD_BYTES


def test_thirty_two_levels_pass() -> None:
    parse_create(a_request(payload=nested(limits.MAX_PAYLOAD_LEVELS)))


def test_equal_payloads_are_equal_text_whatever_their_order() -> None:
    left = parse_create(a_request(payload={"a": 1, "b": {"c": 1.0, "d": None}}))
    right = parse_create(a_request(payload={"b": {"d": None, "c": 1}, "a": 1.0}))

    assert left.payload == right.payload == '{"a":1,"b":{"c":1,"d":null}}'


def test_unset_fields_take_their_defaults_and_are_remembered() -> None:
    draft = parse_create(a_request())

    assert (draft.queue, draft.priority) == ("default", task_pb2.PRIORITY_NORMAL)
    assert draft.defaulted == Defaulted.QUEUE | Defaulted.PRIORITY


def test_a_given_default_is_not_taken_for_an_unset_field() -> None:
    draft = parse_create(a_request(queue="default", priority=task_pb2.PRIORITY_NORMAL))

    assert draft.defaulted == Defaulted(0)


def test_a_create_without_a_request_id_gets_one_of_its_own() -> None:
    drafts = [parse_create(a_request()) for _ in range(2)]

    assert drafts[0].request_id != drafts[1].request_id
    assert not drafts[0].has_own_request_id
    assert not drafts[0].is_repeatable


def test_an_external_id_alone_makes_a_create_repeatable() -> None:
    assert parse_create(a_request(external_id="x")).is_repeatable
