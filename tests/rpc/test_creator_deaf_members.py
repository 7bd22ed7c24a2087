"""Members that are there and take nothing: noticed, counted, and in nobody's way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests import factories
from tests.support.cluster import Database
from tests.support.creator import a_new_id, served
from tests.support.group_members import Request, a_join, create, joined
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

MANY = 6000
"""Ids that fill what a transport holds by itself several times over."""

NARROW = (("grpc.http2.bdp_probe", 0),)
"""A client whose transport holds 64 KiB unread, not the megabytes of a fast path."""

LONG = 600.0
"""Seconds: what is given up sooner is not given up for want of an answer."""

COUNTED = """
SELECT sum(g.members) AS members, sum(g.deaf) AS deaf
FROM tandem.group_members AS g
WHERE g.group_name = $1
  AND g.update_time > now() - interval '30 s'
"""

ALL_TAKEN = """
SELECT p.position >= (SELECT max(s.position) FROM tandem.task_status AS s)
FROM tandem.group_places AS p
"""


async def counted(
    pool: asyncpg.Pool, members: int | None, deaf: int | None, group: str = "processors"
) -> None:
    """Wait until whoever tells statistics is told so."""

    async def told() -> bool:
        found = await pool.fetchrow(COUNTED, group)
        return found is not None and tuple(found) == (members, deaf)

    await until(told, seconds=30)


@asynccontextmanager
async def stuck_member(
    stub: CreatorServiceAsyncStub, *, credit: int
) -> AsyncIterator[str]:
    """A member that never reads what its stream brings. Its processor id."""
    call = stub.ConsumeCreatedTasks()
    processor_id = a_new_id()
    await call.write(Request(join=a_join(processor_id=processor_id)))
    await call.write(Request(grant=Request.Grant(credits=credit)))
    try:
        yield processor_id
    finally:
        call.cancel()


async def test_members_are_counted_over_all_creators_and_groups(
    database: Database, processor_pool: asyncpg.Pool
) -> None:
    async with (
        served(database.creator_url) as first,
        served(database.creator_url) as second,
    ):
        async with joined(first), joined(second), joined(second, group="readers"):
            await counted(processor_pool, 2, 0)
            await counted(processor_pool, 1, 0, "readers")
        await counted(processor_pool, None, None)


async def test_a_creator_that_stops_takes_its_count_along(
    database: Database, owner_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    async with served(database.creator_url) as creator, joined(creator):
        await counted(processor_pool, 1, 0)

    assert await owner_pool.fetchval("SELECT count(*) FROM tandem.group_members") == 0


async def test_the_count_of_a_creator_that_died_is_swept(
    database: Database, owner_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute(
        "INSERT INTO tandem.group_members (group_name, creator_name, members, deaf,"
        " update_time) VALUES ('gone', 'dead', 9, 3, now() - interval '1 min')"
    )
    async with served(database.creator_url) as creator, joined(creator):
        await counted(processor_pool, 1, 0)

        assert (
            await owner_pool.fetchval("SELECT count(*) FROM tandem.group_members") == 1
        )


async def test_a_mute_member_is_logged_counted_and_passed_over(
    database: Database, processor_pool: asyncpg.Pool
) -> None:
    """It goes on granting, as one whose claims hang would."""
    with capture_logs() as logs:
        async with served(database.creator_url, resend=1.0) as creator:
            made = await create(creator, 4)
            async with joined(creator, credit=100) as mute:
                await mute.hear(4)
                async with joined(creator, credit=100) as member:
                    await mute.say(grant=Request.Grant(credits=10))
                    assert sorted(await member.hear(4)) == sorted(made)
                    await counted(processor_pool, 2, 1)
                    await member.confirm(member.seen)
                    await mute.confirm(mute.seen)
                    await counted(processor_pool, 2, 0)

    told = [line for line in logs if line["event"] == "member is deaf"]
    assert [(line["processor_id"], line["ids"]) for line in told] == [
        (mute.processor_id, 4)
    ]


async def test_new_ids_pass_a_mute_member_by(database: Database) -> None:
    async with (
        served(database.creator_url, resend=1.0) as creator,
        joined(creator, credit=100) as mute,
    ):
        await create(creator, 1)
        await mute.hear(1)
        async with joined(creator, credit=100) as member:
            await member.confirm(await member.hear(1))
            made = await create(creator, 20)
            assert set(await member.hear(21)) >= set(made)


@pytest.mark.parametrize("at_another_creator", [False, True])
async def test_p8_what_a_stuck_stream_did_not_take_goes_to_others_within_seconds(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    *,
    at_another_creator: bool,
) -> None:
    """All but what lies in its transport: that may have arrived."""
    await factories.create_many(creator_pool, MANY)
    with capture_logs() as logs:
        async with (
            served(database.creator_url, resend=LONG, channel_options=NARROW) as first,
            served(database.creator_url, resend=LONG) as second,
            stuck_member(first, credit=MANY) as processor_id,
        ):
            await until(lambda: creator_pool.fetchval(ALL_TAKEN))
            other = second if at_another_creator else first
            async with joined(other, credit=MANY) as member:
                await member.hear(MANY // 3)
                await counted(processor_pool, 2, 1)

    told = [line for line in logs if line["event"] == "member is deaf"]
    assert [line["processor_id"] for line in told] == [processor_id]
    assert told[0]["ids"] >= MANY // 3
