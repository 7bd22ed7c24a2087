"""The address at which Prometheus asks a service for its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import structlog
from prometheus_client import (
    CollectorRegistry,
    Metric,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.registry import Collector

from tandem.server import PortTaken
from tandem.settings import Settings
from tandem.starting import write_port

log = structlog.get_logger()

Read: TypeAlias = Callable[[], Awaitable[Iterable[Metric]]]
"""Reads everything, on the loop that does the counting."""

READ_LIMIT: Final = 9.5
"""Seconds. Prometheus waits ten, unless told otherwise."""


@asynccontextmanager
async def scraped(settings: Settings, read: Read) -> AsyncIterator[None]:
    """Answer scrapes for the length of a block, if `settings.metrics_listen` is set.

    Scrapes are answered by threads of their own; only `read` runs on the loop.

    Raises:
        PortTaken: somebody else has the address.
    """
    if not settings.metrics_listen:
        yield
        return
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Reading(read, asyncio.get_running_loop()))
    host, _, port = settings.metrics_listen.rpartition(":")
    try:
        # It looks up the name of the host.
        server, thread = await asyncio.to_thread(
            start_http_server, int(port), host.strip("[]"), registry
        )
    except OSError as error:
        raise PortTaken(settings.metrics_listen) from error
    try:
        if settings.metrics_port_file:
            write_port(server.server_port, Path(settings.metrics_port_file))
        log.info("serving metrics", listen=f"{host}:{server.server_port}")
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


class _Reading(Collector):
    """Has the loop read, for a thread that waits."""

    def __init__(self, read: Read, loop: asyncio.AbstractEventLoop) -> None:
        self._read = read
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        reading = asyncio.run_coroutine_threadsafe(self._all(), self._loop)
        try:
            yield from reading.result(READ_LIMIT)
        except TimeoutError:
            reading.cancel()
            log.warning("metrics not read", limit=READ_LIMIT)

    async def _all(self) -> list[Metric]:
        return list(await self._read())
