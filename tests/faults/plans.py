"""What callers want to be done: drawn from the seed, so that a run can be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final
from uuid import UUID

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.faults.site import QUEUES

PROJECT: Final = "faults"

TYPES: Final = {
    "quick": 25,
    "staged": 23,
    "flaky": 12,
    "blocking": 12,
    "slow": 14,
    "silent": 9,
    "doomed": 3,
    "overlong": 2,
}
"""How many of a hundred tasks are of each type."""

MOST_FAILURES: Final = 2
"""First attempts that fail; of one task in twenty, all of them."""

HOPELESS: Final = 99

KILLS: Final = 0.01
"""The part of the staged tasks that kill their processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One intended call: the requests of a batch, or one alone, maybe sent twice at once."""

    requests: Sequence[pb.CreateTaskRequest]
    is_batch: bool = False
    is_doubled: bool = False


def content_of(request: pb.CreateTaskRequest) -> str:
    """What tells one intended content from another."""
    return str(request.spec.payload["content"])


class Planner:
    """Draws the calls of one caller."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._earlier: list[pb.CreateTaskRequest] = []

    def calls(self, tasks: int) -> Iterator[Call]:
        """Calls that make about so many tasks."""
        while tasks > 0:
            call = self._call()
            yield call
            tasks -= len(call.requests)

    def _call(self) -> Call:
        kind = self._random.random()
        if kind < 0.1:
            count = self._random.randint(2, 6)
            return Call(requests=[self._new() for _ in range(count)], is_batch=True)
        if kind < 0.2:
            return Call(requests=[self._new()], is_doubled=True)
        if kind < 0.25 and self._earlier:
            return Call(requests=[self._again()])
        return Call(requests=[self._new()])

    def _again(self) -> pb.CreateTaskRequest:
        """An earlier call once more; now and then its id is used for something else."""
        earlier = self._random.choice(self._earlier)
        request = pb.CreateTaskRequest()
        request.CopyFrom(earlier)
        if self._random.random() < 0.3:
            request.spec.payload["content"] = f"{content_of(earlier)} other"
        return request

    def _new(self) -> pb.CreateTaskRequest:
        request = pb.CreateTaskRequest(
            request_id=str(UUID(int=self._random.getrandbits(128), version=4)),
            spec=self._spec(),
        )
        self._earlier.append(request)
        return request

    def _spec(self) -> task_pb2.TaskSpec:
        random = self._random
        spec = task_pb2.TaskSpec(
            project=PROJECT,
            type=random.choices(list(TYPES), list(TYPES.values()))[0],
            queue=random.choice(QUEUES),
            priority=random.choice(task_pb2.Priority.values()[1:]),
        )
        # A name that others want as well: the first of them makes the task.
        if random.random() < 0.1:
            spec.external_id = f"order-{random.randrange(1000)}"
        if random.random() < 0.05:
            spec.start_delay.FromMilliseconds(random.randint(100, 5000))
        spec.payload.update(
            {
                "content": f"{random.getrandbits(64):016x}",
                "failures": self._failures(),
                "seconds": round(random.uniform(0.5, 8), 2),
                "kill": spec.type == "staged" and random.random() < KILLS,
            }
        )
        return spec

    def _failures(self) -> int:
        if self._random.random() < 0.05:
            return HOPELESS
        return self._random.randint(0, MOST_FAILURES)
