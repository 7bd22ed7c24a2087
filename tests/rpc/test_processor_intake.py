from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg

from tandem.desk import TaskDesk
from tandem.handlers import Context, Handlers
from tandem.outcomes import Claimed
from tandem_processor.claimer import Claimer
from tandem_processor.intake import Intake
from tandem_processor.reporter import Reporter
from tandem_processor.runner import Runner, Workshop
from tandem_processor.session import Membership
from tandem_processor.slots import Slots
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.handled import quick
from tests.support.held_claims import PATIENT, held_claims
from tests.support.processor import LIMIT, NOBODY, working
from tests.support.processors import join
from tests.support.scripted_creator import (
    CountingCreator,
    GenerousCreator,
    PacedCreator,
    ScriptedCreator,
    followed,
    serving,
)
from tests.support.until import until


async def holds(claim: Callable[[], Any]) -> None:
    async def look() -> bool:
        return bool(claim())

    await until(look, seconds=LIMIT)


def stuck(gate: asyncio.Event) -> Handlers:
    """Handlers that end once the gate, on the test's loop, is open."""
    handlers = Handlers()
    loop = asyncio.get_running_loop()

    @handlers.register("echo")
    async def echo(ctx: Context) -> None:
        opened = asyncio.run_coroutine_threadsafe(gate.wait(), loop)
        await asyncio.wrap_future(opened)

    return handlers


async def test_a_member_joins_with_its_group_queues_and_types(
    database: Database, processor_pool: asyncpg.Pool
) -> None:
    creator = ScriptedCreator()
    async with followed(
        creator, database, quick(), queues=("default", "fast"), concurrency=7
    ):
        await holds(lambda: creator.credit)
        row = await processor_pool.fetchrow(
            "SELECT processor_id FROM tandem.processors"
        )

    (join,) = creator.joins
    assert (join.group, list(join.queues)) == ("processors", ["default", "fast"])
    assert list(join.types) == ["echo"]
    assert row is not None
    assert join.processor_id == str(row["processor_id"])
    assert creator.most_credit == 7


