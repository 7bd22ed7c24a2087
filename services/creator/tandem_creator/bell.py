"""Waking up whoever follows the stream: soon, if all goes well. Never relied on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import asyncpg
import structlog

from tandem import calls
from tandem.errors import StoreUnavailable

log = structlog.get_logger()

CHANNEL: Final = "tandem_created"

PACE_SECONDS: Final = 0.05
"""Between two notifications: each is a transaction."""

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 5.0
"""Seconds between tries to listen again."""

CONNECT_LIMIT: Final = 10.0
"""Seconds."""

BROKEN: Final = (*calls.STORE_AWAY, StoreUnavailable, asyncpg.PostgresError)
"""Whatever may be wrong with a bell: it costs seconds, and nothing else."""

# In a transaction of its own: inside the one that creates, a notification takes
# a lock of the whole cluster until its commit is flushed.
NOTIFY: Final = "SELECT pg_notify($1, $2)"


class Bell:
    """Rung after each commit: at once in this process, soon in the others."""

    def __init__(self, pool: asyncpg.Pool, *, here: Callable[[], None]) -> None:
        self._pool = pool
        self._here = here
        self._rung = asyncio.Event()
        self._is_broken = False
        self.name = uuid4().hex

    def ring(self) -> None:
        self._here()
        self._rung.set()

    def heard(self, name: str) -> None:
        """Another process rang."""
        if name != self.name:
            self._here()

    async def run(self) -> None:
        """Tell the other processes, until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            await self._notify()
            await asyncio.sleep(PACE_SECONDS)

    async def _notify(self) -> None:
        try:
            await self._pool.execute(NOTIFY, CHANNEL, self.name)
        except BROKEN as error:
            if not self._is_broken:
                log.warning("bell not rung", error=type(error).__name__)
            self._is_broken = True
        else:
            self._is_broken = False


class Listener:
    """Hears other processes ring, over a connection of its own."""

    def __init__(
        self, url: str, *, heard: Callable[[str], None], application_name: str
    ) -> None:
        self._url = url
        self._heard = heard
        self._application_name = application_name
        self._wait = FIRST_WAIT

    async def run(self) -> None:
        """Listen, and listen again, until cancelled."""
        while True:
            try:
                await self._listen()
            except BROKEN as error:
                # Once for each time that it was heard before.
                if self._wait == FIRST_WAIT:
                    log.warning("not listening", error=type(error).__name__)
            await asyncio.sleep(self._wait)
            self._wait = min(self._wait * 2, LONGEST_WAIT)

    async def _listen(self) -> None:
        """Listen until the connection is lost."""
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_LIMIT,
            server_settings={"application_name": self._application_name},
        )
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._hear)
            self._wait = FIRST_WAIT
            # Whatever rang while nobody listened.
            self._heard("")
            await lost.wait()
        finally:
            connection.terminate()

    def _hear(self, _connection: Any, _pid: int, _channel: str, name: object) -> None:
        self._heard(str(name))
