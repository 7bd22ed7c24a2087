"""What a member of a group may not read is not sent to it, and not lost for others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tandem import entering
from tandem.access import ACTIONS, ANONYMOUS, Caller, Scope
from tandem.v1 import creator_pb2 as pb
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.group_members import create, joined


def only_in(project: str) -> Caller:
    """May do everything in one project, and nothing in any other."""
    return Caller(project, frozenset(Scope(action, project) for action in ACTIONS))


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Whoever makes a call within the block is this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entering, "ANONYMOUS", caller)
        yield


SHOP, BANK = only_in("shop"), only_in("bank")


@pytest.mark.parametrize("group", ["processors", "readers"])
async def test_a_member_is_sent_only_ids_that_it_may_read(
    database: Database, group: str
) -> None:
    async with served(database.creator_url) as creator:
        hers = await create(creator, 3, project="bank")
        his = await create(creator, 3, project="shop")
        with calling(SHOP):
            one = joined(creator, credit=100, group=group)
            async with one as member:
                assert sorted(await member.hear(3)) == sorted(his)
                await member.confirm(his)
                with calling(BANK):
                    async with joined(creator, credit=100, group=group) as other:
                        assert sorted(await other.hear(3)) == sorted(hers)
                        with calling(SHOP):
                            his += await create(creator, 2, project="shop")
                        await member.hear(5)
                        assert sorted(other.seen) == sorted(hers)
                assert sorted(member.seen) == sorted(his)


@pytest.mark.parametrize("group", ["processors", "readers"])
async def test_what_nobody_here_may_read_goes_to_another_creators_member(
    database: Database, group: str
) -> None:
    async with (
        served(database.creator_url) as first,
        served(database.creator_url) as second,
    ):
        hers = await create(first, 3, project="bank", type="email")
        hers += await create(first, 3, project="bank", type="sms")
        his = await create(first, 3, project="shop")
        with calling(SHOP):
            async with joined(first, credit=100, group=group) as member:
                await member.confirm(await member.hear(3))
                with calling(BANK):
                    async with joined(second, credit=100, group=group) as other:
                        assert sorted(await other.hear(6)) == sorted(hers)
                assert sorted(member.seen) == sorted(his)


async def test_a_subscriber_is_sent_only_ids_that_it_may_read(
    database: Database,
) -> None:
    request = pb.StreamCreatedTasksRequest(until_caught_up=True)
    async with served(database.creator_url) as creator:
        await create(creator, 2, project="bank")
        his = await create(creator, 2, project="shop")
        with calling(SHOP):
            messages = [m async for m in creator.StreamCreatedTasks(request)]

    sent = [task_id for message in messages for task_id in message.task_ids]
    assert sorted(sent) == sorted(his)


async def test_an_unrestricted_member_is_sent_what_the_others_may_not_read(
    database: Database,
) -> None:
    async with served(database.creator_url) as creator:
        hers = await create(creator, 2, project="bank")
        his = await create(creator, 2, project="shop")
        with calling(SHOP):
            async with joined(creator, credit=100) as member:
                assert sorted(await member.hear(2)) == sorted(his)
                with calling(ANONYMOUS):
                    async with joined(creator, credit=100) as other:
                        assert set(await other.hear(2)) >= set(hers)
