"""The clients and a real creator, over a path that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from tandem import errors
from tandem.client import (
    AsyncClient,
    Client,
    Created,
    Deadlines,
    ExistingReason,
    Outcome,
    Spec,
    payload_of,
    request_id_from,
)
from tandem_creator.running import running_creator
from tandem_creator.settings import CreatorSettings
from tests.support.cluster import Database
from tests.support.proxy import Proxy, running_proxy
from tests.support.until import until

SPEC = Spec(project="shop", type="email", payload={"to": "a", "count": 3})
LIMIT = 30.0
COUNT = "SELECT count(*) FROM tandem.tasks"
TWO = "SELECT count(*) = 2 FROM tandem.tasks"


@pytest.fixture
async def path(database: Database) -> AsyncIterator[Proxy]:
    """The way to a creator in this process."""
    settings = CreatorSettings(
        database_url=database.creator_url, listen="127.0.0.1:0", grace=5.0
    )
    async with (
        running_creator(settings) as creator,
        running_proxy(f"127.0.0.1:{creator.port}") as path,
    ):
        yield path


@pytest.fixture
async def client(path: Proxy) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(path.address, deadlines=Deadlines(single=1.0)) as client:
        yield client


async def test_p1_a_repeated_create_answers_the_same_task(client: AsyncClient) -> None:
    first = await client.create(SPEC, request_id="order 7")
    again = await client.create(SPEC, request_id="order 7")

    assert (first.outcome, again.outcome) == (Outcome.CREATED, Outcome.REPLAYED)
    assert first.task.task_id == again.task.task_id
    assert first.request_id == again.request_id == request_id_from("order 7")
    assert payload_of(again.task) == {"to": "a", "count": 3}


async def test_the_blocking_client_does_the_same(path: Proxy) -> None:
    def create_twice() -> list[Created]:
        with Client(path.address) as client:
            return [client.create(SPEC, request_id="order 7") for _ in range(2)]

    first, again = await asyncio.to_thread(create_twice)

    assert (first.outcome, again.outcome) == (Outcome.CREATED, Outcome.REPLAYED)
    assert first.task.task_id == again.task.task_id


async def test_calls_without_an_id_of_the_callers_are_calls_of_their_own(
    client: AsyncClient,
) -> None:
    first, second = await client.create(SPEC), await client.create(SPEC)

    assert first.task.task_id != second.task.task_id
    assert first.request_id != second.request_id


async def test_p3_other_content_is_refused_by_the_names_of_its_fields(
    client: AsyncClient,
) -> None:
    made = await client.create(SPEC, request_id="order 7")
    other = Spec(project="shop", type="email", payload={"to": "b", "count": 3})

    with pytest.raises(errors.RequestIdReused) as caught:
        await client.create(other, request_id="order 7")

    assert [v.field for v in caught.value.violations] == ["spec.payload.to"]
    assert caught.value.metadata["task_id"] == made.task.task_id


async def test_an_external_id_finds_the_original_or_refuses(
    client: AsyncClient,
) -> None:
    spec = Spec(project="shop", type="email", external_id="order:7")
    other = Spec(project="shop", type="email", external_id="order:7", title="Tea")
    made = await client.create(spec)

    found = await client.create(other)

    assert (found.outcome, found.existing_reason) == (
        Outcome.EXISTING,
        ExistingReason.EXTERNAL_ID,
    )
    assert found.differing_fields == ("spec.title",)
    assert found.task.task_id == made.task.task_id
    with pytest.raises(errors.ExternalIdTaken):
        await client.create(other, reject_existing=True)


async def test_a_caller_that_crashed_finds_its_task_by_either_id(
    client: AsyncClient,
) -> None:
    spec = Spec(project="shop", type="email", external_id="order:7")
    made = await client.create(spec, request_id="order 7")

    by_request = await client.lookup("shop", request_id="order 7")
    by_external = await client.lookup("shop", external_id="order:7")

    assert by_request == by_external == made.task
    with pytest.raises(errors.TaskNotFound):
        await client.lookup("shop", request_id="order 8")


async def test_a_create_may_be_tried_without_making_anything(
    client: AsyncClient, owner_pool: asyncpg.Pool
) -> None:
    tried = await client.create(SPEC, validate_only=True)

    assert (tried.outcome, tried.task.task_id) == (Outcome.CREATED, "")
    assert await owner_pool.fetchval(COUNT) == 0


async def test_p10_every_bad_field_is_named(client: AsyncClient) -> None:
    bad = Spec(project="-", type="", payload={"n": 2**53})

    with pytest.raises(errors.InvalidRequest) as caught:
        await client.create(bad)

    assert {v.field for v in caught.value.violations} == {
        "spec.project",
        "spec.type",
        "spec.payload.n",
    }


def numbered(count: int, *, size: int = 0) -> list[Spec]:
    return [
        Spec(project="shop", type="email", payload={"n": n, "text": "x" * size})
        for n in range(count)
    ]


@pytest.mark.parametrize(("count", "size"), [(1100, 0), (60, 60_000)])
async def test_p1_a_list_of_any_length_makes_each_task_once(
    client: AsyncClient, owner_pool: asyncpg.Pool, count: int, size: int
) -> None:
    specs = numbered(count, size=size)

    first = await client.create_many(specs, request_id="import 7")
    again = await client.create_many(specs, request_id="import 7")

    assert {created.outcome for created in first} == {Outcome.CREATED}
    assert {created.outcome for created in again} == {Outcome.REPLAYED}
    assert [c.task.task_id for c in first] == [c.task.task_id for c in again]
    task = await client.lookup("shop", request_id=first[count - 1].request_id)
    assert payload_of(task)["n"] == count - 1
    assert await owner_pool.fetchval(COUNT) == count


async def test_p1_a_list_that_failed_midway_is_completed_by_its_repeat(
    client: AsyncClient, owner_pool: asyncpg.Pool
) -> None:
    good = numbered(1010)
    bad = [*good[:1005], Spec(project="shop", type="-"), *good[1006:]]

    with pytest.raises(errors.InvalidRequest) as caught:
        await client.create_many(bad)
    batch_id = caught.value.metadata["batch_request_id"]
    completed = await client.create_many(good, request_id=batch_id)

    assert [v.field for v in caught.value.violations] == ["requests[1005].spec.type"]
    assert [c.outcome for c in completed] == [
        *[Outcome.REPLAYED] * 1000,
        *[Outcome.CREATED] * 10,
    ]
    assert await owner_pool.fetchval(COUNT) == 1010


async def test_an_external_id_twice_in_a_list_is_one_task(client: AsyncClient) -> None:
    spec = Spec(project="shop", type="email", external_id="order:7")

    first, second = await client.create_many([spec, spec])

    assert (first.outcome, second.outcome) == (Outcome.CREATED, Outcome.EXISTING)
    assert first.task.task_id == second.task.task_id


async def test_equal_content_within_its_window_is_the_same_task(
    client: AsyncClient,
) -> None:
    window = timedelta(minutes=5)

    first = await client.create(SPEC, content_window=window)
    second = await client.create(SPEC, content_window=window)

    assert first.task.task_id == second.task.task_id
    assert second.existing_reason is ExistingReason.CONTENT_WINDOW


async def test_p1_a_create_whose_answer_is_lost_ends_with_its_one_task(
    client: AsyncClient, path: Proxy, owner_pool: asyncpg.Pool
) -> None:
    await client.create(SPEC)
    path.deafen()
    creating = asyncio.create_task(client.create(SPEC, request_id="order 7"))
    await until(lambda: owner_pool.fetchval(TWO))

    path.cut()
    path.heal()
    async with asyncio.timeout(LIMIT):
        made = await creating

    assert made.outcome is Outcome.REPLAYED
    assert await owner_pool.fetchval(COUNT) == 2


async def test_p5_a_subscriber_on_a_path_that_breaks_sees_every_id(
    client: AsyncClient, path: Proxy
) -> None:
    async with AsyncClient(path.target) as undisturbed:
        made: list[str] = []
        reading = asyncio.create_task(_read(client, count=101))
        for _ in range(5):
            batch = [await undisturbed.create(SPEC) for _ in range(20)]
            made += [created.task.task_id for created in batch]
            path.cut()
            path.heal()
        last = await undisturbed.create(SPEC)
        made.append(last.task.task_id)
        async with asyncio.timeout(LIMIT):
            seen = await reading

    assert seen == made


async def _read(client: AsyncClient, *, count: int) -> list[str]:
    """So many different ids, in the order in which they first came."""
    seen: dict[str, None] = {}
    async for message in client.stream_created():
        seen.update(dict.fromkeys(message.task_ids))
        if len(seen) == count:
            break
    return list(seen)
