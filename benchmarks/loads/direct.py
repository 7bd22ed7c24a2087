"""Straight into the database, without a service: what everybody is measured against."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg

from benchmarks.loads.shared import Figures, Orders, Tally, timed
from benchmarks.messages import PROJECT
from benchmarks.payload import PAYLOAD
from benchmarks.sql import CREATE_FLOOR, INSERT_FLOOR
from tandem import wire

TASK_COLUMNS = [
    "task_id",
    "request_id",
    "create_time",
    "priority",
    "defaulted",
    "project",
    "type",
    "queue",
    "payload",
]
STATUS_COLUMNS = ["task_id", "position", "lane_id"]

JSON = wire.canonical_json(dict(PAYLOAD))


async def insert(orders: Orders) -> Figures:
    """One committed single-row INSERT after the other."""
    connection = await asyncpg.connect(orders.address)
    await connection.execute(CREATE_FLOOR)
    statement = await connection.prepare(INSERT_FLOOR)
    tally, stop = Tally(), asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            row = (uuid4(), uuid4(), PROJECT, "blog_post", JSON)
            start = time.perf_counter()
            await statement.fetchval(*row)
            tally.note(start, "INSERTED")

    calling = asyncio.create_task(caller())
    clocks = await timed(orders, stop)
    await calling
    await connection.close()
    return tally.figures(*clocks)


async def copy(orders: Orders) -> Figures:
    """COPY of specs and of statuses into Tandem's own tables, a commit for each batch."""
    tally, stop = Tally(), asyncio.Event()
    positions = count(time.time_ns())

    async def caller(connection: asyncpg.Connection) -> None:
        while not stop.is_set():
            start = time.perf_counter()
            await _copy_batch(connection, orders.size, positions)
            tally.note(start, "COPIED")

    connections = [
        await asyncpg.connect(orders.address) for _ in range(orders.concurrency)
    ]
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(caller(connection))
        clocks = await timed(orders, stop)
    for connection in connections:
        await connection.close()
    return tally.figures(*clocks, each=orders.size)


async def _copy_batch(
    connection: asyncpg.Connection, size: int, positions: Any
) -> None:
    now = datetime.now(UTC)
    ids = [uuid4() for _ in range(size)]
    tasks = [
        (i, uuid4(), now, 3, 3, PROJECT, "blog_post", "default", JSON) for i in ids
    ]
    statuses = [(i, next(positions), 1) for i in ids]
    async with connection.transaction():
        await connection.copy_records_to_table(
            "tasks", schema_name="tandem", records=tasks, columns=TASK_COLUMNS
        )
        await connection.copy_records_to_table(
            "task_status",
            schema_name="tandem",
            records=statuses,
            columns=STATUS_COLUMNS,
        )
