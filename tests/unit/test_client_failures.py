"""Each reason of the table becomes its own exception; what is not in it keeps its words."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from tandem import errors
from tandem.client import CallFailed, TimedOut, Unreachable, failure_of, reason_of
from tandem.client.failures import naming
from tandem.errors import DETAILS_KEY, InvalidRequest, TandemError, Violation


class Failed(grpc.RpcError):
    """What a client catches, without the call."""

    def __init__(
        self, code: grpc.StatusCode, details: str = "", trailers: Any = ()
    ) -> None:
        self._code = code
        self._details = details
        self._trailers = trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailers


def sent(error: TandemError) -> Failed:
    """The error as a client meets it."""
    return Failed(error.code, f"{error.reason}: {error}", error.trailers())


def a_status(info: error_details_pb2.ErrorInfo, message: str) -> Failed:
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(message=message, details=[packed])
    trailers = [(DETAILS_KEY, status.SerializeToString())]
    return Failed(grpc.StatusCode.ABORTED, message, trailers)


@pytest.mark.parametrize("kind", errors.BY_REASON.values(), ids=lambda k: k.__name__)
def test_each_reason_is_raised_as_the_class_that_the_server_raised(
    kind: type[TandemError],
) -> None:
    told = kind("what is wrong", violations=[Violation("a", "is bad")], task_id="7")

    failure = failure_of(sent(told))

    assert type(failure) is kind
    assert str(failure) == "what is wrong"
    assert failure.metadata == {"task_id": "7"}
    assert failure.violations == (Violation("a", "is bad"),)
    assert (failure.code, failure.reason) == (kind.code, kind.reason)
    assert failure.retry_after == kind.retry_after


def test_the_wait_that_the_server_asks_for_is_its_own() -> None:
    told = errors.Overloaded("too much")
    told.retry_after = 7.5

    assert failure_of(sent(told)).retry_after == 7.5


def test_metadata_of_any_name_is_kept() -> None:
    told = InvalidRequest("x")
    told.metadata = {"message": "a", "violations": "b", "self": "c"}

    assert failure_of(sent(told)).metadata == told.metadata


def test_a_reason_newer_than_this_client_keeps_its_code_and_words() -> None:
    info = error_details_pb2.ErrorInfo(
        domain="tandem", reason="QUOTA_SPENT", metadata={"project": "shop"}
    )

    failure = failure_of(a_status(info, "QUOTA_SPENT: nothing is left"))

    assert type(failure) is CallFailed
    assert (failure.code, failure.reason) == (
        grpc.StatusCode.ABORTED,
        "QUOTA_SPENT",
    )
    assert str(failure) == "nothing is left"
    assert failure.metadata == {"project": "shop"}


def test_the_reason_of_another_domain_is_not_taken_for_ours() -> None:
    info = error_details_pb2.ErrorInfo(domain="proxy", reason="TASK_NOT_FOUND")
    error = a_status(info, "no such route")

    assert reason_of(error) is None
    assert type(failure_of(error)) is CallFailed


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TimedOut),
        (grpc.StatusCode.INTERNAL, CallFailed),
    ],
)
def test_what_is_not_tandems_own_answer_is_told_by_its_code(
    code: grpc.StatusCode, kind: type[CallFailed]
) -> None:
    failure = failure_of(Failed(code, "the words"))

    assert type(failure) is kind
    assert (failure.code, failure.reason, str(failure)) == (code, "", "the words")


def test_a_failure_without_words_says_its_code() -> None:
    assert str(failure_of(Failed(grpc.StatusCode.UNKNOWN))) == "UNKNOWN"


def test_what_the_server_names_wins_over_what_the_client_adds() -> None:
    with pytest.raises(InvalidRequest) as caught, naming(request_id="ours", more="x"):
        raise InvalidRequest("x", request_id="theirs")

    assert caught.value.metadata == {"request_id": "theirs", "more": "x"}


def test_p11_a_call_that_a_stopping_service_dropped_may_be_repeated() -> None:
    failure = failure_of(Failed(grpc.StatusCode.CANCELLED, "CANCELLED"))

    assert type(failure) is Unreachable
    assert failure.code is grpc.StatusCode.UNAVAILABLE


def test_a_call_whose_own_channel_was_closed_is_not_repeated() -> None:
    failure = failure_of(Failed(grpc.StatusCode.CANCELLED, "Channel closed!"))

    assert type(failure) is CallFailed
