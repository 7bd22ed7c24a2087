"""The statements that move a task's state against the table of its life."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from tandem.outcomes import Claimed
from tandem.states import FINAL_STATES, SUCCESSORS, TaskState
from tandem_processor import crashes, reports
from tests.support.processors import (
    cancel,
    claim,
    fall_silent,
    join,
    outcome,
    retry,
    run_task,
)

Edge = tuple[TaskState, TaskState]

RETURNED: Final[dict[TaskState, dict[str, Any]]] = {
    TaskState.PENDING: {"max_attempts": 2, "cancel": False},
    TaskState.FAILED: {"max_attempts": 1, "cancel": False},
    TaskState.CANCELLED: {"max_attempts": 2, "cancel": True},
}
"""Where a reconciler returns a task to, and what makes it do so."""

CANCELS: Final[set[Edge]] = {
    (TaskState.PENDING, TaskState.CANCELLED),
    (TaskState.SUSPENDED, TaskState.CANCELLED),
}
RETRIES: Final[set[Edge]] = {
    (TaskState.FAILED, TaskState.PENDING),
    (TaskState.CANCELLED, TaskState.PENDING),
}
DECISIONS: Final[set[Edge]] = {(TaskState.SUSPENDED, TaskState.PENDING)}
"""No processor takes these by itself: somebody asks for each with a call."""

BY_PROCESSORS: Final[set[Edge]] = {
    (a, b) for a, after in SUCCESSORS.items() for b in after
} - (CANCELS | RETRIES | DECISIONS)

FORCE: Final = """
UPDATE tandem.task_status
SET state = $2::text::tandem.task_state,
    finish_time = CASE WHEN $3 THEN now() END,
    cancel_request_time = CASE WHEN $4 THEN now() END
WHERE task_id = $1
"""

READ: Final = "SELECT state::text FROM tandem.task_status WHERE task_id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A database, a processor that claims, and one that judges it."""

    owner: asyncpg.Pool
    creator: asyncpg.Pool
    pool: asyncpg.Pool
    judge: UUID

    async def task(
        self, state: TaskState, *, max_attempts: int = 2, cancel: bool = False
    ) -> tuple[UUID, Claimed]:
        """A task once claimed by a new processor, then forced into the state."""
        me = await join(self.pool)
        claimed = await run_task(self.creator, self.pool, me, max_attempts=max_attempts)
        final = state in FINAL_STATES
        await self.owner.execute(FORCE, claimed.task_id, state, final, cancel)
        return me, claimed

    async def state(self, claimed: Claimed) -> TaskState:
        return TaskState(await self.pool.fetchval(READ, claimed.task_id))


Move = Callable[[World, TaskState], Awaitable[TaskState]]
"""Forces the state, runs one statement, and answers the state that it left."""


async def claimed_from(world: World, state: TaskState) -> TaskState:
    me, task = await world.task(state)
    await claim(world.pool, me, task.task_id)
    return await world.state(task)


def reported_as(target: TaskState) -> Move:
    async def move(world: World, state: TaskState) -> TaskState:
        me, task = await world.task(state)
        await reports.report(world.pool, me, [outcome(task, target)])
        return await world.state(task)

    return move


def returned_as(target: TaskState) -> Move:
    async def move(world: World, state: TaskState) -> TaskState:
        me, task = await world.task(state, **RETURNED[target])
        await fall_silent(world.pool, me)
        burial = await crashes.bury_one(
            world.pool,
            world.judge,
            dead_after=timedelta(seconds=15),
            types=[],
            max_attempts=[],
        )
        assert burial is not None
        assert burial.processor_id == me
        return await world.state(task)

    return move


async def cancelled_from(world: World, state: TaskState) -> TaskState:
    _, task = await world.task(state)
    await cancel(world.pool, task.task_id)
    return await world.state(task)


async def retried_from(world: World, state: TaskState) -> TaskState:
    _, task = await world.task(state)
    await retry(world.pool, task.task_id, attempt=task.attempt)
    return await world.state(task)


MOVES: Final[list[tuple[Move, TaskState, set[Edge]]]] = [
    (claimed_from, TaskState.RUNNING, BY_PROCESSORS),
    *(
        (reported_as(target), target, BY_PROCESSORS)
        for target in SUCCESSORS[TaskState.RUNNING]
    ),
    *((returned_as(target), target, BY_PROCESSORS) for target in RETURNED),
    (cancelled_from, TaskState.CANCELLED, CANCELS),
    (retried_from, TaskState.PENDING, RETRIES),
]
"""Each statement, the state it leads to, and from where."""


async def test_p9_a_statement_moves_a_task_if_and_only_if_the_table_has_it(
    owner_pool: asyncpg.Pool, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    judge = await join(processor_pool)
    world = World(
        owner=owner_pool, creator=creator_pool, pool=processor_pool, judge=judge
    )
    taken: set[Edge] = set()
    for (move, target, edges), state in itertools.product(MOVES, TaskState):
        moves = (state, target) in edges
        expected = target if moves else state
        assert await move(world, state) is expected, f"{state} to {target}"
        taken |= {(state, target)} if moves else set()

    assert taken == CANCELS | RETRIES | BY_PROCESSORS
    assert {(a, b) for a, after in SUCCESSORS.items() for b in after} >= taken
