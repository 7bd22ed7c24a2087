"""No creator hears another one's bell: everything works, only later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tandem.v1 import creator_pb2 as pb
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.group_members import LIMIT, create, joined

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

NO_BELL = "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) FROM PUBLIC"

Creators = tuple["CreatorServiceAsyncStub", "CreatorServiceAsyncStub"]


@pytest.fixture
async def creators(database: Database) -> AsyncIterator[Creators]:
    """Two of them, neither of which may ring."""
    async with database.admin() as admin:
        await admin.execute(NO_BELL)
    async with (
        served(database.creator_url) as here,
        served(database.creator_url) as there,
    ):
        yield here, there


async def test_p5_a_subscriber_at_another_creator_is_sent_what_is_created(
    creators: Creators,
) -> None:
    here, there = creators
    stream = aiter(
        there.StreamCreatedTasks(
            pb.StreamCreatedTasksRequest(start=pb.StreamCreatedTasksRequest.START_NOW)
        )
    )
    async with asyncio.timeout(LIMIT):
        await anext(stream)
        for _ in range(2):
            made = await create(here, 1)
            assert list((await anext(stream)).task_ids) == made


async def test_p8_a_member_at_another_creator_is_sent_what_is_created(
    creators: Creators,
) -> None:
    here, there = creators
    async with joined(there, credit=10) as member:
        first = await create(here, 1)
        assert await member.hear(1) == first
        more = await create(here, 3)
        assert sorted(await member.hear(4)) == sorted(first + more)