async def test_of_tasks_that_end_soon_as_many_again_are_asked_for_ahead(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    task_ids = await create_many(creator_pool, 100)
    creator = ScriptedCreator(*task_ids)
    async with followed(creator, database, quick(), concurrency=4):
        await holds(lambda: len(creator.confirmed) == len(task_ids))

    assert 4 < creator.most_credit <= 8
    assert creator.given_back == []


async def test_of_tasks_that_last_no_more_are_asked_for_than_there_are_slots(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    task_ids = await create_many(creator_pool, 8)
    creator = ScriptedCreator(*task_ids)
    gate = asyncio.Event()
    async with followed(creator, database, stuck(gate), concurrency=4):
        await holds(lambda: len(creator.confirmed) == 4)
        granted_to_the_slots = creator.granted
        gate.set()
        await holds(lambda: len(creator.confirmed) == 8)

    assert granted_to_the_slots == 4
    assert creator.given_back == []


async def test_of_tasks_that_take_over_a_tenth_of_a_second_none_are_asked_for_ahead(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    """They are freed together, and no slot of the next ones is free any sooner for it."""
    handlers = Handlers()
    ended: list[str] = []

    @handlers.register("echo")
    async def echo(ctx: Context) -> None:
        await asyncio.sleep(0.12)
        ended.append(ctx.task_id)

    task_ids = await create_many(creator_pool, 12)
    creator = CountingCreator(*task_ids, ended=ended)
    async with followed(creator, database, handlers, concurrency=4):
        await holds(lambda: len(creator.confirmed) == len(task_ids))

    assert creator.most_ahead == 4


async def test_an_id_that_finds_no_room_is_given_back(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    """Here the creator sends more than it had credit for."""
    task_ids = await create_many(creator_pool, 2)
    creator = GenerousCreator(*task_ids)
    gate = asyncio.Event()
    async with followed(creator, database, stuck(gate), concurrency=1):
        await holds(lambda: creator.given_back)
        gate.set()
        await holds(lambda: creator.confirmed)

    assert {*creator.confirmed, *creator.given_back} == set(map(str, task_ids))


async def test_each_id_that_waits_is_given_back_after_its_own_quarter_of_a_second(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    """One that came while others were claimed does not go back with them."""
    first, second, late = await create_many(creator_pool, 3)
    creator = PacedCreator()
    gate = asyncio.Event()
    async with followed(creator, database, stuck(gate), concurrency=1, **PATIENT):
        async with held_claims(database) as held:
            creator.send(first, second)
            await held.a_claim_waits()
            await asyncio.sleep(0.25)  # the second one's time is over
            creator.send(late)
            await asyncio.sleep(0.1)  # the late one is there
        await holds(lambda: len(creator.given_back) == 2)
        gate.set()

    assert creator.given_back == [str(second), str(late)]
    assert min(creator.kept_for(each) for each in (second, late)) >= 0.25


async def test_an_id_of_a_paused_queue_is_given_back_and_not_lost(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool)
    await processor_pool.execute(
        "INSERT INTO tandem.queues (queue, paused) VALUES ('default', true)"
    )
    creator = ScriptedCreator(task_id)
    async with followed(creator, database, quick()):
        await holds(lambda: creator.given_back == [str(task_id)])

    assert creator.confirmed == set()


async def test_while_one_creator_is_away_the_next_is_followed(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool)
    creator = ScriptedCreator(task_id)
    async with (
        serving(creator) as address,
        working(
            database.processor_url, quick(), creator_address=(NOBODY, address)
        ) as processor,
    ):
        await processor.finished(task_id)


async def test_a_creator_that_comes_back_is_joined_again(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    first, second = ScriptedCreator(), ScriptedCreator()
    async with serving(second) as next_address:
        async with serving(first) as address:
            async with asyncio.timeout(LIMIT):
                working_ = working(
                    database.processor_url,
                    quick(),
                    creator_address=(address, next_address),
                )
                await working_.__aenter__()
            await holds(lambda: first.joins)
        await holds(lambda: second.joins)
        await working_.__aexit__(None, None, None)

    assert second.joins[0].processor_id == first.joins[0].processor_id


async def test_p11_a_stop_closes_the_stream_before_handlers_end(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    """So that the creator gives what is on its way to other members at once."""
    task_id = await create_task(creator_pool)
    creator = ScriptedCreator(task_id)
    gate = asyncio.Event()
    async with followed(creator, database, stuck(gate), grace=15.0) as processor:
        await holds(lambda: creator.confirmed)
        stopping = asyncio.create_task(processor.stop())
        await holds(lambda: creator.closed)
        assert not stopping.done()
        gate.set()
        await stopping


async def test_a_creator_that_falls_silent_is_left(
    processor_pool: asyncpg.Pool,
) -> None:
    """Its connection may look alive; here it is, and nothing comes over it."""
    silent, next_ = ScriptedCreator(), ScriptedCreator()
    me = await join(processor_pool)
    async with serving(silent) as address, serving(next_) as next_address:
        intake = idle_intake(processor_pool, me, address, next_address)
        following = asyncio.create_task(intake.run())
        await holds(lambda: silent.joins)
        await holds(lambda: next_.joins)
        intake.drain()
        following.cancel()

    assert silent.joins[0].processor_id == next_.joins[0].processor_id == str(me)


def idle_intake(pool: asyncpg.Pool, me: UUID, *addresses: str) -> Intake:
    """An intake with room for one task that never comes."""

    def make_desk(claimed: Claimed, on_lost: Callable[[], None]) -> TaskDesk:
        raise AssertionError(claimed)

    handlers = quick()
    workshop = Workshop(
        handlers=handlers,
        handler_loop=asyncio.get_running_loop(),
        make_desk=make_desk,
        reporter=Reporter(pool, me, on_moved=lambda _: None),
    )
    slots = Slots(handlers, concurrency=1)
    runner = Runner(workshop, slots)
    membership = Membership(
        processor_id=me,
        queues=["default"],
        share=slots.shares[0],
        addresses=addresses,
    )
    claimer = Claimer(pool, me, slots=slots, runner=runner)
    return Intake(pool, membership, claimer=claimer, slots=slots, silence=0.3)
