"""Small truths about processes, as Linux tells them."""

from __future__ import annotations

import asyncio
import os
import select
from pathlib import Path


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


async def ended(pid: int, *, limit: float = 10.0) -> None:
    """Wait until a process is gone, or is a zombie. Any process, not just a child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await asyncio.to_thread(_readable, handle, limit)
    finally:
        os.close(handle)


def _readable(handle: int, limit: float) -> None:
    if not select.select([handle], [], [], limit)[0]:
        raise TimeoutError(f"the process still runs after {limit:.0f} s")
