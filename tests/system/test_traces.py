"""One trace from the caller through both services, to the last stage of the last attempt."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from tandem.client import AsyncClient, Spec, result_of
from tandem.errors import RequestIdReused
from tandem.pair import ANY_PORT, Logins, Pair
from tests.packaging.tree import ROOT
from tests.support.cluster import Cluster, Database, cloned_database
from tests.support.collector import Collector, Told, outline, running_collector
from tests.support.running_pair import (
    RunningPair,
    running_pair,
)
from tests.support.service_logs import ServiceLogs
from tests.support.trace_handlers import SECRET, STAGES
from tests.support.tracing import a_traceparent, client_of, ids_in, span_of

DOCUMENT = ROOT / "docs/traces.md"

HANDLERS = "tests.support.trace_handlers:handlers"

CREATE = "tandem.v1.CreatorService/CreateTask"
CREATE_BATCH = "tandem.v1.CreatorService/BatchCreateTasks"
PROCESS = "process default"

SOON = timedelta(milliseconds=10)


@pytest.fixture(scope="module")
async def collector() -> AsyncIterator[Collector]:
    async with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
async def pair(
    cluster: Cluster, template: str, collector: Collector
) -> AsyncIterator[RunningPair]:
    """One of each service, whose traces are collected."""
    environ = {
        **collector.environ,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hunter2",
    }
    async with (
        cloned_database(cluster, template) as database,
        running_pair(
            database, handlers=HANDLERS, environ=environ, creators=1, processors=1
        ) as running,
    ):
        yield running


@pytest.fixture
async def client(pair: RunningPair) -> AsyncIterator[AsyncClient]:
    async with client_of(pair.pair) as opened:
        yield opened


def six_stages(**given: Any) -> Spec:
    return Spec(
        type="six-stages",
        payload={"secret": SECRET},
        initial_backoff=SOON,
        **given,
    )


async def test_one_trace_from_a_caller_through_a_retried_task_of_six_stages(
    pair: RunningPair, client: AsyncClient, collector: Collector
) -> None:
    caller = a_traceparent()
    trace_id, span_id = ids_in(caller)
    with trace.use_span(span_of(caller)):
        created = await client.create(six_stages(project="blog"))
    task = await pair.finished(created.task.task_id, at=0)

    told = await collector.whole(trace_id, 14)
    assert outline(told, span_id) == [
        CREATE,
        "  micro-batch",
        PROCESS,
        *[f"  stage {name}" for name in STAGES[:4]],
        PROCESS,
        *[f"  stage {name}" for name in STAGES],
    ]
    assert len(told) == 14
    call, batch, first, *failed_stages = told[:7]
    second, *stages = told[7:]
    see_the_call(call, batch, created.task.task_id, created.request_id)
    see_the_attempts(first, second, created.task.task_id, created.request_id)
    reused = [stage.values["tandem.stage.reused"] for stage in stages]
    assert reused == [True] * 3 + [False] * 3
    assert not any(stage.values["tandem.stage.reused"] for stage in failed_stages)
    assert [stage.is_error for stage in failed_stages] == [False] * 3 + [True]
    assert failed_stages[3].values["error.type"] == "RuntimeError"
    assert not any(stage.is_error for stage in stages)
    see_the_order(first, failed_stages)
    see_the_order(second, stages)
    see_the_places(result_of(task), second, [*failed_stages[:3], *stages[3:]])


def see_the_call(call: Told, batch: Told, task_id: str, request_id: str) -> None:
    assert call.service == batch.service == "tandem-creator"
    assert call.span.kind == SpanKind.SERVER.value + 1
    assert call.values == {
        "rpc.system.name": "grpc",
        "rpc.method": CREATE,
        "rpc.response.status_code": "OK",
        "tandem.outcome": "OK",
        "tandem.made": "CREATED",
        "tandem.task_id": task_id,
        "tandem.request_id": request_id,
    }
    assert batch.marks == ["sent"]
    (sent,) = batch.span.events
    assert sent.attributes[0].key == "tandem.batch.size"


def see_the_attempts(first: Told, second: Told, task_id: str, request_id: str) -> None:
    for number, attempt in enumerate((first, second), 1):
        assert attempt.service == "tandem-processor"
        assert attempt.span.kind == SpanKind.CONSUMER.value + 1
        values = attempt.values
        assert values.pop("tandem.age") > 0
        assert values.pop("tandem.outcome") == (
            "HANDLER_ERROR" if number == 1 else "SUCCEEDED"
        )
        assert values.pop("tandem.state") == ("PENDING" if number == 1 else "SUCCEEDED")
        assert values.pop("error.type", None) == (
            "HANDLER_ERROR" if number == 1 else None
        )
        assert values == {
            "messaging.system": "tandem",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "default",
            "messaging.consumer.group.name": "processors",
            "messaging.message.id": task_id,
            "tandem.task_id": task_id,
            "tandem.request_id": request_id,
            "tandem.project": "blog",
            "tandem.type": "six-stages",
            "tandem.attempt": number,
            "tandem.claim": number,
        }
        assert attempt.marks == ["handler ended"]
    assert first.is_error
    assert not second.is_error


def see_the_order(attempt: Told, stages: list[Told]) -> None:
    """Each stage begins after the one before has ended, all within the attempt."""
    times = [
        moment
        for stage in stages
        for moment in (stage.span.start_time_unix_nano, stage.span.end_time_unix_nano)
    ]
    span = attempt.span
    whole = [span.start_time_unix_nano, *times, span.end_time_unix_nano]
    assert whole == sorted(whole)


def see_the_places(
    result: dict[str, Any] | None, attempt: Told, ran: list[Told]
) -> None:
    """What handlers hand on to other systems names the stage that ran."""
    assert result is not None
    assert ids_in(result["attempt"]) == (attempt.trace_id, attempt.span_id)
    places = [ids_in(result["places"][name]["place"]) for name in STAGES]
    assert places == [(stage.trace_id, stage.span_id) for stage in ran]


async def test_a_trace_shows_no_payload_and_no_result_and_no_words_of_exceptions(
    pair: RunningPair, client: AsyncClient, collector: Collector
) -> None:
    traceparent = a_traceparent()
    created = await client.create(six_stages(project="blog"), traceparent=traceparent)
    await pair.finished(created.task.task_id, at=0)

    told = await collector.whole(ids_in(traceparent)[0], 14)

    assert SECRET not in repr(told)
    assert collector.headers[0]["authorization"] == "Bearer hunter2"
    assert "hunter2" not in pair.logs.text()


async def test_a_caller_that_is_not_sampled_is_not_traced(
    pair: RunningPair, client: AsyncClient, collector: Collector
) -> None:
    unsampled, sampled = a_traceparent("00"), a_traceparent()
    first = await client.create(
        Spec(project="blog", type="plain"), traceparent=unsampled
    )
    task = await pair.finished(first.task.task_id, at=0)
    second = await client.create(
        Spec(project="blog", type="plain"), traceparent=sampled
    )
    await pair.finished(second.task.task_id, at=0)

    told = await collector.whole(ids_in(sampled)[0], 4)

    assert outline(told, ids_in(sampled)[1]) == [
        CREATE,
        "  micro-batch",
        PROCESS,
        "  stage only",
    ]
    assert collector.of(ids_in(unsampled)[0]) == []
    handed_on = result_of(task)
    assert handed_on is not None
    assert handed_on["own"].startswith(unsampled[:36])
    assert handed_on["own"].endswith("-00")


async def test_tasks_of_a_caller_without_a_trace_are_in_the_trace_of_the_call(
    pair: RunningPair, client: AsyncClient, collector: Collector
) -> None:
    specs = [Spec(project="blog", type="plain") for _ in range(3)]
    created = await client.create_many(specs)
    for each in created:
        await pair.finished(each.task.task_id, at=0)
    call = await collector.first(CREATE_BATCH)

    told = await collector.whole(call.trace_id, 8)

    assert outline(told, "")[:2] == [CREATE_BATCH, "  batch"]
    assert sorted(outline(told, call.span_id)) == sorted(
        ["batch", *[PROCESS, "  stage only"] * 3]
    )
    assert call.values["tandem.batch.size"] == call.values["tandem.batch.created"] == 3
    assert told[1].values["tandem.batch.size"] == 3


async def test_spans_that_a_handler_makes_itself_stand_in_their_place(
    pair: RunningPair, client: AsyncClient, collector: Collector
) -> None:
    traceparent = a_traceparent()
    spec = Spec(project="blog", type="with-own-spans")
    created = await client.create(spec, traceparent=traceparent)
    await pair.finished(created.task.task_id, at=0)

    told = await collector.whole(ids_in(traceparent)[0], 6)

    assert outline(told, ids_in(traceparent)[1])[2:] == [
        PROCESS,
        "  own",
        "    stage threaded",
        "      own, in a thread",
    ]


async def test_a_refused_call_says_why_in_its_trace(
    client: AsyncClient, collector: Collector
) -> None:
    first, again = a_traceparent(), a_traceparent()
    spec, other = (
        Spec(project="blog", type="plain", title=title) for title in ("a", "b")
    )
    request_id = str(uuid4())
    await client.create(spec, request_id=request_id, traceparent=first)
    with pytest.raises(RequestIdReused):
        await client.create(other, request_id=request_id, traceparent=again)

    call, *_ = await collector.whole(ids_in(again)[0], 1)

    assert call.values["rpc.response.status_code"] == "ALREADY_EXISTS"
    assert call.values["tandem.outcome"] == "REQUEST_ID_REUSED"
    assert call.values["tandem.request_id"] == request_id
    # The caller's error is none of the server's.
    assert not call.is_error


async def test_the_document_on_traces_has_each_attribute_of_them(
    pair: RunningPair, client: AsyncClient, collector: Collector
) -> None:
    traceparent = a_traceparent()
    created = await client.create(six_stages(project="blog"), traceparent=traceparent)
    await pair.finished(created.task.task_id, at=0)
    told = await collector.whole(ids_in(traceparent)[0], 14)

    keys = {key for each in told for key in each.values}
    words = set(re.findall(r"`([a-z_.]+)`", DOCUMENT.read_text()))

    assert len(keys) > 20
    assert [key for key in sorted(keys) if not words & endings(key)] == []


def endings(key: str) -> set[str]:
    """The key, and what a document that has named a neighbour may say for it."""
    parts = key.split(".")
    return {key, *("." + ".".join(parts[at:]) for at in range(1, len(parts)))}


async def test_an_attempt_after_both_services_were_restarted_is_in_the_same_trace(
    database: Database, collector: Collector
) -> None:
    """Nothing is sent before the first creator stops: it flushes what it has."""
    traceparent = a_traceparent()
    trace_id, span_id = ids_in(traceparent)
    rarely = collector.environ | {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
    logins = Logins(
        creator_url=database.creator_url, processor_url=database.processor_url
    )
    async with Pair(logins, handlers=HANDLERS, on_line=ServiceLogs().add) as before:
        await before.start_creators([ANY_PORT], environ=rarely)
        async with client_of(before) as client:
            created = await client.create(
                six_stages(project="blog"), traceparent=traceparent
            )
        assert collector.of(trace_id) == []
    assert outline(collector.of(trace_id), span_id) == [CREATE, "  micro-batch"]

    async with running_pair(
        database, handlers=HANDLERS, environ=rarely, creators=1, processors=1
    ) as after:
        await after.finished(created.task.task_id, at=0)

    told = collector.of(trace_id)
    assert [each for each in outline(told, span_id) if each[0] != " "] == [
        CREATE,
        PROCESS,
        PROCESS,
    ]
    assert {each.service for each in told} == {"tandem-creator", "tandem-processor"}
