"""A long list, split so that no repeat of it can make a task twice."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem import limits
from tandem.client import Spec
from tandem.client.batches import MAX_BYTES, Batch, counted_from, requests, split
from tandem.errors import InvalidRequest, Violation
from tandem.v1.creator_pb2 import BatchCreateTasksRequest, CreateTaskRequest

BATCH = UUID("6f1a3f0e-0a55-4d0d-9f0a-5f3c1d8f0a11")
POLICY = CreateTaskRequest.EXTERNAL_ID_POLICY_UNSPECIFIED


def creates(count: int, size: int = 0) -> list[CreateTaskRequest]:
    spec = Spec(project="shop", type="email", payload={"text": "x" * size})
    return list(requests([spec] * count, BATCH, policy=POLICY))


def size_of(batch: Batch) -> int:
    return BatchCreateTasksRequest(requests=batch.requests).ByteSize()


def test_an_id_comes_from_the_place_in_the_whole_list() -> None:
    ids = [create.request_id for create in creates(3)]

    assert ids == [str(uuid5(BATCH, str(index))) for index in range(3)]


def test_a_list_that_fits_is_one_batch() -> None:
    (batch,) = split(creates(limits.MAX_BATCH))

    assert (batch.first, len(batch.requests)) == (0, limits.MAX_BATCH)


def test_nothing_is_no_batch() -> None:
    assert list(split([])) == []


def test_a_long_list_is_split_by_count() -> None:
    made = [
        (b.first, len(b.requests)) for b in split(creates(2 * limits.MAX_BATCH + 1))
    ]

    assert made == [(0, 1000), (1000, 1000), (2000, 1)]


def test_a_heavy_list_is_split_by_bytes() -> None:
    heavy = creates(100, size=limits.MAX_PAYLOAD_BYTES - 100)

    batches = list(split(heavy))

    assert len(batches) == 4
    assert all(size_of(b) <= MAX_BYTES for b in batches)
    assert [r for b in batches for r in b.requests] == heavy


def test_what_no_batch_can_hold_goes_alone_for_the_service_to_refuse() -> None:
    big = creates(1, size=MAX_BYTES)

    assert [len(b.requests) for b in split(creates(1) + big + creates(1))] == [1, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400_000), max_size=20))
def test_every_batch_is_in_order_whole_and_within_the_limits(sizes: list[int]) -> None:
    specs = [Spec(project="a", type="b", title="x" * size) for size in sizes]
    given_ = list(requests(specs, uuid4(), policy=POLICY))

    batches: list[Batch] = list(split(given_))

    assert [r for b in batches for r in b.requests] == given_
    assert [b.first for b in batches] == [
        sum(len(b.requests) for b in batches[:index]) for index in range(len(batches))
    ]
    assert all(size_of(b) <= MAX_BYTES for b in batches)


def test_a_failure_names_places_in_the_whole_list() -> None:
    told = InvalidRequest(
        "requests[0] and requests[7] have the same request_id",
        violations=[Violation("requests[7].request_id", "is that of requests[0] too")],
        index="7",
    )

    with pytest.raises(InvalidRequest) as caught, counted_from(1000):
        raise told

    assert str(caught.value) == (
        "requests[1000] and requests[1007] have the same request_id"
    )
    assert caught.value.violations == (
        Violation("requests[1007].request_id", "is that of requests[1000] too"),
    )
    assert caught.value.metadata["index"] == "1007"
