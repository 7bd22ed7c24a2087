"""Members of a group, as clients of a creator over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

from tandem.v1 import creator_pb2 as pb
from tests.support.creator import a_new_id, a_request
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

Request = pb.ConsumeCreatedTasksRequest

LIMIT = 20.0

NO_TAKES = "SELECT NOT EXISTS (SELECT FROM tandem.takes)"


class Member:
    """A member of a group, as a client. It listens for as long as it is there."""

    def __init__(self, stub: CreatorServiceAsyncStub) -> None:
        self.processor_id = a_new_id()
        self._call = stub.ConsumeCreatedTasks()
        self._listening = asyncio.create_task(self._listen())
        self.seen: list[str] = []
        self.frames = 0
        self.credits_left = 0

    async def say(self, **kind: Any) -> None:
        await self._call.write(Request(**kind))

    async def _listen(self) -> None:
        while (message := await self._call.read()) is not grpc.aio.EOF:
            assert isinstance(message, pb.ConsumeCreatedTasksResponse)
            self.seen += message.task_ids
            self.credits_left = message.credits_left
            self.frames += not message.task_ids

    async def hear(self, count: int) -> list[str]:
        """Everything so far, once it is so many ids."""

        async def heard() -> bool:
            return len(self.seen) >= count

        await until(heard)
        return self.seen

    async def confirm(self, task_ids: Sequence[str]) -> None:
        await self.say(confirm=Request.Confirm(task_ids=task_ids))

    async def leave(self) -> None:
        self._call.cancel()
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def close(self) -> grpc.StatusCode:
        """Say that nothing more will be said, and hear the end."""
        await self._call.done_writing()
        return await self.code()

    async def code(self) -> grpc.StatusCode:
        async with asyncio.timeout(LIMIT):
            return await self._call.code()


def a_join(
    *,
    group: str = "processors",
    queues: Sequence[str] = ("default",),
    types: Sequence[str] = (),
    processor_id: str = "",
) -> pb.ConsumeCreatedTasksRequest.Join:
    return Request.Join(
        group=group,
        queues=queues,
        processor_id=processor_id or a_new_id(),
        types=types,
    )


@asynccontextmanager
async def joined(
    stub: CreatorServiceAsyncStub,
    *,
    credit: int = 0,
    **wanted: Any,
) -> AsyncIterator[Member]:
    member = Member(stub)
    await member.say(join=a_join(processor_id=member.processor_id, **wanted))
    if credit:
        await member.say(grant=Request.Grant(credits=credit))
    try:
        yield member
    finally:
        await member.leave()


async def create(stub: CreatorServiceAsyncStub, count: int, **spec: Any) -> list[str]:
    made = await asyncio.gather(
        *(
            stub.CreateTask(a_request(request_id=a_new_id(), **spec))
            for _ in range(count)
        )
    )
    return [response.task.task_id for response in made]


async def share_out(members: Sequence[Member], count: int) -> None:
    """Wait until they have heard of so many ids together."""

    async def heard() -> bool:
        return sum(len(member.seen) for member in members) >= count

    await until(heard)
