"""The messages of one create, about 250 B in and 300 B out, each with its own ids."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from benchmarks.payload import PAYLOAD
from tandem import wire
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2

PROJECT: Final = "bench"

SPEC: Final = task_pb2.TaskSpec(
    project=PROJECT, type="blog_post", payload=wire.to_struct(PAYLOAD)
)


def request_ids(seed: int) -> Iterator[str]:
    """Random ids without end, the same ones for the same seed."""
    source = random.Random(seed)
    while True:
        yield str(UUID(int=source.getrandbits(128), version=4))


def requests(seed: int) -> Iterator[pb.CreateTaskRequest]:
    """Creates without end; a seed that was used before replays them."""
    for request_id in request_ids(seed):
        yield pb.CreateTaskRequest(request_id=request_id, spec=SPEC)


def named_requests(seed: int) -> Iterator[pb.CreateTaskRequest]:
    """The same, each with an external id of its own."""
    for request in requests(seed):
        request.spec.external_id = external_id(request.request_id)
        yield request


def external_id(request_id: str) -> str:
    return f"wf-{request_id}"


def batches(seed: int, size: int) -> Iterator[pb.BatchCreateTasksRequest]:
    """Batches of creates without end."""
    source = requests(seed)
    while True:
        yield pb.BatchCreateTasksRequest(requests=[next(source) for _ in range(size)])


def response() -> pb.CreateTaskResponse:
    """What a creator answers to such a create, field for field."""
    request_id = next(request_ids(0))
    spec = task_pb2.TaskSpec()
    spec.CopyFrom(SPEC)
    spec.queue = "default"
    spec.priority = task_pb2.PRIORITY_NORMAL
    task = task_pb2.Task(
        task_id=request_id,
        spec=spec,
        status=task_pb2.TaskStatus(state=task_pb2.TaskStatus.STATE_PENDING),
        create_time=wire.timestamp(datetime.now(UTC)),
        request_id=request_id,
    )
    return pb.CreateTaskResponse(
        task=task,
        outcome=pb.CreateTaskResponse.OUTCOME_CREATED,
        request_id=request_id,
    )
