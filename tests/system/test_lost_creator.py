"""A creator dies, or stands still, with ids in its hands: another hands them out."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc
import pytest

from tandem.pair import ANY_PORT, Logins, Pair
from tandem.processes import ServiceProcess
from tandem.v1 import creator_pb2_grpc
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.group_members import NO_TAKES, create, joined
from tests.support.running_pair import RunningPair
from tests.support.until import until


@contextmanager
def struck(process: ServiceProcess, number: signal.Signals) -> Iterator[None]:
    """It is sent this signal; at the end of the block it may go on if it can."""
    os.kill(process.pid, number)
    try:
        yield
    finally:
        if process.is_running:
            os.kill(process.pid, signal.SIGCONT)


@asynccontextmanager
async def two_creators(database: Database) -> AsyncIterator[Pair]:
    logins = Logins(
        creator_url=database.creator_url, processor_url=database.processor_url
    )
    async with Pair(logins, handlers="", on_line=lambda *_: None) as pair:
        await pair.start_creators([ANY_PORT] * 2)
        yield pair


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_p8_ids_in_the_hands_of_a_lost_creator_reach_another_ones_member(
    database: Database, number: signal.Signals
) -> None:
    async with (
        two_creators(database) as pair,
        grpc.aio.insecure_channel(pair.creators[0].address) as lost,
        grpc.aio.insecure_channel(pair.creators[1].address) as left,
        database.admin() as admin,
    ):
        here = creator_pb2_grpc.CreatorServiceStub(lost)
        there = creator_pb2_grpc.CreatorServiceStub(left)
        made = await create(there, 4)
        async with joined(here, credit=4) as member:
            await member.hear(4)
            with struck(pair.creators[0], number):
                async with joined(there, credit=4) as other:
                    assert sorted(await other.hear(4)) == sorted(made)
                    await other.confirm(made)
                    await until(lambda: admin.fetchval(NO_TAKES))


async def test_p8_processors_leave_a_creator_that_stands_still(
    pair: RunningPair,
) -> None:
    """Both follow the first one: its connection stays open, and nothing comes."""
    with struck(pair.pair.creators[0], signal.SIGSTOP):
        request = a_request(request_id=a_new_id(), payload={}, type="echo")
        created = await pair.creators[1].CreateTask(request)
        done = await pair.finished(created.task.task_id)
    assert done.status.attempt == 1
