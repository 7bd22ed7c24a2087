"""What a pair logs in its life is what the table of log events says."""

from __future__ import annotations

from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.gates import standing_gate
from tests.support.operations import fields_of_all_events, listed_events
from tests.support.running_pair import HASTE, RunningPair, running_pair
from tests.support.service_logs import ServiceLogs, Written
from tests.system.conftest import HANDLERS

State = task_pb2.TaskStatus

OF_A_CREATOR = {"serving", "epoch entered", "call", "created so far", "stopping"}

OF_A_PROCESSOR = {
    *("serving", "joined", "call", "stage", "attempt", "handler failed"),
    *("stopping", "draining", "left"),
}


async def test_every_line_of_a_pair_from_its_start_to_its_stop_is_in_the_table(
    database: Database,
) -> None:
    async with running_pair(
        database, handlers=HANDLERS, environ=HASTE, creators=1, processors=1
    ) as pair:
        done = await pair.finished(await _created(pair, "echo"), at=0)
        failed = await pair.finished(await _created(pair, "flawed"), at=0)
        cancelled = await _cancelled(pair)

    assert done.status.state == State.STATE_SUCCEEDED
    assert failed.status.state == State.STATE_FAILED
    assert cancelled.status.state == State.STATE_CANCELLED
    assert [fault for line in pair.logs.written for fault in _faults(line)] == []
    assert _events(pair.logs, "creator") >= OF_A_CREATOR
    assert _events(pair.logs, "processor") >= OF_A_PROCESSOR


async def _created(pair: RunningPair, type_: str, **payload: str) -> str:
    request = a_request(request_id=a_new_id(), type=type_, payload=payload)
    return str((await pair.creators[0].CreateTask(request)).task.task_id)


async def _cancelled(pair: RunningPair) -> task_pb2.Task:
    """A task that was cancelled between its two stages."""
    async with standing_gate() as gate:
        task_id = await _created(pair, "staged", gate=gate.address)
        await gate.reached()
        await pair.processors[0].CancelTask(pb.CancelTaskRequest(task_id=task_id))
        return await pair.finished(task_id, at=0)


def _faults(written: Written) -> list[str]:
    """How this line differs from what the table says of its event."""
    line = written.fields()
    listed = listed_events().get(line.get("event", ""))
    if listed is None:
        return [f"not listed: {written.text}"]
    service = written.label.partition("-")[0]
    more = set(line) - fields_of_all_events() - listed.fields
    return [
        *(f"no field of it: {name} in {written.text}" for name in more),
        *([f"level: {written.text}"] if line["level"] != listed.level else []),
        *([f"service: {written.text}"] if line["service"] != service else []),
        *([f"of {service}"] if listed.service not in {service, "both"} else []),
    ]


def _events(logs: ServiceLogs, service: str) -> set[str]:
    return {line["event"] for line in logs.having(service=service)}
