"""Waiting for what another connection or process brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

LOOK_AGAIN = 0.01


async def until(look: Callable[[], Awaitable[Found]], *, seconds: float = 15) -> Found:
    """What `look` finds, once that is something."""
    async with asyncio.timeout(seconds):
        found = await look()
        while not found:
            await asyncio.sleep(LOOK_AGAIN)
            found = await look()
    return found
