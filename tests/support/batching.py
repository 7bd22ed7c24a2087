"""A creator's micro-batch without its server: one pool, one flusher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

from tandem.postgres.pool import create_pool
from tandem_creator.batcher import Batcher
from tandem_creator.connections import Kept
from tandem_creator.daemons import Daemons
from tandem_creator.drafts import Draft
from tandem_creator.epoch import Epoch
from tandem_creator.flush import Flusher
from tandem_creator.parsing import parse_create
from tandem_creator.store.creates import Created
from tandem_creator.store.lanes import Lanes
from tests.support.creator import a_request

LIMIT = 30.0
"""Seconds: longer than anything here takes that is not stuck."""


@asynccontextmanager
async def batching(
    url: str, *, lock_timeout: float = 5.0, **limits: Any
) -> AsyncIterator[Batcher]:
    """A batcher that runs for the length of the block."""
    pool = await create_pool(
        url,
        size=5,
        application_name="tandem-tests",
        on_connect=Epoch().enter,
        lock_timeout=lock_timeout,
    )
    async with pool, AsyncExitStack() as stack:
        kept = Kept(pool)
        stack.push_async_callback(kept.close)
        daemons = await stack.enter_async_context(Daemons())
        flusher = Flusher(kept, lanes=Lanes(), ring=lambda: None)
        batcher = Batcher(flusher, **limits)
        daemons.start(batcher.run())
        yield batcher


@asynccontextmanager
async def several(count: int, url: str) -> AsyncIterator[list[Batcher]]:
    """So many creators on one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(batching(url)) for _ in range(count)]


def a_draft(**given: Any) -> Draft:
    return parse_create(a_request(**given))


async def race(batchers: list[Batcher], drafts: list[Draft]) -> list[Any]:
    """What each draft's create answers or raises; all begin at the same moment."""
    gate = asyncio.Barrier(len(drafts))

    async def create(batcher: Batcher, draft: Draft) -> Any:
        await gate.wait()
        return await batcher.create(draft)

    async with asyncio.timeout(LIMIT):
        return await asyncio.gather(
            *(
                create(batchers[index % len(batchers)], draft)
                for index, draft in enumerate(drafts)
            ),
            return_exceptions=True,
        )


def task_id_of(answer: Any) -> UUID:
    """The task that an answer names; an error is raised."""
    if isinstance(answer, BaseException):
        raise answer
    found: UUID = answer.task_id if isinstance(answer, Created) else answer.row.task_id
    return found


def count_created(answers: list[Any]) -> int:
    return sum(isinstance(answer, Created) for answer in answers)
