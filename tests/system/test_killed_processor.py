"""A processor dies by SIGKILL, or is told to stop: its tasks finish elsewhere."""

from __future__ import annotations

import asyncio

from tandem.v1 import task_pb2
from tests.support.creator import a_new_id, a_request
from tests.support.gates import Gate, let_pass, standing_gate
from tests.support.running_pair import RunningPair

State = task_pb2.TaskStatus


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


async def _reach_gate(
    pair: RunningPair, gate: Gate
) -> tuple[str, asyncio.StreamWriter]:
    """Create a task, and wait until its handler stands before the gate."""
    request = a_request(
        request_id=a_new_id(), payload={"gate": gate.address}, type="staged"
    )
    created = await pair.creators[0].CreateTask(request)
    return created.task.task_id, await gate.reached()
