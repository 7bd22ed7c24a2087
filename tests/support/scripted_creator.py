"""A creator that sends what a test says, and keeps what its members answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
