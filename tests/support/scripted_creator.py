"""A creator that sends what a test says, and keeps what its members answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import grpc

from tandem.handlers import Handlers
from tandem.v1 import creator_pb2 as pb
from tests.support.cluster import Database
from tests.support.processor import Working, working

Frames = AsyncIterator[pb.ConsumeCreatedTasksRequest]


class ScriptedCreator:
    """Sends what the test says as far as there is credit; keeps what members say."""

    def __init__(self, *task_ids: UUID) -> None:
        self.task_ids = [str(task_id) for task_id in task_ids]
        self.joins: list[pb.ConsumeCreatedTasksRequest.Join] = []
        self.confirmed: set[str] = set()
        self.given_back: list[str] = []
        self.most_credit = 0
        self.granted = 0
        self.credit = 0
        self.closed = False

    async def ConsumeCreatedTasks(
        self, requests: Frames, context: Any
    ) -> AsyncIterator[pb.ConsumeCreatedTasksResponse]:
        self.credit = 0
        async for request in requests:
            self._note(request)
            sent, self.task_ids = (
                self.task_ids[: self.credit],
                self.task_ids[self.credit :],
            )
            self.credit -= len(sent)
            if sent:
                yield pb.ConsumeCreatedTasksResponse(task_ids=sent)
        self.closed = True

    def _note(self, request: pb.ConsumeCreatedTasksRequest) -> None:
        kind = request.WhichOneof("kind")
        if kind == "join":
            self.joins.append(request.join)
        elif kind == "grant":
            self.credit += request.grant.credits
            self.granted += request.grant.credits
            self.most_credit = max(self.most_credit, self.credit)
        elif kind == "confirm":
            self.confirmed |= set(request.confirm.task_ids)
        else:
            self.given_back += request.give_back.task_ids


class GenerousCreator(ScriptedCreator):
    """Counts one credit more for each word of its member."""

    def _note(self, request: pb.ConsumeCreatedTasksRequest) -> None:
        super()._note(request)
        self.credit += 1


class CountingCreator(ScriptedCreator):
    """Counts for how many tasks more it was asked than had ended."""

    def __init__(self, *task_ids: UUID, ended: Sized) -> None:
        super().__init__(*task_ids)
        self.most_ahead = 0
        self._ended = ended

    def _note(self, request: pb.ConsumeCreatedTasksRequest) -> None:
        super()._note(request)
        self.most_ahead = max(self.most_ahead, self.granted - len(self._ended))


class PacedCreator(ScriptedCreator):
    """Sends when the test says so, whatever the credit, and takes the time."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = asyncio.get_running_loop().time
        self._waves: asyncio.Queue[list[str]] = asyncio.Queue()
        self._sent: dict[str, float] = {}
        self._back: dict[str, float] = {}

    def send(self, *task_ids: UUID) -> None:
        self._waves.put_nowait([str(task_id) for task_id in task_ids])

    def kept_for(self, task_id: UUID) -> float:
        """Seconds until it was given back."""
        return self._back[str(task_id)] - self._sent[str(task_id)]

    async def ConsumeCreatedTasks(
        self, requests: Frames, context: Any
    ) -> AsyncIterator[pb.ConsumeCreatedTasksResponse]:
        noting = asyncio.create_task(self._note_all(requests))
        try:
            while True:
                wave = await self._waves.get()
                self._sent |= dict.fromkeys(wave, self._clock())
                yield pb.ConsumeCreatedTasksResponse(task_ids=wave)
        finally:
            noting.cancel()

    async def _note_all(self, requests: Frames) -> None:
        async for request in requests:
            self._note(request)
            now = self._clock()
            self._back |= dict.fromkeys(request.give_back.task_ids, now)


@asynccontextmanager
async def serving(creator: ScriptedCreator) -> AsyncIterator[str]:
    consume = grpc.stream_stream_rpc_method_handler(
        creator.ConsumeCreatedTasks,
        request_deserializer=pb.ConsumeCreatedTasksRequest.FromString,
        response_serializer=pb.ConsumeCreatedTasksResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "tandem.v1.CreatorService", {"ConsumeCreatedTasks": consume}
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def followed(
    creator: ScriptedCreator, database: Database, handlers: Handlers, **settings: Any
) -> AsyncIterator[Working]:
    """A processor that follows this creator for the length of the block."""
    async with (
        serving(creator) as address,
        working(
            database.processor_url, handlers, creator_address=(address,), **settings
        ) as processor,
    ):
        yield processor
