"""ConsumeCreatedTasks over a real socket: each id to one member, and none lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest

from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import a_new_id, reason_of, served
from tests.support.group_members import (
    LIMIT,
    NO_TAKES,
    Member,
    Request,
    a_join,
    create,
    joined,
    share_out,
)
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub


JOIN = Request(join=a_join())


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


async def test_each_id_goes_to_one_member(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    async with joined(creator, credit=100) as one, joined(creator, credit=100) as two:
        made = await create(creator, 100)
        await share_out([one, two], 100)
        await one.confirm(one.seen)
        await two.confirm(two.seen)
        await until(lambda: owner_pool.fetchval(NO_TAKES))

    assert sorted(one.seen + two.seen) == sorted(made)
    assert one.seen
    assert two.seen


async def test_two_creators_share_a_group_without_sending_an_id_twice(
    database: Database,
) -> None:
    async with (
        served(database.creator_url) as first,
        served(database.creator_url) as second,
        joined(first, credit=200) as one,
        joined(second, credit=200) as two,
    ):
        made = [
            task_id
            for _ in range(5)
            for stub in (first, second)
            for task_id in await create(stub, 20)
        ]
        await share_out([one, two], len(made))

    assert sorted(one.seen + two.seen) == sorted(made)


async def test_no_more_is_sent_than_there_is_credit_for(
    creator: CreatorServiceAsyncStub,
) -> None:
    made = await create(creator, 8)
    async with joined(creator, credit=5) as member:
        first = list(await member.hear(5))
        left = member.credits_left
        await member.say(grant=Request.Grant(credits=10))
        await member.hear(8)

    assert (len(first), left) == (5, 0)
    assert sorted(member.seen) == sorted(made)
    assert member.credits_left == 7


async def test_a_group_without_members_keeps_its_place(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    await create(creator, 3)
    async with joined(creator, credit=9, group="readers") as member:
        await member.confirm(await member.hear(3))
        await until(lambda: owner_pool.fetchval(NO_TAKES))
    later = await create(creator, 2)

    async with joined(creator, credit=9, group="readers") as member:
        assert sorted(await member.hear(2)) == sorted(later)


async def test_what_a_member_that_is_gone_was_sent_goes_to_another(
    creator: CreatorServiceAsyncStub,
) -> None:
    made = await create(creator, 8)
    async with joined(creator, credit=8) as gone:
        await gone.hear(8)
    async with joined(creator, credit=8) as member:
        assert sorted(await member.hear(8)) == sorted(made)


async def test_what_a_member_that_is_gone_was_sent_goes_to_another_creators_member(
    database: Database,
) -> None:
    async with served(database.creator_url) as first:
        made = await create(first, 8)
        async with served(database.creator_url) as second:
            async with joined(first, credit=8) as gone:
                await gone.hear(8)
            async with joined(second, credit=8) as member:
                assert sorted(await member.hear(8)) == sorted(made)


async def test_what_a_silent_member_was_sent_goes_to_another(
    database: Database,
) -> None:
    async with served(database.creator_url, resend=0.5) as creator:
        made = await create(creator, 4)
        async with joined(creator, credit=4) as silent:
            await silent.hear(4)
            async with joined(creator, credit=4) as member:
                assert sorted(await member.hear(4)) == sorted(made)


async def test_what_is_given_back_goes_to_another_member(
    creator: CreatorServiceAsyncStub,
) -> None:
    made = await create(creator, 3)
    async with joined(creator, credit=3) as giver:
        await giver.hear(3)
        async with joined(creator, credit=9) as member:
            more = await create(creator, 1)
            await member.hear(1)
            await giver.say(give_back=Request.GiveBack(task_ids=made[:2]))
            assert sorted(await member.hear(3)) == sorted(more + made[:2])


async def test_what_is_given_back_comes_again_to_the_only_member(
    creator: CreatorServiceAsyncStub,
) -> None:
    made = await create(creator, 1)
    async with joined(creator, credit=9) as member:
        await member.hear(1)
        await member.say(give_back=Request.GiveBack(task_ids=made))
        assert await member.hear(2) == made * 2


async def test_a_member_is_sent_only_the_types_it_runs(
    creator: CreatorServiceAsyncStub,
) -> None:
    emails = await create(creator, 3, type="email")
    texts = await create(creator, 3, type="sms")
    async with (
        joined(creator, credit=9, types=["email"]) as one,
        joined(creator, credit=9, types=["sms"]) as two,
    ):
        await share_out([one, two], 6)

    assert (sorted(one.seen), sorted(two.seen)) == (sorted(emails), sorted(texts))


async def test_types_that_nobody_ran_are_sent_once_somebody_does(
    creator: CreatorServiceAsyncStub,
) -> None:
    emails = await create(creator, 2, type="email")
    texts = await create(creator, 2, type="sms")
    async with joined(creator, credit=9, types=["email"]) as one:
        assert sorted(await one.hear(2)) == sorted(emails)
        async with joined(creator, credit=9, types=["sms"]) as two:
            assert sorted(await two.hear(2)) == sorted(texts)


async def test_urgent_ids_come_first(creator: CreatorServiceAsyncStub) -> None:
    low = await create(creator, 4, priority=task_pb2.PRIORITY_LOW)
    urgent = await create(creator, 4, priority=task_pb2.PRIORITY_URGENT)
    async with joined(creator, credit=4) as member:
        first = list(await member.hear(4))
        await member.say(grant=Request.Grant(credits=4))
        await member.hear(8)

    assert sorted(first) == sorted(urgent)
    assert sorted(member.seen) == sorted(urgent + low)


async def test_a_quiet_group_shows_that_it_lives(database: Database) -> None:
    async with (
        served(database.creator_url, frame=0.1) as creator,
        joined(creator, credit=3) as member,
    ):

        async def framed() -> bool:
            return member.frames > 1

        await until(framed)
        assert (member.seen, member.credits_left) == ([], 3)


async def test_a_member_that_closes_its_side_is_let_go_with_ok(
    creator: CreatorServiceAsyncStub,
) -> None:
    async with joined(creator, credit=1) as member:
        await create(creator, 1)
        await member.hear(1)
        assert await member.close() is grpc.StatusCode.OK


async def test_members_are_told_when_the_creator_stops_and_their_ids_are_let_go(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with served(database.creator_url) as creator:
        await create(creator, 2)
        member = Member(creator)
        await member.say(join=a_join())
        await member.say(grant=Request.Grant(credits=2))
        await member.hear(2)

    assert await member.code() is grpc.StatusCode.UNAVAILABLE
    await member.leave()
    held = "SELECT count(*) FROM tandem.takes AS k WHERE k.member_id IS NOT NULL"
    assert await owner_pool.fetchval(held) == 0


BAD_JOIN = Request.Join(group="", queues=["-"], processor_id="x", types=[""])
GRANT = Request(grant=Request.Grant(credits=1))


@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        ([GRANT], ["join"]),
        ([], ["join"]),
        (
            [Request(join=BAD_JOIN)],
            ["join.group", "join.queues[0]", "join.processor_id", "join.types[0]"],
        ),
        (
            [Request(join=Request.Join(group="g", processor_id=a_new_id()))],
            ["join.queues"],
        ),
        ([JOIN, JOIN], ["join"]),
        ([JOIN, Request()], ["kind"]),
        ([JOIN, Request(grant=Request.Grant(credits=0))], ["grant.credits"]),
        ([JOIN, Request(grant=Request.Grant(credits=10_001))], ["grant.credits"]),
        (
            [JOIN, Request(confirm=Request.Confirm(task_ids=[a_new_id(), "x"]))],
            ["confirm.task_ids[1]"],
        ),
        (
            [JOIN, Request(give_back=Request.GiveBack(task_ids=["x"]))],
            ["give_back.task_ids[0]"],
        ),
    ],
)
async def test_p10_a_message_out_of_turn_is_refused_by_name(
    creator: CreatorServiceAsyncStub, messages: list[Request], fields: list[str]
) -> None:
    call = creator.ConsumeCreatedTasks(iter(messages), timeout=LIMIT)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(call))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value).fields == fields


async def test_ids_that_were_never_sent_to_a_member_are_ignored(
    creator: CreatorServiceAsyncStub,
) -> None:
    made = await create(creator, 1)
    async with joined(creator) as member:
        await member.confirm([*made, a_new_id()])
        await member.say(give_back=Request.GiveBack(task_ids=made))
        await member.say(grant=Request.Grant(credits=1))
        assert await member.hear(1) == made
