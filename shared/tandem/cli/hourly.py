"""Pruning beside services that run in one terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

from tandem.cli.chorus import Chorus
from tandem.cli.failures import one_line
from tandem.pruning.janitor import Pruned
from tandem.pruning.running import EVERY, Plan, prune_every


@asynccontextmanager
async def pruned_hourly(plan: Plan, chorus: Chorus) -> AsyncIterator[None]:
    """Prune now and every hour, for the length of a block.

    A janitor that cannot go on says so, and ends nobody else.
    """

    def tell(pruned: Pruned) -> None:
        facts = {name: str(value) for name, value in asdict(pruned).items() if value}
        if facts:
            chorus.say("pruned", **facts)

    def ended(rounds: asyncio.Task[None]) -> None:
        if not rounds.cancelled() and (why := rounds.exception()):
            chorus.say("pruning ended", why=one_line(str(why)))

    rounds = asyncio.create_task(prune_every(plan, EVERY, tell=tell))
    rounds.add_done_callback(ended)
    try:
        yield
    finally:
        rounds.cancel()
        await asyncio.wait([rounds])
