"""Both services behind PgBouncer in transaction mode: all of it works, only later."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tandem.pair import ANY_PORT, Logins, Pair
from tandem.postgres.connect import PostgresUnfit
from tandem.postgres.pool import create_pool
from tandem.processes import DidNotServe
from tandem.v1 import creator_pb2 as pb
from tandem_creator.running import LOCK_TIMEOUT
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.group_members import create, joined
from tests.support.pgbouncer import running_pgbouncer
from tests.support.running_pair import ROOT, running_pair
from tests.support.tools import needs

pytestmark = needs("pgbouncer")

HANDLERS = "tests.support.system_handlers:handlers"

POOLED = {
    "TANDEM_POOLER": "true",
    "TANDEM_HEARTBEAT": "0.5",
    "TANDEM_DEAD_AFTER": "15",
    "TANDEM_GRACE": "5",
}

SQL_BLOCK = re.compile(r"```sql\n(ALTER ROLE.*?)```", re.DOTALL)

LIMIT = 30.0


async def give_settings(database: Database) -> None:
    """Those that the document has an administrator give, word by word."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (block,) = SQL_BLOCK.findall(text)
    async with database.admin() as admin:
        await admin.execute(
            block.replace("DATABASE tandem", f"DATABASE {database.name}")
        )


@pytest.fixture
async def pooled(database: Database) -> AsyncIterator[Database]:
    """Settings first: sessions that the pooler has already would not have them."""
    await give_settings(database)
    async with running_pgbouncer(database) as through:
        yield through


async def test_a_task_is_created_streamed_consumed_and_processed_through_a_pooler(
    pooled: Database,
) -> None:
    """The subscriber and the member are where the tasks are not created."""
    async with running_pair(pooled, handlers=HANDLERS, environ=POOLED) as pair:
        here, there = pair.creators
        subscribed = aiter(
            there.StreamCreatedTasks(
                pb.StreamCreatedTasksRequest(
                    start=pb.StreamCreatedTasksRequest.START_NOW
                )
            )
        )
        async with (
            asyncio.timeout(LIMIT),
            joined(there, group="readers", credit=9) as reader,
        ):
            await anext(subscribed)
            request = a_request(request_id=a_new_id(), type="echo", payload={"n": 1})
            task_id = (await here.CreateTask(request)).task.task_id
            again = await there.CreateTask(request)
            assert list((await anext(subscribed)).task_ids) == [task_id]
            assert await reader.hear(1) == [task_id]
            done = await pair.finished(task_id)
        assert again.outcome == pb.CreateTaskResponse.OUTCOME_REPLAYED
        assert (done.status.attempt, again.task.task_id) == (1, task_id)


async def test_many_callers_at_once_are_served_through_few_sessions(
    pooled: Database,
) -> None:
    async with running_pair(pooled, handlers=HANDLERS, environ=POOLED) as pair:
        async with asyncio.timeout(2 * LIMIT):
            shares = await asyncio.gather(
                *(create(stub, 25, type="echo") for stub in pair.creators)
            )
            batch = await pair.creators[0].BatchCreateTasks(
                pb.BatchCreateTasksRequest(
                    request_id=a_new_id(),
                    requests=[
                        a_request(type="echo", payload={"n": n}) for n in range(20)
                    ],
                )
            )
            made = [task_id for share in shares for task_id in share]
            made += [result.task.task_id for result in batch.results]
            done = [
                await pair.finished(task_id, at=n % 2) for n, task_id in enumerate(made)
            ]
        assert {task.status.attempt for task in done} == {1}
        assert len({task.task_id for task in done}) == 70


async def test_a_session_whose_login_has_no_settings_is_refused_with_what_to_do(
    database: Database,
) -> None:
    async with running_pgbouncer(database) as through:
        with pytest.raises(PostgresUnfit, match=r"lock_timeout is '0'.*ALTER ROLE"):
            await create_pool(
                through.creator_url,
                size=1,
                application_name="tandem-tests",
                pooler=True,
            )


async def test_the_documents_settings_are_those_that_each_service_demands(
    pooled: Database,
) -> None:
    creator = await create_pool(
        pooled.creator_url,
        size=4,
        application_name="tandem-tests",
        pooler=True,
        by_keys=True,
        lock_timeout=LOCK_TIMEOUT,
    )
    processor = await create_pool(
        pooled.processor_url, size=4, application_name="tandem-tests", pooler=True
    )
    async with creator, processor:
        shown = [await creator.fetchval("SHOW lock_timeout") for _ in range(8)]
        assert set(shown) == {"1s"}
        assert await processor.fetchval("SHOW statement_timeout") == "15s"


async def test_a_service_that_does_not_know_of_its_pooler_is_told_what_to_set(
    pooled: Database,
) -> None:
    logins = Logins(creator_url=pooled.creator_url, processor_url=pooled.processor_url)
    lines: list[str] = []
    async with Pair(
        logins, handlers=HANDLERS, on_line=lambda _, line: lines.append(line)
    ) as pair:
        with pytest.raises(DidNotServe):
            await pair.start_creators([ANY_PORT])
    assert any("TANDEM_POOLER=true" in line for line in lines)
