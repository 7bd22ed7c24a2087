"""A task that kills whatever runs it, among others that do nothing wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import asyncpg

from tandem.states import TaskState
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.gates import Gate, let_pass, standing_gate
from tests.support.running_pair import HASTE, RunningPair, running_pair
from tests.support.until import until
from tests.system.conftest import HANDLERS

INNOCENTS = 20

STATUSES = """
SELECT s.task_id::text AS task_id, s.state::text AS state, s.attempt, s.claim, s.crashes,
    o.errors -> 0 ->> 'reason' AS reason, o.errors -> 0 ->> 'message' AS message
FROM tandem.task_status AS s
LEFT JOIN tandem.task_outputs AS o ON o.task_id = s.task_id
"""


async def test_p8_a_poison_task_fails_after_three_kills_and_condemns_no_neighbour(
    database: Database,
) -> None:
    async with (
        standing_gate() as gate,
        standing_gate() as poison_gate,
        running_pair(
            database, handlers=HANDLERS, environ=HASTE, creators=1, processors=1
        ) as pair,
    ):
        poison = await create(pair, "poison", poison_gate)
        innocents = [await create(pair, "innocent", gate) for _ in range(INNOCENTS)]
        for _ in innocents:
            await gate.reached()
        let_pass(await poison_gate.reached())
        (first,) = pair.pair.processors
        await first.ended()
        gate.fall()
        # The second dies of it, then the third; the fourth finds the third dead.
        await pair.start_processors(2)
        for processor in pair.pair.processors[1:]:
            await processor.ended()
        await pair.start_processors(1)
        async with pair.database.admin() as admin:
            rows = await until(lambda: all_final(admin), seconds=30)

    condemned = rows.pop(poison)
    assert (condemned["state"], condemned["reason"]) == (TaskState.FAILED, "CRASHED")
    assert condemned["message"].endswith("3 times in a row: it is taken for the cause")
    assert set(rows) == set(innocents)
    assert Counter(row["state"] for row in rows.values()) == {
        TaskState.SUCCEEDED: INNOCENTS
    }
    assert condemned["claim"] == 3
    # Hit twice at most: from then on it is never beside the poison.
    assert max(row["claim"] for row in rows.values()) <= 3


async def create(pair: RunningPair, type_: str, gate: Gate) -> str:
    request = a_request(
        request_id=a_new_id(), type=type_, payload={"gate": gate.address}
    )
    return (await pair.creators[0].CreateTask(request)).task.task_id


async def all_final(admin: asyncpg.Connection) -> dict[str, asyncpg.Record]:
    """Every task's status, once all have ended."""
    rows: Sequence[asyncpg.Record] = await admin.fetch(STATUSES)
    if not all(TaskState(row["state"]).is_final for row in rows):
        return {}
    return {row["task_id"]: row for row in rows}
