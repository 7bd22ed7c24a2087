"""Clients of a service that stops while they call: another one answers them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc

from tandem.client import AsyncClient, Spec
from tandem.server import Server
from tandem.v1 import creator_pb2, creator_pb2_grpc
from tests.support.scripted import CREATOR

CALLERS = 30
LIMIT = 30.0


class Creator:
    """Answers every create, after a moment."""

    def __init__(self) -> None:
        self.answered = 0
        self.is_busy = asyncio.Event()

    def __getattr__(self, method: str) -> Any:
        return self._create

    async def _create(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(0.002)
        self.answered += 1
        if self.answered > CALLERS:
            self.is_busy.set()
        return creator_pb2.CreateTaskResponse(
            outcome=creator_pb2.CreateTaskResponse.OUTCOME_CREATED
        )


async def test_p11_callers_do_not_notice_that_one_of_two_creators_stops() -> None:
    stopping, staying = Creator(), Creator()
    servers = [Server(c, CREATOR, listen="127.0.0.1:0") for c in (stopping, staying)]
    addresses = [f"127.0.0.1:{await server.start()}" for server in servers]
    over = asyncio.Event()

    async def call(client: AsyncClient) -> None:
        while not over.is_set():
            await client.create(Spec(project="shop", type="email"), within=LIMIT)

    try:
        async with AsyncClient(addresses) as client, asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(call(client))
            await stopping.is_busy.wait()
            await servers[0].stop(LIMIT)
            over.set()
    finally:
        for server in servers:
            await server.stop(0)


async def test_grpc_says_cancelled_of_calls_that_reach_a_stopping_server() -> None:
    """Why a client takes a CANCELLED that it did not ask for as an outage."""
    codes: Counter[grpc.StatusCode] = Counter()

    async def call(stub: creator_pb2_grpc.CreatorServiceAsyncStub) -> None:
        request = creator_pb2.CreateTaskRequest()
        while True:
            try:
                await stub.CreateTask(request, timeout=LIMIT)
            except grpc.aio.AioRpcError as error:
                codes[error.code()] += 1
                return

    async with asyncio.timeout(LIMIT):
        while not codes[grpc.StatusCode.CANCELLED]:
            creator = Creator()
            server = Server(creator, CREATOR, listen="127.0.0.1:0")
            address = f"127.0.0.1:{await server.start()}"
            async with grpc.aio.insecure_channel(address) as channel:
                stub: Any = creator_pb2_grpc.CreatorServiceStub(channel)
                async with asyncio.TaskGroup() as callers:
                    for _ in range(CALLERS):
                        callers.create_task(call(stub))
                    await creator.is_busy.wait()
                    await server.stop(LIMIT)
    assert codes.keys() <= {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
