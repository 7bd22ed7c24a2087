"""Loads of calls with one answer: closed loops, and arrivals at a fixed rate."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc

from benchmarks import messages
from benchmarks.cpu import Clock
from benchmarks.loads.shared import (
    CALL_LIMIT,
    Figures,
    Orders,
    Tally,
    stubs,
    timed,
)
from tandem.v1 import creator_pb2 as pb

Call = Callable[[Any], Awaitable[str]]
"""Makes the next call with a stub, and answers its outcome."""


def creates(orders: Orders) -> Call:
    return _creating(_cycled(messages.requests, orders))


def named_creates(orders: Orders) -> Call:
    return _creating(_cycled(messages.named_requests, orders))


def batches(orders: Orders) -> Call:
    source = messages.batches(orders.seed, orders.size)

    async def call(stub: Any) -> str:
        answer = await stub.BatchCreateTasks(next(source), timeout=CALL_LIMIT)
        assert answer.summary.created == orders.size, answer.summary
        return "BATCH_CREATED"

    return call


def lookups(orders: Orders) -> Call:
    source = messages.request_ids(orders.seed)
    ids = itertools.cycle(list(itertools.islice(source, orders.cycle)))

    async def call(stub: Any) -> str:
        name = messages.external_id(next(ids))
        request = pb.LookupTaskRequest(project=messages.PROJECT, external_id=name)
        answer = await stub.LookupTask(request, timeout=CALL_LIMIT)
        assert answer.task.spec.external_id == name
        return "FOUND"

    return call


def _creating(source: Iterator[pb.CreateTaskRequest]) -> Call:
    async def call(stub: Any) -> str:
        answer = await stub.CreateTask(next(source), timeout=CALL_LIMIT)
        assert answer.task.task_id
        return pb.CreateTaskResponse.Outcome.Name(answer.outcome)

    return call


def _cycled(
    source: Callable[[int], Iterator[pb.CreateTaskRequest]], orders: Orders
) -> Iterator[pb.CreateTaskRequest]:
    """Made as they are sent, as callers do; those to be cycled are made before."""
    if not orders.cycle:
        return source(orders.seed)
    return itertools.cycle(list(itertools.islice(source(orders.seed), orders.cycle)))


async def closed_loop(orders: Orders, call: Call) -> Figures:
    """So many callers, each sending again as soon as it was answered."""
    tally, stop = Tally(), asyncio.Event()
    left = itertools.count(orders.count, -1)

    async def caller(stub: Any) -> None:
        while not stop.is_set() and (not orders.count or next(left) > 0):
            await _noted(call(stub), tally)

    begin = Clock.read(orders.watched)
    async with stubs(
        orders.address, min(orders.connections, orders.concurrency)
    ) as all_stubs:
        async with asyncio.TaskGroup() as group:
            for stub in itertools.islice(
                itertools.cycle(all_stubs), orders.concurrency
            ):
                group.create_task(caller(stub))
            if not orders.count:
                clocks = await timed(orders, stop)
        if orders.count:
            clocks = begin, Clock.read(orders.watched)
    return tally.figures(*clocks, each=orders.size or 1)


async def open_loop(orders: Orders, call: Call) -> Figures:
    """Calls that arrive by the clock, however long the earlier ones take.

    Latency counts from the moment a call was due, so that a stall of the server
    is seen by every call that should have been made meanwhile.
    """
    tally, stop = Tally(), asyncio.Event()
    async with (
        stubs(orders.address, orders.connections) as all_stubs,
        asyncio.TaskGroup() as group,
    ):
        stub = itertools.cycle(all_stubs)

        def arrive(due: float) -> None:
            group.create_task(_noted(call(next(stub)), tally, due=due))

        group.create_task(_arrivals(orders.rate, arrive, stop))
        clocks = await timed(orders, stop)
    return tally.figures(*clocks)


async def _arrivals(
    rate: float, arrive: Callable[[float], None], stop: asyncio.Event
) -> None:
    start = time.perf_counter()
    for number in itertools.count():
        due = start + number / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        if stop.is_set():
            return
        arrive(due)


async def _noted(
    call: Awaitable[str], tally: Tally, *, due: float | None = None
) -> None:
    start = due or time.perf_counter()
    try:
        outcome = await call
    except grpc.aio.AioRpcError as error:
        outcome = error.code().name
    tally.note(start, outcome)
