"""Waiting for what happens, or for what happens first, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came within the time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def first_of(*happenings: Awaitable[object]) -> None:
    """Return once one of these has happened; the others are cancelled."""
    waits = [asyncio.ensure_future(each) for each in happenings]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
