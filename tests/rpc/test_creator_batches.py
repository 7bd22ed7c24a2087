"""A batch is written whole, and its answer has one result per request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import asyncpg
import pytest

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.batches import (
    CREATED,
    EXISTING,
    REPLAYED,
    a_batch,
    counts,
    numbered,
    outcomes,
    refused,
    stored,
    task_ids,
)
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, served
from tests.support.postgres_log import PostgresLog
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

STRIP = """
UPDATE tandem.tasks
SET payload = NULL, title = NULL, labels = NULL, final_state = 'SUCCEEDED',
    finish_time = now(), prune_time = now()
"""

WAITING_FOR_LOCK = """
SELECT a.pid
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.usename = 'tandem_creator'
  AND a.wait_event_type = 'Lock'
"""


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


async def test_a_batch_is_created_in_the_order_of_its_requests(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    answer = await creator.BatchCreateTasks(a_batch(*numbered(100)))

    assert outcomes(answer) == [CREATED] * 100
    assert counts(answer) == (100, 100, 0, 0)
    records = await owner_pool.fetch(
        "SELECT t.task_id, t.payload::text AS payload FROM tandem.tasks AS t"
    )
    payloads = {str(record["task_id"]): record["payload"] for record in records}
    assert [payloads[each] for each in task_ids(answer)] == [
        f'{{"n":{n}}}' for n in range(100)
    ]
    assert await stored(owner_pool) == (100, 100)


async def test_the_largest_batch_passes_and_one_more_request_is_refused(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    answer = await creator.BatchCreateTasks(a_batch(*numbered(1000)))
    told = await refused(creator, a_batch(*numbered(1001)))
    empty = await refused(creator, a_batch())

    assert answer.summary.created == 1000
    assert told.fields == empty.fields == ["requests"]
    assert await stored(owner_pool) == (1000, 1000)


async def test_a_repeated_batch_replays_whole(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    batch = a_batch(*numbered(50), request_id=a_new_id())

    first = await creator.BatchCreateTasks(batch)
    second = await creator.BatchCreateTasks(batch)

    assert counts(second) == (50, 0, 50, 0)
    assert task_ids(second) == task_ids(first)
    assert [r.request_id for r in first.results] == [
        str(uuid5(UUID(batch.request_id), str(index))) for index in range(50)
    ]
    assert await stored(owner_pool) == (50, 50)


async def test_p1_racing_repeats_of_a_batch_make_it_once(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    """Crossed, with external ids, over two creators."""
    requests = [
        a_request(request_id=a_new_id(), external_id=f"x-{n}") for n in range(100)
    ]
    forth, back = a_batch(*requests), a_batch(*reversed(requests))

    async with (
        served(database.creator_url) as one,
        served(database.creator_url) as other,
    ):
        answers = await asyncio.gather(
            *(
                (one, other)[n % 2].BatchCreateTasks((forth, back)[n // 2 % 2])
                for n in range(16)
            )
        )

    assert sum(answer.summary.created for answer in answers) == 100
    assert sum(answer.summary.replayed for answer in answers) == 1500
    assert len({each for answer in answers for each in task_ids(answer)}) == 100
    assert await stored(owner_pool) == (100, 100)
    assert postgres_log.errors() == []


async def test_the_same_request_id_twice_is_one_task(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1})

    answer = await creator.BatchCreateTasks(a_batch(request, *numbered(1), request))

    assert outcomes(answer) == [CREATED, CREATED, REPLAYED]
    assert task_ids(answer)[0] == task_ids(answer)[2]
    assert await stored(owner_pool) == (2, 2)


async def test_a_repeated_external_id_is_existing_at_the_later_index(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    """Whatever the order of their request ids."""
    requests = [a_request(external_id="x", payload={"n": n}) for n in range(20)]

    answer = await creator.BatchCreateTasks(a_batch(*requests))

    assert outcomes(answer) == [CREATED] + [EXISTING] * 19
    assert len(set(task_ids(answer))) == 1
    assert list(answer.results[7].differing_fields) == ["spec.payload.n"]
    assert answer.results[7].existing_reason == pb.EXISTING_REASON_EXTERNAL_ID
    assert counts(answer) == (20, 1, 0, 19)
    assert await stored(owner_pool) == (1, 1)


async def test_a_mix_of_new_repeated_and_existing_tells_each(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    known = a_request(request_id=a_new_id(), payload={"a": 1})
    named = a_request(external_id="x", payload={"b": 1})
    first = await creator.BatchCreateTasks(a_batch(known, named))
    requests = [*numbered(1), named, known, a_request(external_id="y")]

    answer = await creator.BatchCreateTasks(a_batch(*requests))

    assert outcomes(answer) == [CREATED, EXISTING, REPLAYED, CREATED]
    assert task_ids(answer)[1:3] == list(reversed(task_ids(first)))
    assert counts(answer) == (4, 2, 1, 1)
    assert await stored(owner_pool) == (4, 4)


async def test_the_request_id_decides_in_a_batch_too(
    creator: CreatorServiceAsyncStub,
) -> None:
    one = a_request(request_id=a_new_id(), external_id="x")
    first = await creator.CreateTask(one)

    answer = await creator.BatchCreateTasks(a_batch(a_request(external_id="x"), one))

    assert outcomes(answer) == [EXISTING, REPLAYED]
    assert set(task_ids(answer)) == {first.task.task_id}


async def test_equal_content_in_one_batch_is_existing_at_the_later_index(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    requests = [a_request(payload={"a": n % 2, "n": n}) for n in range(10)]
    for request in requests:
        request.content_window.window.FromSeconds(10)
        request.content_window.payload_keys.append("a")

    answer = await creator.BatchCreateTasks(a_batch(*requests))

    assert outcomes(answer) == [CREATED] * 2 + [EXISTING] * 8
    assert task_ids(answer) == task_ids(answer)[:2] * 5
    assert answer.results[9].existing_reason == pb.EXISTING_REASON_CONTENT_WINDOW
    assert list(answer.results[9].differing_fields) == ["spec.payload.n"]
    assert await stored(owner_pool) == (2, 2)


async def test_a_repeated_batch_with_windows_replays_whole(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    """Also when the window is over: the derived request id decides."""
    request = a_request(payload={"a": 1})
    request.content_window.window.FromSeconds(10)
    batch = a_batch(request, request_id=a_new_id())

    first = await creator.BatchCreateTasks(batch)
    await owner_pool.execute(
        "UPDATE tandem.content_windows SET create_time = create_time - interval '1 h'"
    )
    second = await creator.BatchCreateTasks(batch)

    assert outcomes(second) == [REPLAYED]
    assert task_ids(second) == task_ids(first)


async def test_a_stripped_batch_replays_whole(
    creator: CreatorServiceAsyncStub, janitor_pool: asyncpg.Pool
) -> None:
    batch = a_batch(*numbered(20), request_id=a_new_id())
    first = await creator.BatchCreateTasks(batch)
    await janitor_pool.execute("DELETE FROM tandem.task_status")
    await janitor_pool.execute(STRIP)

    second = await creator.BatchCreateTasks(batch)

    assert counts(second) == (20, 0, 20, 0)
    assert task_ids(second) == task_ids(first)


async def test_validate_only_foresees_the_batch_and_writes_nothing(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    same = a_request(request_id=a_new_id())
    windowed = a_request(payload={"a": 1})
    windowed.content_window.window.FromSeconds(10)
    known = await creator.CreateTask(a_request(external_id="known"))
    batch = a_batch(
        same,
        same,
        a_request(external_id="x", title="one"),
        a_request(external_id="x", title="two"),
        windowed,
        windowed,
        a_request(external_id="known"),
        request_id=a_new_id(),
    )

    batch.validate_only = True
    foreseen = await creator.BatchCreateTasks(batch)
    assert await stored(owner_pool) == (1, 1)
    batch.validate_only = False
    happened = await creator.BatchCreateTasks(batch)

    assert outcomes(foreseen) == outcomes(happened)
    assert outcomes(foreseen) == [
        CREATED,
        REPLAYED,
        CREATED,
        EXISTING,
        CREATED,
        EXISTING,
        EXISTING,
    ]
    assert counts(foreseen) == counts(happened)
    assert task_ids(foreseen) == [""] * 6 + [known.task.task_id]
    assert list(foreseen.results[3].differing_fields) == ["spec.title"]
    assert await stored(owner_pool) == (4, 4)


async def test_payloads_are_answered_only_on_request_and_only_when_they_fit(
    creator: CreatorServiceAsyncStub,
) -> None:
    small = a_batch(*numbered(2), request_id=a_new_id())
    large = a_batch(*(a_request(payload={"a": "x" * 60_000}) for _ in range(40)))

    basic = await creator.BatchCreateTasks(small)
    small.view = task_pb2.TASK_VIEW_FULL
    full = await creator.BatchCreateTasks(small)
    large.view = task_pb2.TASK_VIEW_FULL
    told = await refused(creator, large)

    assert not basic.results[1].task.spec.HasField("payload")
    assert full.results[1].task.spec.payload == small.requests[1].spec.payload
    assert told.fields == ["view"]


async def test_an_answer_that_would_not_fit_leaves_out_what_it_can(
    creator: CreatorServiceAsyncStub,
) -> None:
    """The batch is written; so it must be told of, however much was stored before."""
    labels = {f"key-{n}": "x" * 255 for n in range(16)}
    for start in range(0, 1000, 50):
        await creator.BatchCreateTasks(
            a_batch(
                *(
                    a_request(external_id=f"{start + n}", labels=labels)
                    for n in range(50)
                )
            )
        )

    answer = await creator.BatchCreateTasks(
        a_batch(*(a_request(external_id=str(n)) for n in range(1000)))
    )

    assert counts(answer) == (1000, 0, 0, 1000)
    assert answer.results[999].task.spec.external_id == "999"
    assert answer.results[999].task.HasField("create_time")
    assert not answer.results[999].task.spec.labels


async def test_a_caller_that_gives_up_changes_nothing_once_the_batch_is_sent(
    creator: CreatorServiceAsyncStub, database: Database, owner_pool: asyncpg.Pool
) -> None:
    batch = a_batch(*numbered(10), request_id=a_new_id())
    async with (
        database.admin() as admin,
        owner_pool.acquire() as owner,
        owner.transaction(),
    ):
        await owner.execute("LOCK TABLE tandem.tasks IN SHARE ROW EXCLUSIVE MODE")
        call = creator.BatchCreateTasks(batch)
        await until(lambda: admin.fetchval(WAITING_FOR_LOCK))
        call.cancel()
    answer = await creator.BatchCreateTasks(batch)

    assert counts(answer) == (10, 0, 10, 0)
    assert await stored(owner_pool) == (10, 10)
