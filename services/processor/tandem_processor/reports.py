"""Reports: what attempts came to, written for many tasks in one guarded UPDATE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from tandem.errors import LeaseLost, ResultConflict, TandemError
from tandem.outcomes import Outcome
from tandem.postgres.columns import sparse
from tandem.states import TaskState

# The rows are locked in the order of their ids, so that reports and sweeps do
# not deadlock. A cancel request wins over everything but success. Who has survived
# an attempt, however it ended, is no suspect any more.
REPORT: Final = """
WITH reported AS (
    SELECT
        r.task_id, r.claim, r.state::tandem.task_state AS state, r.result,
        r.reason, r.message, r.delay, r.spends_attempt
    FROM unnest(
        $2::uuid[], $3::integer[], $4::text[], $5::text[],
        $6::text[], $7::text[], $8::interval[], $9::boolean[]
    ) AS r (task_id, claim, state, result, reason, message, delay, spends_attempt)
),
held AS (
    SELECT
        s.task_id, r.claim, r.result, r.reason, r.message, r.delay, r.spends_attempt,
        CASE
            WHEN s.cancel_request_time IS NOT NULL AND r.state <> 'SUCCEEDED' THEN 'CANCELLED'
            ELSE r.state
        END AS state
    FROM tandem.task_status AS s
    JOIN reported AS r ON r.task_id = s.task_id
    WHERE s.claim = r.claim
      AND s.processor_id = $1
      AND s.state = 'RUNNING'
    ORDER BY s.task_id
    FOR NO KEY UPDATE OF s
),
moved AS (
    UPDATE tandem.task_status AS s
    SET state = h.state,
        attempt = s.attempt - CASE WHEN h.spends_attempt THEN 0 ELSE 1 END,
        crashes = CASE WHEN h.spends_attempt THEN 0 ELSE s.crashes END,
        due_time = CASE WHEN h.state = 'PENDING' THEN now() + coalesce(h.delay, '0') END,
        finish_time = CASE WHEN h.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') THEN now() END,
        progress = CASE WHEN h.state = 'SUCCEEDED' THEN 1 ELSE s.progress END,
        update_time = now()
    FROM held AS h
    WHERE s.task_id = h.task_id
      AND s.claim = h.claim
      AND s.processor_id = $1
      AND s.state = 'RUNNING'
    RETURNING s.task_id, s.attempt, s.claim, h.result, h.reason, h.message
),
kept AS (
    INSERT INTO tandem.task_outputs AS o (task_id, claim, result, errors)
    SELECT
        m.task_id, m.claim, m.result::json,
        CASE WHEN m.reason IS NOT NULL THEN json_build_array(json_build_object(
            'reason', m.reason, 'message', m.message,
            'attempt', m.attempt, 'error_time', now()
        )) END
    FROM moved AS m
    WHERE m.result IS NOT NULL OR m.reason IS NOT NULL
    ON CONFLICT (task_id) DO UPDATE
    SET claim = excluded.claim,
        result = excluded.result,
        errors = jsonb_path_query_array(
            coalesce(excluded.errors::jsonb, '[]') || coalesce(o.errors::jsonb, '[]'),
            '$[0 to 5]'
        )::json
)
SELECT m.task_id
FROM moved AS m
"""

READ_REPORTED: Final = """
SELECT
    s.task_id, s.state::text AS state, s.claim, s.processor_id,
    CASE WHEN o.claim = s.claim THEN o.result::text END AS result,
    o.errors -> 0 ->> 'reason' AS reason,
    o.errors -> 0 ->> 'message' AS message
FROM tandem.task_status AS s
LEFT JOIN tandem.task_outputs AS o ON o.task_id = s.task_id
WHERE s.task_id = ANY ($1::uuid[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """How a task stands that did not take a report."""

    task_id: UUID
    state: str
    claim: int
    processor_id: UUID | None
    result: str | None
    reason: str | None
    message: str | None


Verdicts = Mapping[UUID, TandemError | None]
"""For each task: None where the report stands, else why it does not."""


async def report(
    pool: asyncpg.Pool, processor_id: UUID, outcomes: Sequence[Outcome]
) -> Verdicts:
    """Write the outcomes, one a task; each stands or falls by itself."""
    rows = await pool.fetch(REPORT, processor_id, *_columns(outcomes))
    moved = {row["task_id"] for row in rows}
    refused = [outcome for outcome in outcomes if outcome.task_id not in moved]
    verdicts: dict[UUID, TandemError | None] = dict.fromkeys(moved)
    if refused:
        verdicts |= await _judge(pool, processor_id, refused)
    return verdicts


def _columns(outcomes: Sequence[Outcome]) -> Sequence[Sequence[object]]:
    return [
        [o.task_id for o in outcomes],
        [o.claim for o in outcomes],
        [o.state for o in outcomes],
        sparse([o.result for o in outcomes]),
        sparse([o.reason for o in outcomes]),
        sparse([o.message for o in outcomes]),
        sparse([o.delay or None for o in outcomes]),
        [o.spends_attempt for o in outcomes],
    ]


async def _judge(
    pool: asyncpg.Pool, processor_id: UUID, refused: Sequence[Outcome]
) -> Verdicts:
    """Tell a repeat, whose first answer was lost, from a lease that is lost."""
    records = await pool.fetch(READ_REPORTED, [o.task_id for o in refused])
    stored = {record["task_id"]: Reported(**dict(record)) for record in records}
    return {
        outcome.task_id: verdict(outcome, processor_id, stored.get(outcome.task_id))
        for outcome in refused
    }


def verdict(
    outcome: Outcome, processor_id: UUID, stored: Reported | None
) -> TandemError | None:
    """What a report that matched no row means; None where it stands already."""
    task_id = str(outcome.task_id)
    if (
        stored is None
        or stored.claim != outcome.claim
        or stored.processor_id != processor_id
    ):
        return LeaseLost("the claim is held no longer", task_id=task_id)
    if _is_repeat(outcome, stored):
        return None
    if TaskState(stored.state).is_final:
        return ResultConflict("another outcome of this claim is kept", task_id=task_id)
    return LeaseLost("the claim is held no longer", task_id=task_id)


def _is_repeat(outcome: Outcome, stored: Reported) -> bool:
    if stored.state == TaskState.SUCCEEDED or outcome.state is TaskState.SUCCEEDED:
        return stored.state == outcome.state and stored.result == outcome.result
    # A cancel request may have turned what was reported into CANCELLED.
    same_state = stored.state in {outcome.state, TaskState.CANCELLED}
    said = (stored.reason, stored.message)
    return same_state and (
        outcome.reason is None or said == (outcome.reason, outcome.message)
    )
