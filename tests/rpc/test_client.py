"""Both clients over real sockets: repeats beyond gRPC's own, limits, and streams that go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import grpc
import pytest

from tandem import errors
from tandem.client import (
    AsyncClient,
    Client,
    Deadlines,
    Spec,
    TimedOut,
    Unreachable,
    channels,
)
from tandem.states import TaskState
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import processor_pb2, task_pb2
from tests.support.proxy import running_proxy
from tests.support.scripted import Served, Silence, Step, away, scripted, soon

SPEC = Spec(project="shop", type="email")
CREATED = pb.CreateTaskResponse(
    task=task_pb2.Task(task_id="7"), outcome=pb.CreateTaskResponse.OUTCOME_CREATED
)
SEVEN = task_pb2.Task(task_id="7")
GRPC_TRIES = 5
LIMIT = 30.0


class Blocking:
    """The blocking client, each use of it in a thread."""

    def __init__(self, creator: str, processor: str, **deadlines: float) -> None:
        self._client = Client(creator, processor, deadlines=Deadlines(**deadlines))

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self._client, method), *args, **options)

    async def read(self, method: str, *args: Any, **options: Any) -> list[Any]:
        """Everything that an iteration gives."""
        iteration = getattr(self._client, method)(*args, **options)
        return await asyncio.to_thread(list, iteration)

    async def close(self) -> None:
        self._client.close()


class Awaited:
    """The client on asyncio."""

    def __init__(self, creator: str, processor: str, **deadlines: float) -> None:
        self._client = AsyncClient(creator, processor, deadlines=Deadlines(**deadlines))

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await getattr(self._client, method)(*args, **options)

    async def read(self, method: str, *args: Any, **options: Any) -> list[Any]:
        iteration = getattr(self._client, method)(*args, **options)
        return [message async for message in iteration]

    async def close(self) -> None:
        await self._client.close()


Opened = Callable[..., Blocking | Awaited]


@pytest.fixture(params=[Blocking, Awaited])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    """Opens either client, of what is served."""
    clients: list[Blocking | Awaited] = []

    def open_(served: Served, **deadlines: float) -> Blocking | Awaited:
        clients.append(request.param(served.creator, served.processor, **deadlines))
        return clients[-1]

    yield open_
    for client in clients:
        await client.close()


def ids(*task_ids: str, token: str) -> pb.StreamCreatedTasksResponse:
    return pb.StreamCreatedTasksResponse(task_ids=task_ids, resume_token=token)


def seen(state: TaskState, **status: Any) -> processor_pb2.WatchTaskResponse:
    value = task_pb2.TaskStatus.State.Value(f"STATE_{state}")
    task = task_pb2.Task(task_id="7", status=task_pb2.TaskStatus(state=value, **status))
    return processor_pb2.WatchTaskResponse(task=task)


async def test_p1_grpcs_own_repeats_are_the_same_request(opened: Opened) -> None:
    async with scripted(*[away()] * (GRPC_TRIES - 1), CREATED) as served:
        made = await opened(served).call("create", SPEC)

    assert len(served.asked) == GRPC_TRIES
    assert all(asked == served.asked[0] for asked in served.asked)
    assert made.task.task_id == "7"


async def test_p1_repeats_go_on_after_grpc_has_given_up(opened: Opened) -> None:
    async with scripted(*[away()] * (2 * GRPC_TRIES), CREATED) as served:
        await opened(served).call("create", SPEC, request_id="order 7")

    assert len(served.asked) == 2 * GRPC_TRIES + 1
    assert len({asked.request_id for asked in served.asked}) == 1


async def test_p1_a_try_without_an_answer_is_sent_again_with_its_id(
    opened: Opened,
) -> None:
    async with scripted(Silence(), CREATED) as served:
        await opened(served, single=0.5).call("create", SPEC)

    first, again = served.asked
    assert first == again


@pytest.mark.parametrize(
    ("method", "given", "answer"),
    [
        (
            "cancel",
            {"task_id": "7", "expected_attempt": 0, "comment": "twice"},
            processor_pb2.CancelTaskResponse(task=SEVEN),
        ),
        (
            "retry",
            {"task_id": "7", "expected_attempt": 3},
            processor_pb2.RetryTaskResponse(task=SEVEN),
        ),
        ("pause_queue", {"queue": "mail"}, processor_pb2.PauseQueueResponse()),
        ("resume_queue", {"queue": "mail"}, processor_pb2.ResumeQueueResponse()),
    ],
    ids=["cancel", "retry", "pause", "resume"],
)
async def test_a_change_is_asked_for_until_it_is_answered(
    opened: Opened, method: str, given: dict[str, Any], answer: Any
) -> None:
    """Beyond the tries of gRPC's own; each of them the same request."""
    async with scripted(*[away()] * GRPC_TRIES, answer) as served:
        told = await opened(served).call(method, **given)

    assert told == (SEVEN if hasattr(answer, "task") else None)
    assert len(served.asked) == GRPC_TRIES + 1
    assert all(asked == served.asked[0] for asked in served.asked)
    assert {name: getattr(served.asked[0], name) for name in given} == given


