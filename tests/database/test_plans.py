"""At a million tasks every statement of the hot paths finds its rows by an index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from uuid import uuid4

import pytest

from tandem.postgres.connect import connected
from tandem.postgres.pool import PLANS_BY_KEYS, create_pool
from tandem_creator.drafts import Window
from tandem_creator.store import creates
from tandem_processor import (
    listing,
)
from tandem_processor.requests import ListFilter, ListQuery
from tests.support.batching import a_draft
from tests.support.cluster import Cluster, Database
from tests.support.million import a_million_tasks
from tests.support.plan_cases import (
    CREATOR,
    JANITOR,
    LISTS,
    MINUTE,
    PROCESSOR_CASES,
    Case,
)
from tests.support.plans import WIDE, Plan, Single, explain

GENERIC: Final = "force_generic_plan"
CUSTOM: Final = "force_custom_plan"

pytestmark = pytest.mark.timeout(300)
"""Seconds: the first test waits for a million rows, on a machine that may be busy."""


PLANS: Final = """
SELECT p.generic_plans, p.custom_plans
FROM pg_prepared_statements AS p
WHERE p.statement = ANY ($1::text[])
"""


@pytest.fixture(scope="module")
async def full(cluster: Cluster, template: str) -> AsyncIterator[Database]:
    async with a_million_tasks(cluster, template) as database:
        yield database


@asynccontextmanager
async def session(url: str, *, by_keys: bool) -> AsyncIterator[Single]:
    """A connection as the pool of this login makes it."""
    async with (
        await create_pool(
            url, size=1, application_name="tandem-tests", by_keys=by_keys
        ) as pool,
        pool.acquire() as connection,
    ):
        yield connection


@pytest.fixture(scope="module")
async def creator(full: Database) -> AsyncIterator[Single]:
    async with session(full.creator_url, by_keys=True) as connection:
        yield connection


@pytest.fixture(scope="module")
async def processor(full: Database) -> AsyncIterator[Single]:
    async with session(full.processor_url, by_keys=False) as connection:
        yield connection


@pytest.fixture(scope="module")
async def janitor(full: Database) -> AsyncIterator[Single]:
    async with session(full.janitor_url, by_keys=True) as connection:
        yield connection


def judge(plan: Plan, wanted: Case) -> None:
    assert plan.scanned == frozenset()
    assert plan.indexes == wanted.indexes
    assert plan.blocks <= wanted.blocks


@pytest.mark.parametrize("name", CREATOR)
async def test_a_statement_of_the_creator_uses_its_index(
    creator: Single, name: str
) -> None:
    wanted = CREATOR[name]

    judge(await explain(creator, wanted.sql, *wanted.args, mode=GENERIC), wanted)


@pytest.mark.parametrize("mode", [GENERIC, CUSTOM])
@pytest.mark.parametrize("name", PROCESSOR_CASES)
async def test_a_statement_of_the_processor_uses_its_index(
    processor: Single, name: str, mode: str
) -> None:
    wanted = PROCESSOR_CASES[name]

    judge(await explain(processor, wanted.sql, *wanted.args, mode=mode), wanted)


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_uses_the_index_for_what_is_chosen(
    processor: Single, name: str
) -> None:
    wanted = LISTS[name]

    judge(await explain(processor, wanted.sql, *wanted.args, mode=CUSTOM), wanted)


async def test_lists_stay_planned_for_what_is_chosen(full: Database) -> None:
    """Left alone, Postgres takes to one plan for all of them at the sixth call."""
    chosen = ListFilter(
        project="p3",
        states=["PENDING"],
        types=None,
        queues=None,
        create_time_from=None,
        create_time_to=None,
        labels=None,
        external_id_prefix=None,
    )
    query = ListQuery(
        filter=chosen,
        filter_hash=b"",
        after=None,
        page_size=50,
        include_total=True,
        full=False,
    )
    async with await create_pool(
        full.processor_url, size=1, application_name="tandem-tests"
    ) as pool:
        for _ in range(8):
            await listing.read_places(pool, query)
            await listing.count_tasks(pool, chosen)
        rows = await pool.fetch(PLANS, [listing.LIST_TASKS, listing.COUNT_TASKS])

    assert [tuple(row) for row in rows] == [(0, 8), (0, 8)]


@pytest.mark.parametrize("name", JANITOR)
async def test_a_statement_of_the_janitor_uses_its_index(
    janitor: Single, name: str
) -> None:
    wanted = JANITOR[name]

    judge(await explain(janitor, wanted.sql, *wanted.args, mode=GENERIC), wanted)


LOSSES: Final = {
    "task_status_due": PROCESSOR_CASES["due work"],
    "task_status_position": CREATOR["a page of the stream"],
    "tasks_request_id": CREATOR["winners by request id"],
    "tasks_newest": LISTS["the first page"],
}


@pytest.mark.parametrize("index", LOSSES)
async def test_a_missing_index_is_noticed(full: Database, index: str) -> None:
    wanted = LOSSES[index]
    async with connected(full.owner_url, application_name="tandem-tests") as owner:
        undone = owner.transaction()
        await undone.start()
        await owner.execute(f"DROP INDEX tandem.{index}")
        plan = await explain(owner, wanted.sql, *wanted.args, mode=CUSTOM)
        await undone.rollback()

    with pytest.raises(AssertionError):
        judge(plan, wanted)


async def test_a_create_reads_no_more_than_its_own_rows(
    creator: Single,
) -> None:
    """What a function's statements read is counted with its call."""
    drafts = [a_draft() for _ in range(100)]
    windowed = [replace(d, window=Window(MINUTE, uuid4().bytes * 2)) for d in drafts]
    lane_ids = [1] * len(drafts)
    columns = creates._columns(drafts, lane_ids)
    windows = creates._window_columns(windowed)

    plain = await explain(creator, creates.CREATE_TASKS, *columns, mode=GENERIC)
    in_windows = await explain(
        creator, creates.CREATE_IN_WINDOWS, *columns, *windows, [], mode=GENERIC
    )

    assert 100 < plain.blocks < 10_000
    assert 100 < in_windows.blocks < 12_000


