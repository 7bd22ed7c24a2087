"""chancy, by its documented `Worker`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import chancy.worker
import psycopg
from chancy import Chancy, Queue, job

from benchmarks.peers.shared import payload
from benchmarks.peers.working import Orders, Seen, Worker

COUNT_LEFT = """
SELECT count(*)
FROM chancy_jobs
WHERE state IN ('pending', 'running', 'retrying')
"""

seen = Seen()


@job(queue="default")
async def blog_post(**payload: object) -> None:
    seen.note()


@asynccontextmanager
async def prepared(orders: Orders) -> AsyncIterator[Worker]:
    """A worker with its executor for asyncio, which looks again at once."""
    async with Chancy(orders.url) as app:
        await app.migrate()
        queue = Queue(
            "default",
            concurrency=orders.concurrency,
            executor=Chancy.Executor.Async,
            eager_polling=True,
        )
        await app.declare(queue, upsert=True)
        single_job = blog_post.job.with_kwargs(**payload)

        async def single() -> None:
            await app.push(single_job)

        async def bulk(size: int) -> None:
            async for _ in app.push_many([single_job] * size, batch_size=size):
                pass

        async with await psycopg.AsyncConnection.connect(
            orders.url, autocommit=True
        ) as asking:

            async def left() -> int:
                found = await (await asking.execute(COUNT_LEFT)).fetchone()
                return int(found[0]) if found else 0

            yield Worker(
                name="chancy",
                single=single,
                bulk=bulk,
                working=lambda: chancy.worker.Worker(app),
                left=left,
                seen=seen,
            )
