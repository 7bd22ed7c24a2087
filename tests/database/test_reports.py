from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tandem import limits
from tandem.errors import LeaseLost, ResultConflict
from tandem.outcomes import Outcome, Reason, given_back
from tandem.postgres.pool import create_pool
from tandem.states import TaskState
from tandem_processor import reports, steps
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.processors import (
    cancel,
    claim,
    everything,
    failure,
    hold,
    join,
    outcome,
    run_task,
    status,
)


async def verdict(pool: asyncpg.Pool, processor_id: Any, told: Outcome) -> Any:
    return (await reports.report(pool, processor_id, [told]))[told.task_id]


async def test_a_success_keeps_its_result_and_ends_the_task(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)

    assert await verdict(processor_pool, me, outcome(claimed, result='{"a":1}')) is None

    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["result"], row["progress"]) == ("SUCCEEDED", '{"a":1}', 1)
    assert row["finish_time"] is not None


async def test_a_failure_with_attempts_left_is_due_again(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)

    await verdict(processor_pool, me, failure(claimed, delay=timedelta(hours=1)))

    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["attempt"]) == ("PENDING", 1)
    assert row["due_time"] - row["update_time"] == timedelta(hours=1)
    (error,) = json.loads(row["errors"])
    assert (error["reason"], error["message"]) == ("HANDLER_ERROR", "boom")
    assert error["attempt"] == 1


