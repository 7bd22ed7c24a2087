"""Our words and the contract's words, each way."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from tandem import limits
from tandem.states import TaskState
from tandem.v1 import task_pb2

STATES: Final[Mapping[TaskState, task_pb2.TaskStatus.State.ValueType]] = (
    MappingProxyType(
        {
            TaskState.PENDING: task_pb2.TaskStatus.STATE_PENDING,
            TaskState.RUNNING: task_pb2.TaskStatus.STATE_RUNNING,
            TaskState.SUSPENDED: task_pb2.TaskStatus.STATE_SUSPENDED,
            TaskState.SUCCEEDED: task_pb2.TaskStatus.STATE_SUCCEEDED,
            TaskState.FAILED: task_pb2.TaskStatus.STATE_FAILED,
            TaskState.CANCELLED: task_pb2.TaskStatus.STATE_CANCELLED,
        }
    )
)
STATES_FROM_WIRE: Final = MappingProxyType({v: k for k, v in STATES.items()})

Report = Callable[[str, str], None]
"""Takes a field's path and what is wrong with it."""

NANOSECONDS: Final = 1_000_000_000
"""In a second."""

SECONDS_OF_DAY: Final = 86_400

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    """The moment, to the microsecond, as Postgres keeps it."""
    if moment is None:
        return None
    wire = timestamp_pb2.Timestamp()
    fill_timestamp(wire, moment)
    return wire


def fill_timestamp(wire: timestamp_pb2.Timestamp, moment: datetime) -> None:
    """Set the timestamp to the moment."""
    since = moment - EPOCH
    wire.seconds = since.days * SECONDS_OF_DAY + since.seconds
    wire.nanos = since.microseconds * 1000


def moment(wire: timestamp_pb2.Timestamp) -> datetime:
    """The timestamp cut to microseconds.

    Raises:
        ValueError: it lies outside the years 1 to 9999.
    """
    seconds = EPOCH + timedelta(seconds=wire.seconds)
    if not 0 <= wire.nanos < NANOSECONDS:
        raise ValueError("nanos must be from 0 to 999,999,999")
    return seconds + timedelta(microseconds=wire.nanos // 1000)


def duration(span: timedelta | None) -> duration_pb2.Duration | None:
    """The span as a Duration."""
    if span is None:
        return None
    wire = duration_pb2.Duration()
    wire.FromTimedelta(span)
    return wire


def span(wire: duration_pb2.Duration) -> timedelta:
    """The duration cut to microseconds.

    Raises:
        OverflowError: it is longer than a timedelta holds.
    """
    return timedelta(seconds=wire.seconds, microseconds=wire.nanos // 1000)


def to_struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    """The object as a Struct."""
    struct = struct_pb2.Struct()
    _fill_struct(struct, value)
    return struct


def to_value(value: Any) -> struct_pb2.Value:
    """Any JSON value as a Value."""
    wire = struct_pb2.Value()
    _fill(wire, value)
    return wire


# Struct.update does the same in twice the time, and every answer with a payload
# passes here.
def _fill_struct(struct: struct_pb2.Struct, value: Mapping[str, Any]) -> None:
    fields = struct.fields
    for key, each in value.items():
        _fill(fields[key], each)


def _fill(wire: struct_pb2.Value, value: Any) -> None:
    if isinstance(value, str):
        wire.string_value = value
    elif value is None:
        wire.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        wire.bool_value = value
    elif isinstance(value, int | float):
        wire.number_value = value
    elif isinstance(value, Mapping):
        wire.struct_value.SetInParent()
        _fill_struct(wire.struct_value, value)
    elif isinstance(value, list | tuple):
        _fill_list(wire.list_value, value)
    else:
        raise ValueError(f"{type(value).__name__} has no JSON form")


def _fill_list(wire: struct_pb2.ListValue, values: Sequence[Any]) -> None:
    wire.SetInParent()
    for each in values:
        _fill(wire.values.add(), each)


def from_struct(
    struct: struct_pb2.Struct, path: str, *, report: Report
) -> dict[str, Any]:
    """The Struct as plain Python, whole numbers as int; what is at fault is reported."""
    return _object(struct, path, limits.MAX_PAYLOAD_LEVELS, report)


def payload_text(struct: struct_pb2.Struct, path: str, *, report: Report) -> str:
    """The payload as canonical JSON; what is at fault is reported."""
    text = canonical_json(from_struct(struct, path, report=report))
    size = len(text.encode())
    if size > limits.MAX_PAYLOAD_BYTES:
        report(path, f"is {size:,} bytes as JSON; at most {limits.MAX_PAYLOAD_BYTES:,}")
    return text


def _object(
    struct: struct_pb2.Struct, path: str, levels: int, report: Report
) -> dict[str, Any]:
    if levels == 0:
        report(path, f"is nested deeper than {limits.MAX_PAYLOAD_LEVELS} levels")
        return {}
    plain = {}
    fields = struct.fields
    # items() of a message's map takes half as long again.
    for key in fields:
        here = f"{path}.{key}"
        if "\0" in key:
            report(here.replace("\0", "\\0"), "has a NUL character in its name")
        plain[key] = _value(fields[key], here, levels - 1, report)
    return plain


def _value(value: struct_pb2.Value, path: str, levels: int, report: Report) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        if "\0" in text:
            report(path, "has a NUL character")
        return text
    if kind == "number_value":
        return safe_number(value.number_value, path, report)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return _object(value.struct_value, path, levels, report)
    if kind == "list_value":
        return _list(value.list_value, path, levels, report)
    if kind is None:
        report(path, "is a Value without a kind")
    return None


def _list(
    values: struct_pb2.ListValue, path: str, levels: int, report: Report
) -> list[Any]:
    if levels == 0:
        report(path, f"is nested deeper than {limits.MAX_PAYLOAD_LEVELS} levels")
        return []
    return [
        _value(value, f"{path}[{index}]", levels - 1, report)
        for index, value in enumerate(values.values)
    ]


def safe_number(number: float, path: str, report: Report) -> int | float:
    """The number, whole ones as int; one that a double cannot tell apart is reported."""
    if not math.isfinite(number):
        report(path, "is not a finite number")
        return 0
    if not number.is_integer():
        return number
    if abs(number) > limits.MAX_SAFE_INTEGER:
        report(path, "is a whole number beyond 2^53 - 1; send it as a string")
    return int(number)


# Made once: json.dumps makes one for each call that is not plain.
_encode: Final = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
).encode


def canonical_json(value: Any) -> str:
    """JSON text that is equal, byte for byte, exactly where the values are equal.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value has no JSON form.
    """
    return _encode(value)
