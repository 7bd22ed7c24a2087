"""procrastinate, by its documented `defer_async` and `batch_defer_async`."""

from __future__ import annotations

import procrastinate
from procrastinate.schema import SchemaManager

from benchmarks.peers.shared import PRODUCERS, measure, payload


async def main(url: str, seconds: float) -> None:
    connector = procrastinate.PsycopgConnector(conninfo=url, max_size=PRODUCERS)
    app = procrastinate.App(connector=connector)

    @app.task(name="blog_post")
    async def blog_post(**payload: object) -> None:
        """Never run here."""

    async with app.open_async():
        if not await app.check_connection_async():
            await SchemaManager(connector=connector).apply_schema_async()

        async def single() -> None:
            await blog_post.defer_async(**payload)

        async def bulk(size: int) -> None:
            await blog_post.batch_defer_async(*[payload] * size)

        await measure("procrastinate", single, bulk, seconds=seconds)
