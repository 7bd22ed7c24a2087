"""A creator that hands out whatever ids a test wants, to see what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from tandem.v1 import creator_pb2 as pb

LIMIT = 20.0


class FakeCreator:
    """Sends the ids to the first member that joins, and notes what it answers."""

    def __init__(self, task_ids: Sequence[str]) -> None:
        self._task_ids = task_ids
        self._answers: asyncio.Queue[pb.ConsumeCreatedTasksRequest] = asyncio.Queue()

    async def ConsumeCreatedTasks(
        self, requests: AsyncIterator[pb.ConsumeCreatedTasksRequest], context: Any
    ) -> AsyncIterator[pb.ConsumeCreatedTasksResponse]:
        async for request in requests:
            await self._answers.put(request)
            if request.WhichOneof("kind") == "grant" and self._task_ids:
                yield pb.ConsumeCreatedTasksResponse(task_ids=self._task_ids)
                self._task_ids = ()

    async def confirmed(self) -> set[str]:
        """The ids that the member is done with."""
        async with asyncio.timeout(LIMIT):
            while True:
                answer = await self._answers.get()
                if answer.WhichOneof("kind") == "confirm":
                    return set(answer.confirm.task_ids)


def _handler(servicer: FakeCreator) -> grpc.GenericRpcHandler:
    consume = grpc.stream_stream_rpc_method_handler(
        servicer.ConsumeCreatedTasks,
        request_deserializer=pb.ConsumeCreatedTasksRequest.FromString,
        response_serializer=pb.ConsumeCreatedTasksResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(
        "tandem.v1.CreatorService", {"ConsumeCreatedTasks": consume}
    )


@asynccontextmanager
async def fake_creator(
    task_ids: Sequence[str],
) -> AsyncIterator[tuple[FakeCreator, str]]:
    """The servicer, and the address it serves on."""
    servicer = FakeCreator(task_ids)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handler(servicer),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
