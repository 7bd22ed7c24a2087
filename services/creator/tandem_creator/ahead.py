"""Making the next of something while the last of it is being sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def one_ahead(source: AsyncGenerator[T, None]) -> AsyncIterator[T]:
    """The same in the same order, each begun before the one before it is taken.

    The source is closed when its end is reached, or the reader leaves.
    """
    coming = asyncio.ensure_future(anext(source, None))
    try:
        while (made := await coming) is not None:
            coming = asyncio.ensure_future(anext(source, None))
            yield made
    finally:
        coming.cancel()
        # Nobody is left to be told what became of it.
        await asyncio.gather(coming, return_exceptions=True)
        await source.aclose()