# As a new database is, and one whose small tables autovacuum never had a reason to look at.
FORGET_SMALL: Final = """
UPDATE pg_catalog.pg_class AS c
SET reltuples = -1, relpages = 0
WHERE c.relnamespace = 'tandem'::regnamespace
  AND c.relkind = 'r'
  AND c.relname <> ALL ($1::text[])
"""

FORGET_VALUES: Final = """
DELETE FROM pg_catalog.pg_statistic AS v
USING pg_catalog.pg_class AS c
WHERE c.oid = v.starelid
  AND c.relnamespace = 'tandem'::regnamespace
  AND c.relname <> ALL ($1::text[])
"""


# The last look at the wide tables was long ago.
FORGET_MOST: Final = """
UPDATE pg_catalog.pg_class AS c
SET reltuples = c.reltuples / $2
WHERE c.relnamespace = 'tandem'::regnamespace
  AND c.relname = ANY ($1::text[])
"""


@pytest.mark.parametrize("share", [1.0, 12.0])
async def test_no_statement_reads_all_tasks_where_little_is_known_of_the_tables(
    full: Database, share: float
) -> None:
    cases = {**CREATOR, **PROCESSOR_CASES}
    async with full.admin() as admin:
        undone = admin.transaction()
        await undone.start()
        for setting, value in PLANS_BY_KEYS.items():
            await admin.execute(f"SET LOCAL {setting} = {value}")
        for forget in (FORGET_SMALL, FORGET_VALUES):
            await admin.execute(forget, sorted(WIDE))
        await admin.execute(FORGET_MOST, sorted(WIDE), share)
        found = {
            name: await explain(admin, each.sql, *each.args, mode=GENERIC)
            for name, each in cases.items()
        }
        await undone.rollback()

    costly = {
        name: plan
        for name, plan in found.items()
        if plan.scanned or plan.blocks > 2 * cases[name].blocks
    }
    assert costly == {}


ONE_LANE: Final = """
WITH made AS (
    INSERT INTO tandem.lanes (queue, priority)
    SELECT 'default', n FROM generate_series(1, 4) AS g (n)
),
tasks AS (
    INSERT INTO tandem.tasks (
        task_id, request_id, project, type, queue, priority, defaulted, payload
    )
    SELECT gen_random_uuid(), gen_random_uuid(), 'p3', 'echo', 'default', 3, 0, '{}'
    FROM generate_series(1, 50000) AS g (n)
    RETURNING task_id
)
INSERT INTO tandem.task_status (task_id, position, lane_id)
SELECT t.task_id, row_number() OVER (), 3
FROM tasks AS t
"""

PLACED: Final = """
INSERT INTO tandem.group_places (group_name, lane_id, position)
VALUES ('processors', 3, 50000)
"""


async def test_news_are_looked_up_where_all_tasks_are_in_one_lane(
    database: Database,
) -> None:
    """A soak found a creator that read every settled row for each look."""
    async with connected(database.owner_url, application_name="tandem-tests") as owner:
        for statement in (ONE_LANE, PLACED, "ANALYZE tandem.task_status"):
            await owner.execute(statement)
    wanted = CREATOR["news of a group"]
    async with session(database.creator_url, by_keys=True) as connection:
        plan = await explain(connection, wanted.sql, *wanted.args, mode=GENERIC)

    judge(plan, wanted)
