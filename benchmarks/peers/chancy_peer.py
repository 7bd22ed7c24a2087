"""chancy, by its documented `push` and `push_many`."""

from __future__ import annotations

from chancy import Chancy, Queue, job

from benchmarks.peers.shared import PRODUCERS, measure, payload


@job(queue="default")
def blog_post(**payload: object) -> None:
    """Never run here."""


async def main(url: str, seconds: float) -> None:
    async with Chancy(url, max_connection_pool_size=PRODUCERS) as chancy:
        await chancy.migrate()
        await chancy.declare(Queue("default"))
        single_job = blog_post.job.with_kwargs(**payload)

        async def single() -> None:
            await chancy.push(single_job)

        async def bulk(size: int) -> None:
            async for _ in chancy.push_many([single_job] * size, batch_size=size):
                pass

        await measure("chancy", single, bulk, seconds=seconds)
