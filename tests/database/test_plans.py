"""At a million tasks every statement of the hot paths finds its rows by an index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest

from tandem import tasks
from tandem.postgres.connect import connected
from tandem.postgres.pool import PLANS_BY_KEYS, create_pool
from tandem.pruning import expiry, strips, walk
from tandem.pruning import takes as pruned_takes
from tandem_creator.drafts import Window
from tandem_creator.store import creates, holders, places, stream
from tandem_creator.store import takes as creator_takes
from tandem_processor import (
    cancels,
    claims,
    crashes,
    listing,
    members,
    reports,
    retries,
    steps,
    watch,
)
from tandem_processor.requests import ListFilter, ListQuery
from tests.support.batching import a_draft
from tests.support.cluster import Cluster, Database
from tests.support.million import MILLION, PROCESSOR, a_million_tasks, nth
from tests.support.plans import WIDE, Plan, Single, explain

GENERIC: Final = "force_generic_plan"
CUSTOM: Final = "force_custom_plan"

pytestmark = pytest.mark.timeout(300)
"""Seconds: the first test waits for a million rows, on a machine that may be busy."""

OPEN: Final = [nth(n) for n in range(600_000, 600_100)]
RUNNING: Final = [nth(n) for n in range(500_001, 500_033)]
FINISHED: Final = [nth(n) for n in range(460_000, 460_100)]
FAILED: Final = nth(460_050)
STRIPPED: Final = [nth(n) for n in range(1_000, 1_100)]
UNKNOWN: Final = [uuid4() for _ in range(100)]

WEEK: Final = timedelta(days=7)
MINUTE: Final = timedelta(minutes=1)
SECOND: Final = timedelta(seconds=1)
BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)

HELD: Final = (RUNNING[0], 1, PROCESSOR)

REPORTED: Final = (
    PROCESSOR,
    RUNNING,
    [1] * 32,
    ["SUCCEEDED"] * 32,
    ["{}"] * 32,
    [None] * 32,
    [None] * 32,
    [timedelta(0)] * 32,
    [True] * 32,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A statement with typical arguments, and what it may cost."""

    sql: str
    args: tuple[Any, ...]
    indexes: frozenset[str]
    """Of the wide tables: each must be used, and no other."""

    blocks: int
    """The most that it may read."""


def case(sql: str, *args: Any, by: str, blocks: int) -> Case:
    return Case(sql=sql, args=args, indexes=frozenset(by.split()), blocks=blocks)


def listed(**chosen: Any) -> tuple[Any, ...]:
    """The conditions of a list of project p3, as listing.py orders them."""
    names = ("states", "types", "queues", "since", "until", "labels", "prefix")
    return ("p3", *(chosen.get(name) for name in names))


# The view's joins look for every task where its status and its outputs would be.
VIEW: Final = "tasks_pkey task_status_pkey task_outputs_pkey"
STREAM: Final = "task_status_position"
BOTH: Final = "tasks_pkey task_status_pkey"

CREATOR: Final = {
    "winners by request id": case(
        holders.FIND_BY_REQUEST_ID, ["p3"] * 100, UNKNOWN,
        by="tasks_request_id", blocks=600,
    ),
    "winners by external id": case(
        holders.FIND_BY_EXTERNAL_ID, ["p3"] * 100, [f"wf-{n}" for n in range(100)],
        by="tasks_external_id", blocks=600,
    ),
    "winners as they are": case(
        tasks.READ_TASKS, FINISHED, True, by=VIEW, blocks=1500
    ),
    "stages of winners": case(
        tasks.READ_STAGES, FINISHED, True, by="task_stages_pkey", blocks=600
    ),
    "news of a group": case(
        places.READ_NEWS, "processors", ["default", "slow"], MILLION, True, timedelta(seconds=5),
        by=STREAM, blocks=200,
    ),
    "a take": case(
        places.TAKE, "processors", 1, MILLION, 100, places.WINDOW, ["echo"], True, "me",
        None, by=f"{STREAM} tasks_pkey", blocks=8000,
    ),
    "a take that nobody answers for": case(
        creator_takes.RETAKE, "processors", "me", ["default"], ["echo"], MINUTE, [], True,
        None, by=f"{STREAM} tasks_pkey", blocks=2000,
    ),
    "projects ahead of a take": case(
        places.READ_PROJECTS_AHEAD, "processors", 1, MILLION, places.WINDOW,
        by=f"{STREAM} tasks_pkey", blocks=8000,
    ),
    "projects of takes that nobody answers for": case(
        creator_takes.READ_LOST_PROJECTS, "processors", MINUTE,
        by=f"{STREAM} tasks_pkey", blocks=8000,
    ),
    "a page of the stream": case(
        stream.READ_STREAM, 600_000, MILLION, 1000, None, by=STREAM, blocks=9000
    ),
    "its last page": case(
        stream.READ_STREAM, MILLION - 10, MILLION, 1000, ["default"], by=STREAM, blocks=300
    ),
    "projects of a page": case(
        stream.READ_PROJECTS, OPEN, by="tasks_pkey", blocks=600
    ),
}  # fmt: skip

