"""The primary dies or turns read-only, and its standby takes over: what holds, and what is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import pytest

from tandem.client import AsyncClient, Outcome, Spec
from tandem.errors import ResumeTokenExpired
from tandem.health import wait_until_serving
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import processor_pb2, task_pb2
from tests.support.creator import a_new_id, a_request
from tests.support.creator import reason_of as refusal_of
from tests.support.gates import Gate, standing_gate
from tests.support.lonely_server import wait_until_not_serving
from tests.support.running_pair import HASTE, RunningPair, running_pair
from tests.support.standby import Servers, ask, primary_and_standby
from tests.support.until import until

HANDLERS: Final = "tests.support.system_handlers:handlers"
LIMIT: Final = 30.0
JUMP: Final = 10**9

CREATED: Final = pb.CreateTaskResponse.OUTCOME_CREATED
REPLAYED: Final = pb.CreateTaskResponse.OUTCOME_REPLAYED
LOST: Final = "LEASE_LOST"
SUCCEEDED: Final = task_pb2.TaskStatus.STATE_SUCCEEDED

HIGHEST: Final = "SELECT max(s.position) FROM tandem.task_status AS s"

POSITIONS: Final = """
SELECT coalesce(array_agg(s.position), '{}')
FROM tandem.task_status AS s
JOIN tandem.tasks AS t ON t.task_id = s.task_id
WHERE t.request_id = ANY ($1::uuid[])
"""

UNFINISHED: Final = """
SELECT count(*)
FROM tandem.task_status AS s
WHERE s.finish_time IS NULL
"""


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with primary_and_standby() as running:
        yield running


@asynccontextmanager
async def _serving(servers: Servers) -> AsyncIterator[RunningPair]:
    async with running_pair(servers.database, handlers=HANDLERS, environ=HASTE) as pair:
        yield pair


def _waiting(gate: Gate) -> pb.CreateTaskRequest:
    """Of a task whose handler waits until the gate falls."""
    return a_request(
        request_id=a_new_id(), payload={"gate": gate.address}, type="innocent"
    )


def _echo(n: int = 0) -> pb.CreateTaskRequest:
    return a_request(request_id=a_new_id(), payload={"n": n}, type="echo")


async def _create(
    pair: RunningPair, requests: list[pb.CreateTaskRequest]
) -> list[pb.CreateTaskResponse]:
    """Through both creators in turn."""
    calls = (
        pair.creators[n % 2].CreateTask(request, timeout=LIMIT)
        for n, request in enumerate(requests)
    )
    return await asyncio.gather(*calls)


async def _refused(pair: RunningPair, request: pb.CreateTaskRequest) -> str:
    """The reason; whatever it is, the call may be sent again."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pair.creators[0].CreateTask(request, timeout=LIMIT)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    return refusal_of(raised.value).reason


async def _wait_for_health(pair: RunningPair, *, serving: bool) -> None:
    wait = wait_until_serving if serving else wait_until_not_serving
    services = [*pair.pair.creators, *pair.pair.processors]
    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*(wait(service.address) for service in services))


async def _fail_over(
    pair: RunningPair,
    servers: Servers,
    *,
    meanwhile: pb.CreateTaskRequest | None = None,
) -> None:
    """`meanwhile` is sent between the two, and is refused."""
    await servers.kill_primary()
    await _wait_for_health(pair, serving=False)
    if meanwhile:
        assert await _refused(pair, meanwhile) == "STORE_UNAVAILABLE"
    await servers.promote()
    await _wait_for_health(pair, serving=True)


async def _streamed(
    pair: RunningPair, *, resume_token: str = ""
) -> tuple[list[str], str]:
    """All ids from there on, and the token after them."""
    request = pb.StreamCreatedTasksRequest(
        resume_token=resume_token, until_caught_up=True
    )
    if not resume_token:
        request.start = pb.StreamCreatedTasksRequest.START_BEGINNING
    ids: list[str] = []
    async for answer in pair.creators[0].StreamCreatedTasks(request, timeout=LIMIT):
        ids += answer.task_ids
        resume_token = answer.resume_token
    return ids, resume_token


async def _all_finished(servers: Servers) -> None:
    async def none_left() -> bool:
        return bool(await ask(servers.standby, UNFINISHED) == 0)

    await until(none_left, seconds=2 * LIMIT)


