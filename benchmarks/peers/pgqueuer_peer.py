"""pgqueuer, by its documented `Queries.enqueue` over an asyncpg pool."""

from __future__ import annotations

import asyncpg
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

from benchmarks.peers.shared import PRODUCERS, measure, payload_bytes


async def main(url: str, seconds: float) -> None:
    async with asyncpg.create_pool(url, max_size=PRODUCERS) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        if not await queries.has_table(queries.qbe.settings.queue_table):
            await queries.install()

        async def single() -> None:
            await queries.enqueue("blog_post", payload_bytes, 0)

        async def bulk(size: int) -> None:
            await queries.enqueue(
                ["blog_post"] * size, [payload_bytes] * size, [0] * size
            )

        await measure("pgqueuer", single, bulk, seconds=seconds)
