from __future__ import annotations

import re
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2

from tandem import errors
from tandem.errors import InvalidRequest, StoreUnavailable, TandemError, Violation

METADATA_LIMIT = 8 * 1024 - 300
"""What gRPC accepts by default, less the headers that it adds itself."""

EVERY = [
    error
    for error in vars(errors).values()
    if isinstance(error, type)
    and issubclass(error, TandemError)
    and error is not TandemError
]


@pytest.mark.parametrize("error", EVERY, ids=lambda e: e.__name__)
def test_each_error_has_one_stable_reason(error: type[TandemError]) -> None:
    assert re.fullmatch(r"[A-Z][A-Z_]{2,62}", error.reason)
    assert sum(other.reason == error.reason for other in EVERY) == 1


@pytest.mark.parametrize("error", EVERY, ids=lambda e: e.__name__)
def test_only_errors_that_a_repeat_can_mend_say_when_to_repeat(
    error: type[TandemError],
) -> None:
    passing = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}

    assert (error.retry_after is not None) == (error.code in passing)


def test_a_status_begins_with_its_reason_and_carries_the_values_it_names() -> None:
    status = errors.RequestIdReused("it was", task_id="7").to_status()
    info = error_details_pb2.ErrorInfo()

    assert status.message == "REQUEST_ID_REUSED: it was"
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("tandem", "REQUEST_ID_REUSED")
    assert dict(info.metadata) == {"task_id": "7"}


def test_every_violation_is_in_the_status() -> None:
    found = [Violation("a", "is required"), Violation("b", "is too long")]
    status = InvalidRequest("two", violations=found).to_status()
    bad = error_details_pb2.BadRequest()

    assert status.details[1].Unpack(bad)
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("a", "is required"),
        ("b", "is too long"),
    ]


def test_a_retryable_error_pushes_back_by_detail_and_by_trailer() -> None:
    error = StoreUnavailable("away")
    retry = error_details_pb2.RetryInfo()

    assert error.to_status().details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 250
    assert ("grpc-retry-pushback-ms", "250") in error.trailers()


def test_a_client_finds_every_error_by_its_reason() -> None:
    assert {error.reason: error for error in EVERY} == errors.BY_REASON


def test_p10_any_number_of_violations_fits_and_none_goes_unnamed() -> None:
    found = [
        Violation(f"requests[{n}].spec.project", "must be something rather long")
        for n in range(1, 1000, 2)
    ]
    error = InvalidRequest("é" * 10_000, violations=found, many="x" * 10_000)

    told = violations_of(error)

    assert size_of(error) < METADATA_LIMIT
    assert told[0] == (found[0].field, found[0].description)
    field, rest = told[-1]
    named = {int(re.findall(r"\d+", path)[0]) for path, _ in told[:-1]}
    assert field == "requests"
    assert named | {int(n) for n in re.findall(r"\d+", rest)} == set(range(1, 1000, 2))


def test_p10_long_paths_are_cut_and_still_fit() -> None:
    found = [Violation(f"spec.payload.{n}{'k' * 60_000}", "is bad") for n in range(50)]
    error = InvalidRequest("many", violations=found)

    told = violations_of(error)

    assert size_of(error) < METADATA_LIMIT
    assert told[0][0].startswith("spec.payload.0kkk")
    assert told[-1][1].startswith(f"{50 - len(told) + 1} more: spec.payload.")


def violations_of(error: TandemError) -> list[tuple[str, str]]:
    bad = error_details_pb2.BadRequest()
    assert error.to_status().details[1].Unpack(bad)
    return [(v.field, v.description) for v in bad.field_violations]


def size_of(error: TandemError) -> int:
    """As gRPC counts it: the message stands in a header of its own, too."""
    message = len(quote(error.told, safe=" "))
    return message + sum(32 + len(k) + len(v) for k, v in error.trailers())
