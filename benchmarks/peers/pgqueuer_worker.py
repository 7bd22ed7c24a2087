"""pgqueuer, by its documented `PgQueuer.run`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job

from benchmarks.peers.shared import payload_bytes
from benchmarks.peers.working import Orders, Seen, Worker


@asynccontextmanager
async def prepared(orders: Orders) -> AsyncIterator[Worker]:
    """A worker over one connection, as its own `run` command makes it."""
    connection = await asyncpg.connect(orders.url)
    pgq, seen = PgQueuer(AsyncpgDriver(connection)), Seen()
    queries = pgq.qm.queries
    if not await queries.has_table(queries.qbe.settings.queue_table):
        await queries.install()

    @pgq.entrypoint("blog_post")
    async def blog_post(job: Job) -> None:
        seen.note()

    async def single() -> None:
        await queries.enqueue("blog_post", payload_bytes, 0)

    async def bulk(size: int) -> None:
        await queries.enqueue(["blog_post"] * size, [payload_bytes] * size, [0] * size)

    @asynccontextmanager
    async def working() -> AsyncIterator[None]:
        running = asyncio.create_task(pgq.run(batch_size=orders.concurrency))
        try:
            yield
        finally:
            pgq.shutdown.set()
            await running

    async with asyncpg.create_pool(orders.url, min_size=1, max_size=1) as pool:
        yield Worker(
            name="pgqueuer",
            single=single,
            bulk=bulk,
            working=working,
            left=lambda: pool.fetchval("SELECT count(*) FROM pgqueuer"),
            seen=seen,
        )
