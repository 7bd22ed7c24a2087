from __future__ import annotations

from typing import Any

import pytest

from tandem import limits, wire
from tandem.results import MAX_LEVELS, Unstorable, encode, plain_message
from tandem.v1 import processor_pb2, task_pb2


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"b": ["ok", "\0"]}}, "result.a.b[1]"),
        ({"a": "\ud800"}, "result.a"),
        ({"\ud800": 1}, "a key of result"),
        ({"a": 2**53}, "result.a"),
        ({"a": float(2**53)}, "result.a"),
        ({"a": float("inf")}, "result.a"),
        ({"a": float("nan")}, "result.a"),
        ({"a": object()}, "result.a"),
        ({"a": b"bytes"}, "result.a"),
        ({"a": {1: 2}}, "result.a"),
        ({"a": "x" * limits.MAX_OUTPUT_BYTES}, "result"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_path_and_without_its_value(
    value: Any, path: str
) -> None:
    with pytest.raises(Unstorable) as refused:
        encode(value, "result")

    assert str(refused.value).startswith(path)
    assert "x" * 100 not in str(refused.value)


def test_a_value_that_is_endless_as_json_is_refused_without_being_written_out() -> None:
    value: Any = ["x"] * 10
    for _ in range(MAX_LEVELS - 2):
        value = [value] * 10

    with pytest.raises(Unstorable, match=r"^result is over"):
        encode(value, "result")


def test_a_message_about_a_long_key_names_its_beginning() -> None:
    with pytest.raises(Unstorable) as refused:
        encode({"k" * 200_000: [object()]}, "result")

    assert str(refused.value).startswith("result.kkk")
    assert len(str(refused.value)) < limits.MAX_TEXT


def test_the_deepest_result_that_is_kept_can_be_sent_in_every_answer() -> None:
    with pytest.raises(Unstorable):
        encode(nested(MAX_LEVELS + 1), "result")
    deepest = nested(MAX_LEVELS)
    assert encode(deepest, "result")
    task = task_pb2.Task(
        status=task_pb2.TaskStatus(
            result=wire.to_struct(deepest),
            stages=[task_pb2.Stage(name="draft", result=wire.to_value(deepest))],
        )
    )
    page = processor_pb2.ListTasksResponse(tasks=[task])

    assert type(page).FromString(page.SerializeToString()) == page


def test_an_error_whose_text_fails_still_has_a_message() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert plain_message(Broken()).startswith("Broken: (its text cannot be made")
