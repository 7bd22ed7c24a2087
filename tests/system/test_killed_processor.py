"""A processor dies by SIGKILL, or is told to stop: its tasks finish elsewhere."""

from __future__ import annotations

import asyncio
import json

from tandem.v1 import task_pb2
from tests.support.creator import a_new_id, a_request
from tests.support.gates import Gate, let_pass, standing_gate
from tests.support.running_pair import RunningPair
from tests.support.until import until

State = task_pb2.TaskStatus


LOCK_STATUS = """
SELECT s.task_id
FROM tandem.task_status AS s
WHERE s.task_id = $1::uuid
FOR UPDATE
"""

# Somebody has gone as far as the return of the tasks, and waits for the row.
RETURNING = """
SELECT $1::uuid IS NOT NULL
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.wait_event_type = 'Lock'
  AND a.query LIKE '%crashes = s.crashes + 1%'
"""

SUCCEEDED = """
SELECT s.attempt, s.claim, o.errors::text AS errors
FROM tandem.task_status AS s
JOIN tandem.task_outputs AS o ON o.task_id = s.task_id
WHERE s.task_id = $1::uuid
  AND s.state = 'SUCCEEDED'
"""


async def test_p8_a_killed_processor_s_task_is_finished_by_another(
    pair: RunningPair,
) -> None:
    """The stage that was kept is not run again, and the crash costs one attempt."""
    async with standing_gate() as gate:
        task_id, _ = await _reach_gate(pair, gate)
        holder, other = await pair.holder(task_id)
        await pair.pair.processors[holder].kill()
        let_pass(await gate.reached())
        done = await pair.finished(task_id, at=other)
    assert done.status.state == State.STATE_SUCCEEDED
    assert dict(done.status.result) == {"first": 1, "second": 2}


async def test_p11_a_stopped_processor_gives_its_task_back_unspent(
    pair: RunningPair,
) -> None:
    async with standing_gate() as gate:
        task_id, _ = await _reach_gate(pair, gate)
        holder, other = await pair.holder(task_id)
        stopping = asyncio.create_task(pair.pair.processors[holder].stop())
        let_pass(await gate.reached())
        done = await pair.finished(task_id, at=other)
        assert await stopping == 0
    assert done.status.state == State.STATE_SUCCEEDED
    assert (done.status.attempt, done.status.claim) == (1, 2)


async def test_p11_a_stopped_processor_lets_its_handlers_finish(
    pair: RunningPair,
) -> None:
    async with standing_gate() as gate:
        task_id, at_gate = await _reach_gate(pair, gate)
        holder, other = await pair.holder(task_id)
        stopping = asyncio.create_task(pair.pair.processors[holder].stop())
        await pair.logs.first(
            label=pair.pair.processors[holder].label, event="draining"
        )
        let_pass(at_gate)
        assert await stopping == 0
        done = await pair.finished(task_id, at=other)
    assert done.status.state == State.STATE_SUCCEEDED
    assert (done.status.attempt, done.status.claim) == (1, 1)


async def test_p8_a_reconciler_killed_in_the_middle_leaves_it_to_the_next(
    pair: RunningPair,
) -> None:
    """It had locked and marked the dead one, and not yet returned the task."""
    async with standing_gate() as gate:
        task_id, _ = await _reach_gate(pair, gate)
        at, other = await pair.holder(task_id)
        holder, reconciler = (pair.pair.processors[n] for n in (at, other))
        async with pair.database.admin() as admin, pair.database.admin() as looks:
            async with admin.transaction():
                await admin.execute(LOCK_STATUS, task_id)
                await holder.kill()
                await until(lambda: looks.fetchval(RETURNING, task_id), seconds=30)
                await reconciler.kill()
                await pair.start_processors(1)
            let_pass(await gate.reached())
            row = await until(lambda: looks.fetchrow(SUCCEEDED, task_id), seconds=30)
            assert row is not None
            errors = json.loads(row["errors"])
            left = await looks.fetchval("SELECT count(*) FROM tandem.claim_batches")
    assert (row["attempt"], row["claim"]) == (2, 2)
    assert [error["reason"] for error in errors] == ["CRASHED"]
    assert left <= 1


async def _reach_gate(
    pair: RunningPair, gate: Gate
) -> tuple[str, asyncio.StreamWriter]:
    """Create a task, and wait until its handler stands before the gate."""
    request = a_request(
        request_id=a_new_id(), payload={"gate": gate.address}, type="staged"
    )
    created = await pair.creators[0].CreateTask(request)
    return created.task.task_id, await gate.reached()