async def test_errors_are_kept_newest_first_and_at_most_six(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    task_id = await create_task(creator_pool)
    for number in range(8):
        (claimed,) = await claim(processor_pool, me, task_id)
        await verdict(processor_pool, me, failure(claimed, f"boom {number}"))

    errors = json.loads((await status(processor_pool, task_id))["errors"])
    assert [error["message"] for error in errors] == [
        f"boom {number}" for number in (7, 6, 5, 4, 3, 2)
    ]


async def test_p11_what_is_given_back_is_due_at_once_and_spends_no_attempt(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)

    await verdict(processor_pool, me, given_back(claimed.task_id, claimed.claim))

    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["attempt"], row["claim"]) == ("PENDING", 0, 1)
    assert row["due_time"] == row["update_time"]
    assert row["errors"] is None


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        (TaskState.SUCCEEDED, "SUCCEEDED"),
        (TaskState.FAILED, "CANCELLED"),
        (TaskState.PENDING, "CANCELLED"),
    ],
)
async def test_a_cancel_request_wins_over_everything_but_success(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    told: TaskState,
    stored: str,
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await cancel(processor_pool, claimed.task_id)

    assert await verdict(processor_pool, me, outcome(claimed, told)) is None

    assert (await status(processor_pool, claimed.task_id))["state"] == stored


@pytest.mark.parametrize(
    "told",
    [
        {"result": '{"a":1}'},
        {"result": None},
        {"state": TaskState.FAILED, "reason": Reason.TIMEOUT, "message": "late"},
        {"state": TaskState.PENDING, "reason": Reason.TIMEOUT, "message": "late"},
    ],
    ids=["result", "no result", "failed", "to be retried"],
)
async def test_p7_the_same_report_again_is_accepted_and_changes_nothing(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, told: dict[str, Any]
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await verdict(processor_pool, me, outcome(claimed, **told))
    before = await everything(processor_pool, claimed.task_id)

    assert await verdict(processor_pool, me, outcome(claimed, **told)) is None

    assert await everything(processor_pool, claimed.task_id) == before


@pytest.mark.parametrize(
    "second",
    [{"result": '{"a":2}'}, {"result": None}, {"state": TaskState.FAILED}],
    ids=["another", "none", "a failure"],
)
async def test_p7_another_result_of_the_same_claim_is_a_conflict_and_the_first_stays(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, second: dict[str, Any]
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await verdict(processor_pool, me, outcome(claimed, result='{"a":1}'))
    before = await everything(processor_pool, claimed.task_id)

    refused = await verdict(processor_pool, me, outcome(claimed, **second))

    assert isinstance(refused, ResultConflict)
    assert await everything(processor_pool, claimed.task_id) == before


async def test_p7_a_stale_holder_changes_nothing_and_is_told(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    stale, holder = await join(processor_pool), await join(processor_pool)
    old = await run_task(creator_pool, processor_pool, stale)
    await verdict(processor_pool, stale, given_back(old.task_id, old.claim))
    (new,) = await claim(processor_pool, holder, old.task_id)
    assert new.claim == old.claim + 1
    before = await everything(processor_pool, old.task_id)

    refused = await verdict(processor_pool, stale, outcome(old, result="{}"))
    assert isinstance(refused, LeaseLost)
    lost = hold(old, stale)
    for write in (
        steps.begin_stage(processor_pool, lost, "draft"),
        steps.end_stage(processor_pool, lost, "draft", result="1"),
        steps.set_progress(processor_pool, lost, 0.5),
        steps.annotate(processor_pool, lost, '{"a":"b"}'),
    ):
        with pytest.raises(LeaseLost):
            await write

    assert await everything(processor_pool, old.task_id) == before


async def test_p7_one_refused_report_does_not_cost_its_neighbours(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    good = await run_task(creator_pool, processor_pool, me)
    gone = await run_task(creator_pool, processor_pool, me)
    await verdict(processor_pool, me, given_back(gone.task_id, gone.claim))

    verdicts = await reports.report(
        processor_pool, me, [outcome(good), outcome(gone, result="{}")]
    )

    assert verdicts[good.task_id] is None
    assert isinstance(verdicts[gone.task_id], LeaseLost)


FINAL = ["SUCCEEDED", "FAILED", "CANCELLED"]


@pytest.mark.parametrize("state", [*FINAL, "PENDING", "SUSPENDED"])
async def test_p9_only_a_running_task_is_moved_by_its_holder(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    state: str,
) -> None:
    """Every guarded statement of a holder, against every state but RUNNING."""
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await processor_pool.execute(
        """
        UPDATE tandem.task_status
        SET state = $1::text::tandem.task_state,
            finish_time = CASE WHEN $2 THEN now() END
        """,
        state,
        state in FINAL,
    )
    before = await everything(processor_pool, claimed.task_id)
    mine = hold(claimed, me)

    for to in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
        told = outcome(claimed, to, reason=Reason.TIMEOUT, message="late", result="{}")
        assert await verdict(processor_pool, me, told) is not None
    for write in (
        steps.begin_stage(processor_pool, mine, "draft"),
        steps.end_stage(processor_pool, mine, "draft", result="1"),
        steps.set_progress(processor_pool, mine, 0.5),
        steps.annotate(processor_pool, mine, '{"a":"b"}'),
    ):
        with pytest.raises(LeaseLost):
            await write
    if state != "PENDING":
        assert await claim(processor_pool, me, claimed.task_id) == []

    assert await everything(processor_pool, claimed.task_id) == before


async def test_a_kept_stage_is_found_by_a_later_attempt(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    first = await run_task(creator_pool, processor_pool, me)
    await steps.begin_stage(processor_pool, hold(first, me), "draft")
    await steps.end_stage(processor_pool, hold(first, me), "draft", result='"text"')
    await steps.begin_stage(processor_pool, hold(first, me), "format")
    await verdict(processor_pool, me, failure(first))
    (second,) = await claim(processor_pool, me, first.task_id)

    draft = await steps.begin_stage(processor_pool, hold(second, me), "draft")
    form = await steps.begin_stage(processor_pool, hold(second, me), "format")

    assert (draft.result, draft.kept_bytes) == ('"text"', 6)
    assert form.result is None
    stages = await processor_pool.fetch(
        "SELECT name, state, attempt FROM tandem.task_stages ORDER BY name"
    )
    assert [tuple(stage) for stage in stages] == [
        ("draft", "SUCCEEDED", 1),
        ("format", "RUNNING", 2),
    ]


async def test_annotations_said_at_the_same_time_keep_to_the_limit(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    said = await asyncio.gather(
        *(
            steps.annotate(processor_pool, hold(claimed, me), f'{{"n{n}":"x"}}')
            for n in range(limits.MAX_ANNOTATIONS + 4)
        ),
        return_exceptions=True,
    )

    row = await status(processor_pool, claimed.task_id)
    assert len(json.loads(row["annotations"])) == limits.MAX_ANNOTATIONS
    assert [type(fault) for fault in said if fault is not None] == [ValueError] * 4


async def test_annotations_add_up_over_attempts_and_survive_the_report(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await steps.annotate(processor_pool, hold(claimed, me), '{"a":"1","b":"1"}')
    await steps.annotate(processor_pool, hold(claimed, me), '{"b":"2"}')
    await verdict(processor_pool, me, outcome(claimed, result="{}"))

    row = await status(processor_pool, claimed.task_id)
    assert json.loads(row["annotations"]) == {"a": "1", "b": "2"}
    assert row["result"] == "{}"


async def test_a_report_never_reads_the_whole_table_however_old_the_statistics(
    database: Database,
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    """Counted while nothing ran, RUNNING is a state that hardly any task is in."""
    task_ids = await create_many(creator_pool, 3000)
    await owner_pool.execute("ANALYZE tandem.task_status; ANALYZE tandem.tasks")
    async with await create_pool(
        database.processor_url, size=1, application_name="tandem-tests", by_keys=True
    ) as pool:
        me = await join(pool)
        outcomes = [
            outcome(claimed) for claimed in await claim(pool, me, *task_ids[:300])
        ]
        plan = await pool.fetch(
            f"EXPLAIN {reports.REPORT}",
            me,
            *reports._columns(outcomes),
        )

    text = "\n".join(row[0] for row in plan)
    assert "task_status_pkey" in text
    assert "Seq Scan on task_status" not in text