async def test_a_cancel_at_any_attempt_names_none(opened: Opened) -> None:
    answer = processor_pb2.CancelTaskResponse(task=SEVEN)
    async with scripted(answer) as served:
        await opened(served).call("cancel", "7")

    assert not served.asked[0].HasField("expected_attempt")


async def test_a_retry_that_is_refused_is_raised_as_its_class(opened: Opened) -> None:
    refusal = errors.TransitionRefused("the task is RUNNING", state="RUNNING")
    async with scripted(refusal) as served:
        with pytest.raises(errors.TransitionRefused, match="RUNNING") as caught:
            await opened(served).call("retry", "7", expected_attempt=1)

    assert caught.value.metadata == {"state": "RUNNING"}


async def test_a_call_ends_when_its_time_is_over(opened: Opened) -> None:
    async with scripted(*[Silence()] * 9) as served:
        client = opened(served, single=0.2)
        with pytest.raises(TimedOut) as caught:
            await client.call("create", SPEC, within=1.0)

    assert caught.value.metadata["request_id"] == served.asked[0].request_id
    assert len(served.asked) > 1


async def test_the_time_of_a_method_may_be_set_for_all_its_calls(
    opened: Opened,
) -> None:
    async with scripted(Silence()) as served:
        with pytest.raises(TimedOut):
            await opened(served, get=0.2).call("get", "7")


async def test_nobody_there_is_told_apart_from_a_refusal(opened: Opened) -> None:
    async with scripted() as served:
        pass
    with pytest.raises(Unreachable) as caught:
        await opened(served).call("create", SPEC, within=4.0)

    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert caught.value.metadata["request_id"]


async def test_a_refusal_is_raised_as_its_class_with_what_it_names(
    opened: Opened,
) -> None:
    refused = errors.RequestIdReused(
        "it made another",
        violations=[errors.Violation("spec.payload.to", "differs")],
        task_id="7",
    )
    async with scripted(refused) as served:
        with pytest.raises(errors.RequestIdReused) as caught:
            await opened(served).call("create", SPEC)

    assert caught.value.metadata["task_id"] == "7"
    assert caught.value.violations[0].field == "spec.payload.to"


async def test_a_service_that_is_full_is_not_pressed(opened: Opened) -> None:
    async with scripted(errors.Overloaded("full")) as served:
        with pytest.raises(errors.Overloaded) as caught:
            await opened(served).call("create", SPEC)

    assert caught.value.retry_after == 1.0
    assert len(served.asked) == 1


async def test_an_unknown_outcome_is_looked_up(opened: Opened) -> None:
    lost = errors.OutcomeUnknown("lost", request_id=str(UUID(int=5)))
    found = pb.LookupTaskResponse(task=CREATED.task)
    async with scripted(lost, found) as served:
        made = await opened(served).call("create", SPEC)

    created, looked_up = served.asked
    assert isinstance(created, pb.CreateTaskRequest)
    assert isinstance(looked_up, pb.LookupTaskRequest)
    assert made.task.task_id == "7"


async def test_a_list_is_asked_for_page_by_page(opened: Opened) -> None:
    tasks = [task_pb2.Task(task_id=str(number)) for number in range(4)]
    pages: list[Step] = [
        processor_pb2.ListTasksResponse(tasks=tasks[:2], next_page_token="a"),
        away(),
        processor_pb2.ListTasksResponse(tasks=tasks[2:3], next_page_token="b"),
        processor_pb2.ListTasksResponse(tasks=tasks[3:]),
    ]
    async with scripted(*pages) as served:
        found = await opened(served).read("list", "shop", types=["email"])

    assert found == tasks
    assert [asked.page_token for asked in served.asked] == ["", "a", "a", "b"]
    assert all(list(asked.types) == ["email"] for asked in served.asked)


async def test_stats_are_asked_for_by_project_and_days(opened: Opened) -> None:
    counted = processor_pb2.GetStatsResponse(
        queues=[processor_pb2.QueueStats(queue="mail", count=3)]
    )
    async with scripted(away(), counted, counted) as served:
        client = opened(served)
        of_shop = await client.call("stats", "shop", days=3)
        of_all = await client.call("stats")

    assert of_shop == of_all == counted
    assert served.asked[1:] == [
        processor_pb2.GetStatsRequest(project="shop", days=3),
        processor_pb2.GetStatsRequest(),
    ]