async def test_p1_p5_p8_a_failover_that_lost_commits_reuses_nothing_and_strands_nothing(
    servers: Servers,
) -> None:
    kept, lost, between = ([_echo(n) for n in range(10)] for _ in range(3))
    async with standing_gate() as gate, _serving(servers) as pair:
        running, gone = _waiting(gate), _waiting(gate)
        kept_ids = [*await _finished(pair, kept), await _begun(pair, running, gate)]
        await servers.replicated()
        await servers.detach()
        lost_ids = _ids(await _create(pair, lost))
        lost_ids.append(await _begun(pair, gone, gate))
        _, token = await _streamed(pair)
        highest = await ask(servers.primary, HIGHEST)
        before = _epochs(pair)
        await _fail_over(pair, servers, meanwhile=between[0])

        await _assert_found(pair, [*kept, running], kept_ids)
        anew = [*lost, gone, *between]
        made = await _assert_made_once(pair, anew)
        assert not {*lost_ids} & {*made, *kept_ids}
        assert len(before) == 1 < len(_epochs(pair))
        await _assert_moved_on(servers, anew, highest=highest)
        await _assert_begins_anew(pair, token, ids=[*kept_ids, *made])

        # The handler of a task that is gone is told; the other one reports.
        gate.fall()
        await pair.logs.first(event="attempt", task_id=lost_ids[-1], outcome=LOST)
        done = await pair.finished(kept_ids[-1])
        assert (done.status.state, done.status.attempt) == (SUCCEEDED, 1)
        await _all_finished(servers)
        tasks = [await pair.finished(task_id) for task_id in made]
        assert {task.status.state for task in tasks} == {SUCCEEDED}
        assert pair.logs.having(level="error") == []
        assert "Traceback" not in pair.logs.text()


def _ids(answers: Iterable[pb.CreateTaskResponse]) -> list[str]:
    return [answer.task.task_id for answer in answers]


def _epochs(pair: RunningPair) -> set[str]:
    return {line["epoch_id"] for line in pair.logs.having(event="epoch entered")}


async def _finished(
    pair: RunningPair, requests: list[pb.CreateTaskRequest]
) -> list[str]:
    """The ids of tasks that were created and run."""
    ids = _ids(await _create(pair, requests))
    for task_id in ids:
        await pair.finished(task_id)
    return ids


async def _begun(pair: RunningPair, request: pb.CreateTaskRequest, gate: Gate) -> str:
    """The id of a task whose handler waits."""
    [task_id] = _ids(await _create(pair, [request]))
    await gate.reached()
    return task_id


async def _assert_found(
    pair: RunningPair, requests: list[pb.CreateTaskRequest], ids: list[str]
) -> None:
    answers = await _create(pair, requests)

    assert _ids(answers) == ids
    assert {answer.outcome for answer in answers} == {REPLAYED}


async def _assert_made_once(
    pair: RunningPair, requests: list[pb.CreateTaskRequest]
) -> list[str]:
    """Their new tasks."""
    made = await _create(pair, requests)

    assert {answer.outcome for answer in made} == {CREATED}
    await _assert_found(pair, requests, _ids(made))
    return _ids(made)


async def _assert_moved_on(
    servers: Servers, requests: list[pb.CreateTaskRequest], *, highest: int
) -> None:
    """Positions are above all that were ever given out, lost ones included."""
    request_ids = [request.request_id for request in requests]
    positions = await ask(servers.standby, POSITIONS, request_ids)

    assert len(set(positions)) == len(request_ids)
    assert min(positions) > highest + JUMP


