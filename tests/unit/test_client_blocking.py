"""The blocking client's repeats and failures, its statuses scripted, its time made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import grpc
import grpc_testing
import pytest

from tandem import errors
from tandem.client import Client, Created, Deadlines, Outcome, Spec, TimedOut
from tandem.client.channels import options
from tandem.errors import TandemError
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import processor_pb2, task_pb2

CREATOR = pb.DESCRIPTOR.services_by_name["CreatorService"]
PROCESSOR = processor_pb2.DESCRIPTOR.services_by_name["ProcessorService"]
SPEC = Spec(project="shop", type="email", payload={"to": "a"})
TASK = task_pb2.Task(task_id="7")
LIMIT = 30


class Script:
    """A client in a thread, the server's answers, and a time that only waits move."""

    def __init__(self, pool: ThreadPoolExecutor, **deadlines: float) -> None:
        self.time = grpc_testing.strict_fake_time(0)
        self._channel = grpc_testing.channel([CREATOR, PROCESSOR], self.time)
        self._pool = pool
        self.client = Client(
            self._channel,
            self._channel,
            deadlines=Deadlines(**deadlines),
            clock=self.time,
        )

    def run(self, call: Callable[[], Any]) -> Future[Any]:
        return self._pool.submit(call)

    def taken(self, method: str) -> tuple[Any, Any]:
        """The next call of this method: its request, and the server's end of it."""
        taking = self._pool.submit(
            self._channel.take_unary_unary, CREATOR.methods_by_name[method]
        )
        _, request, rpc = taking.result(LIMIT)
        return request, rpc

    def answer(self, method: str, response: Any) -> Any:
        request, rpc = self.taken(method)
        rpc.terminate(response, (), grpc.StatusCode.OK, "")
        return request

    def fail(self, method: str, failure: TandemError | grpc.StatusCode) -> Any:
        request, rpc = self.taken(method)
        if isinstance(failure, TandemError):
            rpc.terminate(None, failure.trailers(), failure.code, str(failure))
        else:
            rpc.terminate(None, (), failure, "")
        return request


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=4) as running:
        yield running


@pytest.fixture
def script(pool: ThreadPoolExecutor) -> Script:
    return Script(pool)


def created(request: pb.CreateTaskRequest) -> pb.CreateTaskResponse:
    return pb.CreateTaskResponse(
        task=TASK,
        outcome=pb.CreateTaskResponse.OUTCOME_CREATED,
        request_id=request.request_id,
    )


def test_a_create_answers_its_one_task(script: Script) -> None:
    calling = script.run(lambda: script.client.create(SPEC, request_id="order 7"))

    request, rpc = script.taken("CreateTask")
    rpc.terminate(created(request), (), grpc.StatusCode.OK, "")

    assert calling.result(LIMIT) == Created(
        task=TASK, outcome=Outcome.CREATED, request_id=request.request_id
    )


@pytest.mark.parametrize(
    "failure",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        errors.StoreUnavailable("away"),
        errors.Stopping("going"),
    ],
    ids=str,
)
def test_p1_every_repeat_of_a_create_is_the_same_request(
    script: Script, failure: TandemError | grpc.StatusCode
) -> None:
    calling = script.run(lambda: script.client.create(SPEC))

    sent = [script.fail("CreateTask", failure) for _ in range(3)]
    request, rpc = script.taken("CreateTask")
    rpc.terminate(created(request), (), grpc.StatusCode.OK, "")

    assert calling.result(LIMIT).request_id == request.request_id
    assert UUID(request.request_id).version == 4
    assert all(each == request for each in sent)


def test_between_repeats_the_client_waits_longer_and_longer(script: Script) -> None:
    calling = script.run(lambda: script.client.create(SPEC))

    for _ in range(4):
        script.fail("CreateTask", grpc.StatusCode.UNAVAILABLE)
    request, rpc = script.taken("CreateTask")
    rpc.terminate(created(request), (), grpc.StatusCode.OK, "")

    calling.result(LIMIT)
    assert script.time.time() >= 0.25 + 0.5 + 1 + 2


def test_the_wait_that_the_service_asks_for_is_kept(script: Script) -> None:
    calling = script.run(lambda: script.client.create(SPEC))
    busy = errors.StoreUnavailable("away")
    busy.retry_after = 12.0

    script.fail("CreateTask", busy)
    request, rpc = script.taken("CreateTask")
    rpc.terminate(created(request), (), grpc.StatusCode.OK, "")

    calling.result(LIMIT)
    assert script.time.time() == 12


