"""procrastinate, by its documented `run_worker_async`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import procrastinate
from procrastinate.schema import SchemaManager

from benchmarks.peers.shared import payload
from benchmarks.peers.working import Orders, Seen, Worker

COUNT_LEFT = """
SELECT count(*) AS left
FROM procrastinate_jobs
WHERE status IN ('todo', 'doing')
"""


@asynccontextmanager
async def prepared(orders: Orders) -> AsyncIterator[Worker]:
    """A worker of the app's own."""
    connector = procrastinate.PsycopgConnector(conninfo=orders.url)
    app, seen = procrastinate.App(connector=connector), Seen()

    @app.task(name="blog_post")
    async def blog_post(**payload: object) -> None:
        seen.note()

    async def single() -> None:
        await blog_post.defer_async(**payload)

    async def bulk(size: int) -> None:
        await blog_post.batch_defer_async(*[payload] * size)

    @asynccontextmanager
    async def working() -> AsyncIterator[None]:
        running = asyncio.create_task(
            app.run_worker_async(
                concurrency=orders.concurrency, install_signal_handlers=False
            )
        )
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async with app.open_async():
        if not await app.check_connection_async():
            await SchemaManager(connector=connector).apply_schema_async()

        async def left() -> int:
            found = await connector.execute_query_one_async(COUNT_LEFT)
            return int(found["left"])

        yield Worker(
            name="procrastinate",
            single=single,
            bulk=bulk,
            working=working,
            left=left,
            seen=seen,
        )
