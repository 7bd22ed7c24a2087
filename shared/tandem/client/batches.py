"""A long list as batches that the service takes, safe to repeat however it is split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid5

from tandem import limits
from tandem.client.specs import Spec, spec_to_wire
from tandem.errors import TandemError, Violation
from tandem.v1 import creator_pb2, task_pb2

MAX_BYTES: Final = limits.MAX_MESSAGE_BYTES // 2
"""Of one batch. Its answer is longer than itself, and has the same limit."""

OVERHEAD: Final = 8
"""Bytes, at most, that a request takes in a batch beside its own."""

_INDEX: Final = re.compile(r"\brequests\[(\d+)\]")


@dataclass(slots=True)
class Batch:
    """Requests that stand one after another in the list."""

    first: int
    """Where in the whole list it begins."""

    requests: list[creator_pb2.CreateTaskRequest] = field(default_factory=list)
    size: int = 0

    def has_room(self, size: int) -> bool:
        """Always, while it is empty: what no batch can hold is for the service to refuse."""
        count = len(self.requests)
        return not count or (count < limits.MAX_BATCH and self.size + size <= MAX_BYTES)

    def add(self, request: creator_pb2.CreateTaskRequest, size: int) -> None:
        self.requests.append(request)
        self.size += size


def requests(
    specs: Iterable[Spec | task_pb2.TaskSpec],
    batch_id: UUID,
    *,
    policy: creator_pb2.CreateTaskRequest.ExternalIdPolicy.ValueType,
) -> Iterator[creator_pb2.CreateTaskRequest]:
    """A create for each, its id made from the place in the whole list."""
    for index, spec in enumerate(specs):
        yield creator_pb2.CreateTaskRequest(
            request_id=str(uuid5(batch_id, str(index))),
            spec=spec_to_wire(spec),
            external_id_policy=policy,
        )


def split(creates: Iterable[creator_pb2.CreateTaskRequest]) -> Iterator[Batch]:
    """Batches in order, as few as the limits of one call allow."""
    batch = Batch(0)
    for create in creates:
        size = create.ByteSize() + OVERHEAD
        if not batch.has_room(size):
            yield batch
            batch = Batch(batch.first + len(batch.requests))
        batch.add(create, size)
    if batch.requests:
        yield batch


@contextmanager
def counted_from(first: int) -> Iterator[None]:
    """Failures of the block name places in the whole list, not in its batch."""
    try:
        yield
    except TandemError as failure:
        failure.violations = tuple(
            Violation(_moved(v.field, first), _moved(v.description, first))
            for v in failure.violations
        )
        failure.args = tuple(_moved(str(text), first) for text in failure.args)
        if index := failure.metadata.get("index"):
            failure.metadata["index"] = str(first + int(index))
        raise


def _moved(text: str, first: int) -> str:
    return _INDEX.sub(lambda found: f"requests[{first + int(found[1])}]", text)