def test_repeats_end_with_the_time_of_the_call(pool: ThreadPoolExecutor) -> None:
    script = Script(pool, create=3.0)
    calling = script.run(lambda: script.client.create(SPEC, request_id="order 7"))
    busy = errors.StoreUnavailable("away")
    busy.retry_after = 2.0

    request = script.fail("CreateTask", busy)
    script.fail("CreateTask", busy)

    with pytest.raises(errors.StoreUnavailable) as caught:
        calling.result(LIMIT)
    assert script.time.time() == 2
    assert caught.value.metadata["request_id"] == request.request_id


def test_a_create_that_got_no_answer_in_time_names_the_id_to_repeat_it_with(
    pool: ThreadPoolExecutor,
) -> None:
    script = Script(pool, create=5.0)
    calling = script.run(lambda: script.client.create(SPEC))

    request, rpc = script.taken("CreateTask")
    script.time.sleep_for(5)
    rpc.terminate(None, (), grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    with pytest.raises(TimedOut) as caught:
        calling.result(LIMIT)
    assert caught.value.metadata == {"request_id": request.request_id}


@pytest.mark.parametrize(
    "failure",
    [
        errors.InvalidRequest("x"),
        errors.RequestIdReused("x"),
        errors.ExternalIdTaken("x"),
        errors.StoreRefused("x"),
        errors.Overloaded("x"),
        errors.NotBuilt("x"),
    ],
    ids=lambda f: f.reason,
)
def test_what_is_decided_is_raised_at_once_as_its_class(
    script: Script, failure: TandemError
) -> None:
    calling = script.run(lambda: script.client.create(SPEC))

    script.fail("CreateTask", failure)

    with pytest.raises(type(failure)):
        calling.result(LIMIT)
    assert script.time.time() == 0


def test_an_unknown_outcome_is_looked_up_and_never_repeated(script: Script) -> None:
    calling = script.run(lambda: script.client.create(SPEC))
    lost = errors.OutcomeUnknown("lost", request_id=str(UUID(int=5)))

    script.fail("CreateTask", lost)
    asked = script.answer("LookupTask", pb.LookupTaskResponse(task=TASK))

    found = calling.result(LIMIT)
    assert (asked.project, asked.request_id) == ("shop", str(UUID(int=5)))
    assert (found.task, found.request_id) == (TASK, str(UUID(int=5)))


@pytest.mark.parametrize(
    "answer", [errors.TaskNotFound("no"), grpc.StatusCode.INTERNAL], ids=str
)
def test_an_outcome_that_stays_unknown_says_so(
    script: Script, answer: TandemError | grpc.StatusCode
) -> None:
    calling = script.run(lambda: script.client.create(SPEC))
    lost = errors.OutcomeUnknown("lost", request_id=str(UUID(int=5)))

    script.fail("CreateTask", lost)
    script.fail("LookupTask", answer)

    with pytest.raises(errors.OutcomeUnknown) as caught:
        calling.result(LIMIT)
    assert caught.value.metadata["request_id"] == str(UUID(int=5))


def test_a_repeated_batch_is_the_same_batch(script: Script) -> None:
    calling = script.run(lambda: script.client.create_many([SPEC, SPEC]))

    first = script.fail("BatchCreateTasks", grpc.StatusCode.UNAVAILABLE)
    again, rpc = script.taken("BatchCreateTasks")
    results = [created(request) for request in again.requests]
    response = pb.BatchCreateTasksResponse(results=results)
    rpc.terminate(response, (), grpc.StatusCode.OK, "")

    assert first == again
    assert [c.request_id for c in calling.result(LIMIT)] == [
        request.request_id for request in again.requests
    ]


def test_a_batch_that_failed_names_the_id_to_repeat_the_whole_list_with(
    script: Script,
) -> None:
    specs = [SPEC] * 1001
    calling = script.run(lambda: script.client.create_many(specs))

    first, rpc = script.taken("BatchCreateTasks")
    results = [created(request) for request in first.requests]
    rpc.terminate(
        pb.BatchCreateTasksResponse(results=results), (), grpc.StatusCode.OK, ""
    )
    bad = errors.InvalidRequest(
        "bad", violations=[errors.Violation("requests[0].spec.type", "is required")]
    )
    second = script.fail("BatchCreateTasks", bad)

    with pytest.raises(errors.InvalidRequest) as caught:
        calling.result(LIMIT)
    repeated = script.run(
        lambda: script.client.create_many(
            specs, request_id=caught.value.metadata["batch_request_id"]
        )
    )
    assert caught.value.violations[0].field == "requests[1000].spec.type"
    assert script.fail("BatchCreateTasks", bad) == first
    assert len(second.requests) == 1
    with pytest.raises(errors.InvalidRequest):
        repeated.result(LIMIT)


def test_grpc_itself_repeats_what_a_service_that_is_away_or_stops_answers() -> None:
    config = dict(options(["127.0.0.1:1"]))["grpc.service_config"]

    assert '"retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]' in config
