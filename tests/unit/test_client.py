from __future__ import annotations

from typing import Any
from uuid import UUID

import grpc
import pytest

from tandem import client
from tandem.errors import InvalidRequest, Violation


def test_the_same_text_makes_the_same_request_id() -> None:
    first, again = client.request_id_from("order 7"), client.request_id_from("order 7")

    assert first == again == str(UUID(first))
    assert UUID(first).version == 5
    assert client.request_id_from("order 8") != first


@pytest.mark.parametrize(
    ("addresses", "uri"),
    [
        (["creator:7101"], "creator:7101"),
        (["127.0.0.1:1", "localhost:2"], "ipv4:127.0.0.1:1,127.0.0.1:2"),
        (["[::1]:1", "[::1]:2"], "ipv6:[::1]:1,[::1]:2"),
    ],
)
def test_addresses_are_named_as_grpc_wants_them(addresses: list[str], uri: str) -> None:
    assert client.uri(addresses) == uri


@pytest.mark.parametrize(
    "addresses", [["creator:1", "127.0.0.1:2"], ["127.0.0.1:1", "[::1]:2"]]
)
def test_several_addresses_are_numbers_of_one_kind(addresses: list[str]) -> None:
    with pytest.raises(ValueError, match="several addresses must be"):
        client.uri(addresses)


class Failed(grpc.RpcError):
    """What a client catches, without the call."""

    def __init__(self, trailers: tuple[tuple[str, str | bytes], ...]) -> None:
        self._trailers = trailers

    def trailing_metadata(self) -> Any:
        return self._trailers


def test_the_reason_of_an_error_is_read_off_its_trailers() -> None:
    error = InvalidRequest(
        "spec.type is required",
        violations=[Violation("spec.type", "is required")],
        task_id="7",
    )

    reason = client.reason_of(Failed(error.trailers()))

    assert reason is not None
    assert reason.reason == "INVALID_REQUEST"
    assert reason.message == "INVALID_REQUEST: spec.type is required"
    assert reason.metadata == {"task_id": "7"}
    assert reason.violations == [Violation("spec.type", "is required")]


def test_an_error_that_is_not_tandems_has_no_reason() -> None:
    assert client.reason_of(Failed(())) is None
    assert client.reason_of(grpc.RpcError()) is None