PROCESSOR_CASES: Final = {
    "a claim": case(
        claims.CLAIM, PROCESSOR, OPEN, ["echo", "mail"], 32, False,
        by=BOTH, blocks=3000,
    ),
    "why ids were not claimed": case(
        claims.READ_UNCLAIMED, [*OPEN, *UNKNOWN], by="task_status_pkey", blocks=1000
    ),
    "due work": case(
        claims.READ_DUE, ["default"], ["echo", "mail"], False, 32, SECOND, True,
        by="task_status_due tasks_pkey", blocks=1500,
    ),
    "a report": case(
        reports.REPORT, *REPORTED,
        by="task_status_pkey", blocks=2000,
    ),
    "what was reported": case(
        reports.READ_REPORTED, FINISHED,
        by="task_status_pkey task_outputs_pkey", blocks=1000,
    ),
    "what is held": case(members.READ_HELD, PROCESSOR, by=BOTH, blocks=600),
    "finished claim batches": case(
        members.DROP_FINISHED_BATCHES, PROCESSOR, by="task_status_pkey", blocks=300
    ),
    "tasks of a dead processor": case(
        crashes.RETURN_TASKS, PROCESSOR, ["echo"], [5], 3, 5, by=BOTH, blocks=2000
    ),
    "a stage begun": case(
        steps.BEGIN_STAGE, *HELD, "write",
        by="task_status_pkey task_stages_pkey", blocks=100,
    ),
    "a stage ended": case(
        steps.END_STAGE, *HELD, "draft", "SUCCEEDED", "1",
        by="task_status_pkey task_stages_pkey", blocks=100,
    ),
    "a cancel": case(
        cancels.CANCEL, OPEN[0], None, "enough", by="task_status_pkey", blocks=100
    ),
    "a retry": case(
        retries.RETRY, FAILED, 1, by="task_status_pkey tasks_pkey", blocks=100
    ),
    "progress": case(
        steps.SET_PROGRESS, *HELD, 0.5, by="task_status_pkey", blocks=60
    ),
    "a note": case(steps.ANNOTATE, *HELD, "{}", 16, by="task_status_pkey", blocks=100),
    "tasks by id": case(tasks.READ_TASKS, FINISHED, False, by=VIEW, blocks=1500),
    "watched tasks": case(
        watch.READ_MARKS, OPEN, by="task_status_pkey", blocks=600
    ),
}  # fmt: skip

# By what is chosen of the project's hundred thousand.
LISTS: Final = {
    "the first page": case(
        listing.LIST_TASKS, *listed(), None, None, 51, by="tasks_newest", blocks=100
    ),
    "a later page": case(
        listing.LIST_TASKS, *listed(), datetime.now(UTC) - 2 * WEEK, nth(5), 51,
        by="tasks_newest", blocks=100,
    ),
    "a time": case(
        listing.LIST_TASKS, *listed(since=BEGINNING, until=datetime.now(UTC) - WEEK),
        None, None, 51, by="tasks_newest", blocks=100,
    ),
    "a state": case(
        listing.LIST_TASKS, *listed(states=["PENDING"]), None, None, 51,
        by="tasks_newest task_status_pkey", blocks=1000,
    ),
    "types and queues": case(
        listing.LIST_TASKS, *listed(types=["echo"], queues=["default"]), None, None, 51,
        by="tasks_newest", blocks=500,
    ),
    "a label": case(
        listing.LIST_TASKS, *listed(labels='{"user": "2600"}'), None, None, 51,
        by="tasks_labels", blocks=100,
    ),
    "a prefix of external ids": case(
        listing.LIST_TASKS, *listed(prefix="wf-20000:"), None, None, 51,
        by="tasks_external_id", blocks=100,
    ),
    "a total": case(
        listing.COUNT_TASKS, *listed(), 10_001, by="tasks_newest", blocks=1000
    ),
}  # fmt: skip

JANITOR: Final = {
    "a step of a walk": case(
        walk.WALK, 1, 0, MILLION, 1000, WEEK, by=f"{STREAM} tasks_pkey", blocks=3000
    ),
    "how far lanes may be stripped": case(
        walk.READ_LANES, MILLION, "processors", WEEK, by=f"{STREAM} tasks_pkey", blocks=300
    ),
    "a strip": case(
        strips.STRIP, FINISHED, WEEK,
        by=f"{BOTH} task_stages_pkey task_outputs_pkey", blocks=12_000,
    ),
    "tombstones": case(
        expiry.FIND_EXPIRED, WEEK, 1000, *expiry.BEGINNING,
        by="tasks_stripped", blocks=3000,
    ),
    "a deletion": case(
        expiry.DELETE_TASKS, STRIPPED, WEEK, by="tasks_pkey", blocks=2000
    ),
    "takes of which nothing is open": case(
        pruned_takes.FIND_TAKES, "processors", -MINUTE, 100, 0,
        by=f"{STREAM} tasks_pkey", blocks=9000,
    ),
}  # fmt: skip


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
