"""Asking the database again, for writes that are safe to repeat."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from tandem.calls import STORE_AWAY

log = structlog.get_logger()

Answer = TypeVar("Answer")

FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 2.0
"""Seconds. A database that is back is met again within this time."""


async def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until the database answers; whoever must not wait longer cancels this.

    A statement that lost to another, in a deadlock say, is asked again as well.
    """
    wait, told = FIRST_WAIT, False
    while True:
        try:
            return await ask()
        except STORE_AWAY as error:
            if not told:
                log.warning("database unavailable", error=type(error).__name__)
            told = True
        # Processors that lost the database together must not come back in step.
        await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
        wait = min(wait * 2, LONGEST_WAIT)
