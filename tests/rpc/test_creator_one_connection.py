"""The smallest pool is slow, and never stuck."""

from __future__ import annotations

import asyncio

import grpc

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc
from tandem_creator.running import running_creator
from tandem_creator.settings import CreatorSettings
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request

LIMIT = 20.0


async def test_one_connection_is_enough_for_every_method(database: Database) -> None:
    settings = CreatorSettings(
        database_url=database.creator_url, listen="127.0.0.1:0", grace=5.0, pool_size=1
    )
    async with asyncio.timeout(LIMIT), running_creator(settings) as creator:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{creator.port}")
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        request = a_request(request_id=a_new_id())
        first = await stub.CreateTask(request)
        again = await stub.CreateTask(request)
        batch = await stub.BatchCreateTasks(
            pb.BatchCreateTasksRequest(requests=[request, a_request()])
        )
        stream = stub.StreamCreatedTasks(
            pb.StreamCreatedTasksRequest(until_caught_up=True)
        )
        streamed = [each async for message in stream for each in message.task_ids]
        await channel.close()

    assert again.task.task_id == first.task.task_id
    assert streamed == [result.task.task_id for result in batch.results]