async def test_p5_a_stream_goes_on_from_its_last_message(opened: Opened) -> None:
    steps: list[Step] = [
        ids("1", "2", token="a"),
        ids(token="b"),
        soon(errors.Stopping("going")),
        ids("3", token="c"),
        away(),
        ids("4", token="d"),
    ]
    async with scripted(*steps) as served:
        messages = await opened(served).read("stream_created", queues=["slow"])

    assert [i for m in messages for i in m.task_ids] == ["1", "2", "3", "4"]
    assert [asked.resume_token for asked in served.asked] == ["", "b", "c"]
    assert all(list(asked.queues) == ["slow"] for asked in served.asked)


async def test_p5_a_silent_stream_is_dead_and_opened_again(opened: Opened) -> None:
    steps: list[Step] = [ids("1", token="a"), Silence(), ids("2", token="b")]
    async with scripted(*steps) as served:
        client = opened(served, silence=0.4)
        messages = await client.read("stream_created")

    assert [i for m in messages for i in m.task_ids] == ["1", "2"]
    assert [asked.resume_token for asked in served.asked] == ["", "a"]


async def test_an_expired_token_is_raised_with_the_one_that_works(
    opened: Opened,
) -> None:
    expired = errors.ResumeTokenExpired("gone", earliest_resume_token="z")
    async with scripted(expired) as served:
        with pytest.raises(errors.ResumeTokenExpired) as caught:
            await opened(served).read("stream_created", resume_token="a")

    assert caught.value.metadata["earliest_resume_token"] == "z"
    assert len(served.asked) == 1


async def test_a_stream_that_nobody_serves_is_given_up_in_the_end(
    opened: Opened,
) -> None:
    async with scripted() as served:
        pass
    with pytest.raises(Unreachable):
        await opened(served, outage=1.0).read("stream_created")


async def test_a_watch_shows_each_change_once_however_often_it_breaks(
    opened: Opened,
) -> None:
    running = seen(TaskState.RUNNING, progress=0.5)
    steps: list[Step] = [
        seen(TaskState.PENDING),
        running,
        processor_pb2.WatchTaskResponse(),
        soon(errors.Stopping("going")),
        running,
        away(),
        seen(TaskState.SUCCEEDED),
    ]
    async with scripted(*steps) as served:
        tasks = await opened(served).read("watch", "7")

    assert [task.status.state for task in tasks] == [
        task_pb2.TaskStatus.STATE_PENDING,
        task_pb2.TaskStatus.STATE_RUNNING,
        task_pb2.TaskStatus.STATE_SUCCEEDED,
    ]
    assert len(served.asked) == 3


async def test_a_watch_ends_when_its_time_is_over(opened: Opened) -> None:
    async with scripted(seen(TaskState.PENDING), Silence()) as served:
        with pytest.raises(TimedOut):
            await opened(served).read("watch", "7", within=0.5)


async def test_a_task_that_is_not_there_is_told_so(opened: Opened) -> None:
    missing = errors.TaskNotFound("no such task")
    async with scripted(missing, missing, missing) as served:
        client = opened(served)
        for read in (client.call("get", "7"), client.read("watch", "7")):
            with pytest.raises(errors.TaskNotFound):
                await read
        with pytest.raises(errors.TaskNotFound):
            await client.call("lookup", "shop", external_id="order:7")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels that look more often whether their path is alive."""
    hasty = {"grpc.keepalive_time_ms": 500, "grpc.keepalive_timeout_ms": 500}
    hasty["grpc.http2.ping_timeout_ms"] = 500
    monkeypatch.setattr(channels, "KEEPALIVE", tuple(hasty.items()))


@pytest.mark.usefixtures("hasty")
async def test_p5_a_dead_path_is_left_for_another(opened: Opened) -> None:
    """Nothing closes the connection: only the answers that do not come tell."""
    async with (
        scripted(ids("1", token="a"), Silence(), ids("2", token="b")) as served,
        running_proxy(served.creator) as path,
    ):
        through = Served(path.address, served.processor, served.script)
        reading = asyncio.create_task(opened(through).read("stream_created"))
        async with asyncio.timeout(LIMIT):
            await served.script.silent.wait()
            path.deafen()
            messages = await reading

    assert [i for m in messages for i in m.task_ids] == ["1", "2"]
    assert [asked.resume_token for asked in served.asked] == ["", "a"]
