"""The database goes away and comes back: both services wait it out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tandem.client import reason_of
from tandem.health import wait_until_serving
from tandem.pair import ANY_PORT, Pair
from tandem.v1 import creator_pb2, processor_pb2
from tandem.v1.creator_pb2_grpc import CreatorServiceStub
from tandem.v1.processor_pb2_grpc import ProcessorServiceStub
from tests.support.creator import a_new_id, a_request
from tests.support.lonely_server import (
    LonelyServer,
    lonely_server,
    wait_until_not_serving,
)
from tests.support.running_pair import handlers_path
from tests.support.scrapes import ANY_PORT as METRICS_ANYWHERE
from tests.support.scrapes import scrape_of
from tests.support.service_logs import ServiceLogs

HANDLERS = "tests.support.system_handlers:handlers"
LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Lonely:
    """One service of each kind, on a server that a test may stop."""

    server: LonelyServer
    creator: Any
    processor: Any

    @property
    def pair(self) -> Pair:
        return self.server.pair

    @property
    def logs(self) -> ServiceLogs:
        return self.server.logs

    @property
    def addresses(self) -> tuple[str, str]:
        return self.pair.creators[0].address, self.pair.processors[0].address

    async def go_away(self) -> None:
        await self.server.stop()
        async with asyncio.timeout(LIMIT):
            for address in self.addresses:
                await wait_until_not_serving(address)

    async def come_back(self) -> None:
        await self.server.start()
        async with asyncio.timeout(LIMIT):
            for address in self.addresses:
                await wait_until_serving(address)


@pytest.fixture
async def lonely() -> AsyncIterator[Lonely]:
    async with lonely_server(handlers=HANDLERS) as server:
        pair = server.pair
        await pair.start_creators([ANY_PORT], environ=METRICS_ANYWHERE)
        environ = {**METRICS_ANYWHERE, "PYTHONPATH": handlers_path()}
        await pair.start_processors([ANY_PORT], environ=environ)
        async with (
            grpc.aio.insecure_channel(pair.creator_address) as creators,
            grpc.aio.insecure_channel(pair.processor_address) as processors,
        ):
            yield Lonely(
                server, CreatorServiceStub(creators), ProcessorServiceStub(processors)
            )


async def test_c7_a_create_is_refused_at_once_and_succeeds_later_once(
    lonely: Lonely,
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1}, type="echo")
    await lonely.go_away()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lonely.creator.CreateTask(request, timeout=LIMIT)
    _assert_away(refused.value)

    await lonely.come_back()
    first = await lonely.creator.CreateTask(request)
    again = await lonely.creator.CreateTask(request)

    assert first.outcome == creator_pb2.CreateTaskResponse.OUTCOME_CREATED
    assert again.outcome == creator_pb2.CreateTaskResponse.OUTCOME_REPLAYED
    assert first.task.task_id == again.task.task_id
    watch = processor_pb2.WatchTaskRequest(task_id=first.task.task_id)
    seen = [answer async for answer in lonely.processor.WatchTask(watch, timeout=LIMIT)]
    assert seen[-1].task.status.attempt == 1


async def test_reading_is_refused_as_unavailable_and_nobody_dies(
    lonely: Lonely,
) -> None:
    await lonely.go_away()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lonely.processor.GetTask(
            processor_pb2.GetTaskRequest(task_id=a_new_id()), timeout=LIMIT
        )
    _assert_away(refused.value)
    await lonely.come_back()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lonely.processor.GetTask(processor_pb2.GetTaskRequest(task_id=a_new_id()))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert lonely.pair.creators[0].is_running
    assert lonely.pair.processors[0].is_running
    assert "Traceback" not in lonely.logs.text()
    assert "DEFECT" not in lonely.logs.text()


async def test_metrics_are_told_all_the_same_and_say_so(lonely: Lonely) -> None:
    labels = ("creator-1", "processor-1")
    before = [await scrape_of(lonely.logs, label) for label in labels]
    await lonely.go_away()
    with pytest.raises(grpc.aio.AioRpcError):
        await lonely.creator.CreateTask(a_request(), timeout=LIMIT)

    creator, processor = [await scrape_of(lonely.logs, label) for label in labels]

    assert [each.total("tandem_serving") for each in before] == [1, 1]
    assert [each.total("tandem_serving") for each in (creator, processor)] == [0, 0]
    away = {"STORE_UNAVAILABLE": 1}
    assert creator.by("tandem_creates_refused_total", "reason") == away
    assert processor.has("tandem_attempts_running")
    assert "Traceback" not in lonely.logs.text()


def _assert_away(error: grpc.aio.AioRpcError) -> None:
    reason = reason_of(error)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert reason is not None
    assert reason.reason == "STORE_UNAVAILABLE"
