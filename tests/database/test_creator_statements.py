"""Every statement of the creator: accepted by Postgres, and by the index it is meant for."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tandem import tasks
from tandem.postgres.pool import PLANS_BY_KEYS
from tandem_creator import bell, store
from tandem_creator.store import holders, places, stream, takes
from tests import factories

MINUTE = timedelta(minutes=1)

FILL_WINDOWS = """
INSERT INTO tandem.content_windows (content_key, task_id, create_time, window_length)
SELECT sha256(n::text::bytea), gen_random_uuid(), now(), interval '1 min'
FROM generate_series(1, 3000) AS s (n)
"""


def modules() -> list[Any]:
    names = [module.name for module in pkgutil.iter_modules(store.__path__)]
    return [bell, *(importlib.import_module(f"{store.__name__}.{n}") for n in names)]


def statements() -> list[Any]:
    return [
        pytest.param(sql, id=f"{module.__name__}.{name}")
        for module in modules()
        for name, sql in vars(module).items()
        if name.isupper() and isinstance(sql, str) and " " in sql
    ]


@pytest.mark.parametrize("sql", statements())
async def test_postgres_accepts_every_statement_of_the_creator(
    creator_pool: asyncpg.Pool, sql: str
) -> None:
    async with creator_pool.acquire() as connection:
        await connection.prepare(sql)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def indexes(pool: asyncpg.Pool, sql: str, *args: Any) -> set[str]:
    """The indexes of the statement's plan; a scan of a whole table counts as such."""
    async with pool.acquire() as connection, connection.transaction():
        # Prepared statements are planned once for all arguments in the long run.
        for name, value in PLANS_BY_KEYS.items():
            await connection.execute(f"SET LOCAL {name} = {value}")
        text = await connection.fetchval(f"EXPLAIN (FORMAT json) {sql}", *args)
    found = list(nodes(json.loads(text)[0]["Plan"]))
    scanned = {
        node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"
    }
    used = {node["Index Name"] for node in found if "Index Name" in node}
    return used | {f"all of {name}" for name in scanned & {"tasks", "task_status"}}


@pytest.fixture
async def full(owner_pool: asyncpg.Pool, creator_pool: asyncpg.Pool) -> asyncpg.Pool:
    """A database with enough rows for a plan to matter."""
    for queue in ("one", "two"):
        await factories.create_many(creator_pool, 3000, queue=queue)
    await owner_pool.execute("ANALYZE tandem.tasks, tandem.task_status, tandem.lanes")
    return creator_pool


async def test_winners_are_found_by_their_unique_indexes(full: asyncpg.Pool) -> None:
    by_request = await indexes(
        full, holders.FIND_BY_REQUEST_ID, ["acme"] * 3, [uuid4() for _ in range(3)]
    )
    by_external = await indexes(
        full, holders.FIND_BY_EXTERNAL_ID, ["acme"] * 3, ["a", "b", "c"]
    )

    assert by_request == {"tasks_request_id"}
    assert by_external == {"tasks_external_id"}


async def test_replayed_tasks_are_read_by_their_request_ids(
    full: asyncpg.Pool,
) -> None:
    request_ids = [uuid4() for _ in range(3)]

    used = await indexes(
        full, tasks.READ_TASKS_BY_REQUEST_ID, ["acme"] * 3, True, request_ids
    )

    assert used >= {"tasks_request_id", "task_status_pkey"}
    assert not {name for name in used if name.startswith("all of")}


async def test_contents_are_found_by_their_key(
    full: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute(FILL_WINDOWS)
    await owner_pool.execute("ANALYZE tandem.content_windows")

    used = await indexes(
        full, holders.FIND_BY_CONTENT, [bytes(32)] * 3, [MINUTE, MINUTE, MINUTE]
    )

    assert used == {"content_windows_pkey"}


async def test_the_stream_is_read_by_lane_and_position(full: asyncpg.Pool) -> None:
    used = await indexes(full, stream.READ_STREAM, 10, 5000, 100, None)
    projects = await indexes(full, stream.READ_PROJECTS, [uuid4()] * 3)

    assert used - {"lanes_pkey"} == {"task_status_position"}
    assert projects == {"tasks_pkey"}


async def test_news_and_takes_read_by_lane_and_position(full: asyncpg.Pool) -> None:
    news = await indexes(
        full,
        places.READ_NEWS,
        "processors",
        ["one", "two"],
        5000,
        True,
        timedelta(seconds=5),
    )
    lane = await full.fetchval("SELECT min(l.lane_id) FROM tandem.lanes AS l")
    taken = await indexes(
        full, places.TAKE, "processors", lane, 5000, 10, 1000, None, True, "c", None
    )
    ahead = await indexes(
        full, places.READ_PROJECTS_AHEAD, "processors", lane, 5000, 1000
    )

    lost = await indexes(
        full, takes.RETAKE, "processors", "c", ["one"], None, MINUTE, [], True, ["a"]
    )
    known = await indexes(full, takes.READ_LOST_PROJECTS, "processors", MINUTE)

    assert "task_status_position" in news & taken & ahead & lost & known
    used = news | taken | ahead | lost | known
    assert not any(name.startswith("all of") for name in used)
