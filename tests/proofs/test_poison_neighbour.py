"""Creates that share a commit with bad ones do not notice it."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
from google.protobuf import struct_pb2

from tandem.v1 import creator_pb2 as pb
from tandem_creator.running import RunningCreator
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, opened, reason_of
from tests.support.postgres_log import PostgresLog
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

CREATES = 200
INVALID = 20

POISON = "poison"

PLUG = "plug"

# The plug stays in its commit while somebody holds the gate, at most ten seconds.
REFUSE_POISON = """
CREATE FUNCTION public.refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.title = 'poison' THEN
        RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation';
    END IF;
    FOR look IN 1..1000 LOOP
        EXIT WHEN NEW.title IS DISTINCT FROM 'plug' OR NOT EXISTS (
            SELECT
            FROM pg_locks AS l
            WHERE l.locktype = 'advisory'
              AND l.objid = 4711
        );
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_poison BEFORE INSERT ON tandem.tasks
    FOR EACH ROW EXECUTE FUNCTION public.refuse_poison();
"""

TASKS = """
SELECT t.request_id::text
FROM tandem.tasks AS t
WHERE t.title IS DISTINCT FROM 'plug'
"""
STATUSES = "SELECT count(*) FROM tandem.task_status"

CLOSE_GATE = "SELECT pg_advisory_xact_lock(4711)"
INSERTS = """
SELECT EXISTS (
    SELECT
    FROM pg_locks AS l
    WHERE l.relation = 'tandem.tasks'::regclass
      AND l.mode = 'RowExclusiveLock'
)
"""

Damage = Callable[[struct_pb2.Value], Any]


def nested(levels: int) -> struct_pb2.Value:
    value = struct_pb2.Value(number_value=1)
    for _ in range(levels):
        value = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[value]))
    return value


# At the bottom of the payload, where only a walk through all of it finds them.
DAMAGES: tuple[Damage, ...] = (
    lambda value: setattr(value, "string_value", "a\0b"),
    lambda value: setattr(value, "number_value", math.nan),
    lambda value: setattr(value, "number_value", -math.inf),
    lambda value: setattr(value, "number_value", 2.0**53),
    lambda value: value.Clear(),
    lambda value: value.CopyFrom(nested(32)),
    lambda value: value.struct_value.fields["a\0"].SetInParent(),
    lambda value: setattr(value, "string_value", "ü" * 40_000),
)


def a_bad_request(number: int) -> pb.CreateTaskRequest:
    request = a_request(request_id=a_new_id(), payload={"deep": [{"deeper": [0]}]})
    deep = request.spec.payload.fields["deep"].list_value.values[0]
    deeper = deep.struct_value.fields["deeper"].list_value.values[0]
    DAMAGES[number % len(DAMAGES)](deeper)
    return request


async def outcome(stub: CreatorServiceAsyncStub, request: pb.CreateTaskRequest) -> str:
    try:
        await stub.CreateTask(request, timeout=30)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {reason_of(error).reason}"
    return "OK"


async def has_waiting(creator: RunningCreator, count: int) -> bool:
    """Whether so many creates wait for a batch."""
    return creator.batcher.waiting == count


async def test_p10_179_of_200_concurrent_creates_do_not_notice_the_other_21(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    async with database.admin() as admin:
        await admin.execute(REFUSE_POISON)
    bad = [a_bad_request(number) for number in range(INVALID)]
    poison = a_request(request_id=a_new_id(), title=POISON)
    good = [a_request(request_id=a_new_id()) for _ in range(CREATES - INVALID - 1)]
    requests = [*good, *bad, poison]
    Random(1).shuffle(requests)

    async with opened(database.creator_url) as (stub, creator):
        # All of them wait for the commit of the plug, so that nobody is alone.
        async with owner_pool.acquire() as holder, holder.transaction():
            await holder.execute(CLOSE_GATE)
            plug = asyncio.create_task(outcome(stub, a_request(title=PLUG)))
            await until(lambda: owner_pool.fetchval(INSERTS))
            calls = [asyncio.create_task(outcome(stub, each)) for each in requests]
            await until(lambda: has_waiting(creator, CREATES - INVALID))
        told = await asyncio.gather(*calls)
        again = await outcome(stub, a_request(request_id=poison.request_id))

    assert await plug == "OK"
    assert Counter(told) == {
        "OK": 179,
        "INVALID_ARGUMENT INVALID_REQUEST": 20,
        "INVALID_ARGUMENT STORE_REFUSED": 1,
    }
    assert told[requests.index(poison)] == "INVALID_ARGUMENT STORE_REFUSED"
    stored = {row["request_id"] for row in await owner_pool.fetch(TASKS)}
    assert again == "OK"
    assert stored == {each.request_id for each in [*good, poison]}
    assert await owner_pool.fetchval(STATUSES) == 181
    # Refused with its neighbours first, then alone.
    assert len(postgres_log.errors()) == 2
