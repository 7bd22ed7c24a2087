from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import struct_pb2, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from tandem import wire
from tandem.errors import InvalidRequest
from tandem.validation import Violations

SAFE = 2**53 - 1

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.floats(-1e15, 1e15, allow_nan=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def parse(struct: struct_pb2.Struct) -> tuple[dict[str, Any], list[str]]:
    faults: list[str] = []
    plain = wire.from_struct(
        struct, "p", report=lambda path, fault: faults.append(f"{path} {fault}")
    )
    return plain, faults


@given(st.dictionaries(st.text("abc"), json_values, max_size=4))
def test_an_object_survives_the_wire(value: dict[str, Any]) -> None:
    plain, faults = parse(wire.to_struct(value))

    assert (plain, faults) == (value, [])


def test_whole_numbers_come_back_as_int() -> None:
    plain, _ = parse(wire.to_struct({"n": 3, "x": 2.5, "zero": -0.0}))

    assert wire.canonical_json(plain) == '{"n":3,"x":2.5,"zero":0}'


@pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 1e300, math.inf, math.nan])
def test_a_number_that_a_double_cannot_tell_apart_is_reported_by_path(
    number: float,
) -> None:
    struct = struct_pb2.Struct()
    struct.fields["a"].list_value.values.add().number_value = number

    assert [fault.split()[0] for fault in parse(struct)[1]] == ["p.a[0]"]


def test_nul_and_a_value_without_kind_are_reported_by_path() -> None:
    struct = struct_pb2.Struct()
    struct.fields["a"].string_value = "x\0"
    struct.fields["b"].struct_value.fields["c"].Clear()
    struct.fields["d\0"].bool_value = True

    assert sorted(fault.split()[0] for fault in parse(struct)[1]) == [
        "p.a",
        "p.b.c",
        "p.d\\0",
    ]


@pytest.mark.parametrize(("levels", "faults"), [(32, 0), (33, 1)])
def test_thirty_two_levels_are_the_limit(levels: int, faults: int) -> None:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}

    assert len(parse(wire.to_struct(value))[1]) == faults


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert wire.canonical_json({"b": 1, "a": [1, {"d": 0, "c": "é"}]}) == (
        '{"a":[1,{"c":"é","d":0}],"b":1}'
    )
    assert json.loads(wire.canonical_json({"é": 1})) == {"é": 1}


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives_the_wire(moment: datetime) -> None:
    stamp = wire.timestamp(moment)

    assert stamp is not None
    assert wire.moment(stamp) == moment


def test_nanoseconds_are_cut_not_rounded() -> None:
    stamp = timestamp_pb2.Timestamp(seconds=1, nanos=1999)

    assert wire.moment(stamp) == datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)


@given(st.timedeltas(timedelta(-9999), timedelta(9999)))
def test_a_span_survives_the_wire(span: timedelta) -> None:
    wired = wire.duration(span)

    assert wired is not None
    assert abs(wire.span(wired) - span) < timedelta(microseconds=2)


def test_an_impossible_moment_is_an_error() -> None:
    with pytest.raises(OverflowError):
        wire.moment(timestamp_pb2.Timestamp(seconds=2**60))
    with pytest.raises(ValueError, match="nanos"):
        wire.moment(timestamp_pb2.Timestamp(nanos=-1))


def test_every_violation_is_named_and_the_message_stays_short() -> None:
    found = Violations()
    for index in range(150):
        found.name(f"x[{index}]", "")

    with pytest.raises(InvalidRequest, match="and 130 more") as raised:
        found.refuse()

    named = [violation.field for violation in raised.value.violations]
    assert named == [f"x[{index}]" for index in range(150)]