async def _assert_begins_anew(pair: RunningPair, token: str, *, ids: list[str]) -> None:
    """A token from before is refused, with one that leads to all that is kept."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _streamed(pair, resume_token=token)
    refusal = refusal_of(raised.value)
    earliest = refusal.metadata["earliest_resume_token"]
    streamed, _ = await _streamed(pair, resume_token=earliest)

    assert refusal.reason == ResumeTokenExpired.reason
    assert sorted(streamed) == sorted(ids)


async def test_p8_work_whose_end_was_lost_is_done_again(servers: Servers) -> None:
    """Announced and taken before the copy broke off, finished after it."""
    async with _serving(servers) as pair:
        queue = processor_pb2.PauseQueueRequest(queue="default")
        await pair.processors[0].PauseQueue(queue)
        created = await _create(pair, [_echo(n) for n in range(20)])
        await servers.replicated()
        await servers.detach()
        go_on = processor_pb2.ResumeQueueRequest(queue="default")
        await pair.processors[0].ResumeQueue(go_on)
        for answer in created:
            await pair.finished(answer.task.task_id)

        await _fail_over(pair, servers)
        waiting = await ask(servers.standby, UNFINISHED)
        # The pause is back as well.
        await pair.processors[0].ResumeQueue(go_on)
        await _all_finished(servers)

        tasks = [await pair.finished(answer.task.task_id) for answer in created]
        assert waiting == 20
        assert {task.status.state for task in tasks} == {SUCCEEDED}
        assert pair.logs.having(level="error") == []


async def test_p1_p2_with_a_synchronous_standby_no_ok_is_lost_while_callers_go_on(
    servers: Servers,
) -> None:
    """Callers use our client, and notice a pause; the primary dies under them."""
    await servers.must_confirm()
    told: dict[str, str] = {}
    over, busy = asyncio.Event(), asyncio.Event()

    async def call(client: AsyncClient) -> None:
        while not over.is_set():
            created = await client.create(
                Spec(project="shop", type="echo", payload={}), within=2 * LIMIT
            )
            assert told.setdefault(str(created.request_id), created.task.task_id)
            if len(told) > 200:
                busy.set()

    async with (
        _serving(servers) as pair,
        AsyncClient([process.address for process in pair.pair.creators]) as client,
    ):
        async with asyncio.timeout(4 * LIMIT), asyncio.TaskGroup() as callers:
            for _ in range(8):
                callers.create_task(call(client))
            await busy.wait()
            await _fail_over(pair, servers)
            so_far = len(told)
            await until(lambda: _has_grown(told, so_far + 50))
            over.set()
        rows = await _rows(servers)
        await _all_finished(servers)

    assert rows == told


async def test_p1_a_primary_that_dies_in_a_commit_leaves_one_task_at_most(
    servers: Servers,
) -> None:
    """The row is written, and its commit waits for a standby that is held."""
    await servers.must_confirm()
    request = _echo()
    async with _serving(servers) as pair:
        async with servers.receiver_held():
            calling = asyncio.ensure_future(_refused(pair, request))
            waits = """
                SELECT count(*) FROM pg_stat_activity
                WHERE wait_event = 'SyncRep' AND application_name = 'tandem_creator'
            """
            await until(lambda: ask(servers.primary, waits))
            await servers.kill_primary()
            assert await calling == "STORE_UNAVAILABLE"
        await servers.promote()
        await _wait_for_health(pair, serving=True)

        [first] = await _create(pair, [request])
        [again] = await _create(pair, [request])

        assert first.task.task_id == again.task.task_id
        assert again.outcome == REPLAYED
        assert list(await _rows(servers)) == [request.request_id]
        assert (await pair.finished(first.task.task_id)).status.attempt == 1


async def test_a_primary_that_turns_read_only_is_waited_out(servers: Servers) -> None:
    """As an operator has it before a switch-over; reads go on meanwhile."""
    request = _echo()
    async with standing_gate() as gate, _serving(servers) as pair:
        running = _waiting(gate)
        [created] = await _create(pair, [running])
        await gate.reached()
        await _set_read_only(servers, "on")
        await _wait_for_health(pair, serving=False)
        assert await _refused(pair, request) == "STORE_UNAVAILABLE"
        gate.fall()
        await _set_read_only(servers, "off")
        await _wait_for_health(pair, serving=True)

        [first] = await _create(pair, [request])
        done = await pair.finished(created.task.task_id)

        assert first.outcome == CREATED
        assert (done.status.state, done.status.attempt) == (SUCCEEDED, 1)
        assert (await pair.finished(first.task.task_id)).status.state == SUCCEEDED
        assert pair.logs.having(level="error") == []


async def test_services_leave_a_primary_that_turned_read_only_for_the_new_one(
    servers: Servers,
) -> None:
    """Their sessions with the old one are whole, and useless."""
    request = _echo()
    async with _serving(servers) as pair:
        await _set_read_only(servers, "on")
        await servers.replicated()
        await servers.promote()
        await ask(servers.standby, "ALTER SYSTEM RESET default_transaction_read_only")
        await ask(servers.standby, "SELECT pg_reload_conf()")

        async with AsyncClient([p.address for p in pair.pair.creators]) as client:
            created = await client.create(
                Spec(project="shop", type="echo", payload={}),
                request_id=request.request_id,
                within=LIMIT,
            )

        assert created.outcome is Outcome.CREATED
        await _wait_for_health(pair, serving=True)
        assert list(await _rows(servers)) == [request.request_id]
        await _all_finished(servers)


async def _set_read_only(servers: Servers, word: str) -> None:
    sql = f"ALTER SYSTEM SET default_transaction_read_only = {word}"
    await ask(servers.primary, sql)
    await ask(servers.primary, "SELECT pg_reload_conf()")


async def _has_grown(told: dict[str, Any], to: int) -> bool:
    return len(told) >= to


async def _rows(servers: Servers) -> dict[str, str]:
    """Tasks of the new primary, by request id."""
    sql = """
        SELECT coalesce(json_object_agg(t.request_id, t.task_id), '{}')::text
        FROM tandem.tasks AS t
    """
    return dict(json.loads(await ask(servers.standby, sql)))
