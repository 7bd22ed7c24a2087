"""A path that swallows everything: both ends notice within ten seconds, and go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

from tandem import limits
from tandem.client import channel
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc
from tandem_creator.running import DEFAULT_TIMING
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.gates import standing_gate
from tests.support.group_members import LIMIT, create, joined
from tests.support.proxy import Proxy, running_proxy

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

NOTICED = 10.0
"""Seconds within which either end has to know."""

SLACK = 3.0
"""Seconds that a busy machine may add."""

LONG = 600.0
"""Seconds: whatever happens sooner is not for want of a frame or an answer."""


@asynccontextmanager
async def behind(proxy: Proxy) -> AsyncIterator[CreatorServiceAsyncStub]:
    """A client over the proxy, with the channel of Tandem's own clients."""
    async with channel(proxy.address) as over:
        yield creator_pb2_grpc.CreatorServiceStub(over)


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    async with running_proxy() as running:
        yield running


def test_a_quiet_stream_shows_that_it_lives_every_fifteen_seconds() -> None:
    assert limits.FRAME_SECONDS == 15
    assert DEFAULT_TIMING.frame == limits.FRAME_SECONDS


async def test_a_subscriber_on_a_dead_path_is_told_within_seconds(
    database: Database, proxy: Proxy
) -> None:
    """Also one that was sent nothing yet, and where no other path is left."""
    async with (
        served(database.creator_url, proxy=proxy, frame=LONG),
        behind(proxy) as far,
        standing_gate() as nowhere,
    ):
        call = far.StreamCreatedTasks(pb.StreamCreatedTasksRequest())
        async with asyncio.timeout(LIMIT):
            await call.initial_metadata()
        proxy.target = nowhere.address
        proxy.die()
        start = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(4 * NOTICED):
                await anext(aiter(call))

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - start < NOTICED + SLACK


async def test_p8_what_a_member_behind_a_dead_path_was_sent_goes_to_another(
    database: Database, proxy: Proxy
) -> None:
    async with (
        served(database.creator_url, proxy=proxy, frame=LONG, resend=LONG) as creator,
        behind(proxy) as far,
    ):
        made = await create(creator, 4)
        async with joined(far, credit=4) as cut_off:
            await cut_off.hear(4)
            proxy.die()
            start = time.monotonic()
            async with joined(creator, credit=4) as member:
                assert sorted(await member.hear(4)) == sorted(made)
                assert time.monotonic() - start < NOTICED + SLACK
            assert await cut_off.code() is grpc.StatusCode.UNAVAILABLE
