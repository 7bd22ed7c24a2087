"""A processor from its settings to work and served calls, and back again in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from tandem.attempts import HandlerLoop
from tandem.authentication.kinds import opened_door, require_choice
from tandem.handlers import Handlers
from tandem.scraping import scraped
from tandem.server import Server
from tandem.starting import announce, make_server, open_pool, require_privileges
from tandem.tls import server_credentials
from tandem.v1 import processor_pb2
from tandem_processor.cancelling import CancelBell
from tandem_processor.figures import Figures
from tandem_processor.grants import EXPECTED
from tandem_processor.life import Surroundings, live
from tandem_processor.metrics import Measured
from tandem_processor.service import ProcessorServicer
from tandem_processor.settings import ProcessorSettings
from tandem_processor.watch import Watch
from tandem_processor.watchdog import LoopWatchdog
from tandem_processor.worked import Worked

log = structlog.get_logger()

APPLICATION: Final = "tandem_processor"

SERVICE: Final = processor_pb2.DESCRIPTOR.services_by_name["ProcessorService"]

CLOSE_LIMIT: Final = 5.0
"""Seconds for calls in flight at the very end."""


async def run_processor(
    settings: ProcessorSettings, handlers: Handlers, stop: asyncio.Event
) -> None:
    """Work and serve until told to stop; then drain.

    Handlers get `settings.grace` seconds to end; what is still running then is
    given back, and no attempt is spent.

    Raises:
        InvalidSettings: it would serve everybody, and nobody has said so.
        WrongPrivileges: the login is not exactly as the processor's should be.
        PortTaken: somebody else has the address.
    """
    require_choice(settings)
    credentials = server_credentials(settings)
    async with AsyncExitStack() as stack:
        pools = await stack.enter_async_context(_open_pools(settings))
        door = await stack.enter_async_context(opened_door(settings, pools.general))
        watch, cancel_bell = Watch(pools.general), CancelBell()
        servicer = ProcessorServicer(pools.general, watch, cancel_bell)
        server = make_server(
            settings, servicer, SERVICE, credentials=credentials, door=door
        )
        measured = _measured(settings, pools, server, servicer)
        await stack.enter_async_context(scraped(settings, measured.read))
        handler_loop = HandlerLoop()
        stack.push_async_callback(handler_loop.stop)
        port = await server.start()
        stack.push_async_callback(server.stop, CLOSE_LIMIT)
        stack.callback(watch.close)
        surroundings = Surroundings(
            settings=settings,
            pool=pools.general,
            work_pool=pools.work,
            heart_pool=pools.heart,
            handlers=handlers,
            handler_loop=handler_loop.loop,
            on_health=_Health(server, stop).note,
            on_moved=watch.ring,
            cancel_bell=cancel_bell,
            worked=measured.worked,
        )
        await server.set_serving(serving=True)
        announce(settings, port)
        watchdog = LoopWatchdog(handler_loop)
        await _work(surroundings, stop, watch=watch, watchdog=watchdog)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pools:
    general: asyncpg.Pool
    work: asyncpg.Pool
    heart: asyncpg.Pool


@asynccontextmanager
async def _open_pools(settings: ProcessorSettings) -> AsyncIterator[_Pools]:
    """All of one login, which is proven first: `settings.pool_size` connections, and one."""
    half = settings.pool_size // 2
    async with (
        _open_pool(settings, size=max(half, 1)) as general,
        # Claims and reports find few rows by their keys. Planned for what was
        # counted while nothing ran, a report would read the whole table.
        _open_pool(
            settings, size=settings.pool_size - half, by_keys=not settings.pooler
        ) as work,
        _open_pool(settings, size=1) as heart,
    ):
        await require_privileges(general, EXPECTED)
        yield _Pools(general=general, work=work, heart=heart)


def _open_pool(
    settings: ProcessorSettings, *, size: int, by_keys: bool = False
) -> AbstractAsyncContextManager[asyncpg.Pool]:
    return open_pool(settings, size=size, application_name=APPLICATION, by_keys=by_keys)


def _measured(
    settings: ProcessorSettings,
    pools: _Pools,
    server: Server,
    servicer: ProcessorServicer,
) -> Measured:
    return Measured(
        server=server,
        pools=(pools.general, pools.work),
        worked=Worked(),
        concurrency=settings.concurrency,
        figures=Figures(pools.general, servicer.stats),
    )


async def _work(
    surroundings: Surroundings,
    stop: asyncio.Event,
    *,
    watch: Watch,
    watchdog: LoopWatchdog,
) -> None:
    """Run the lives, and what goes on beside them."""
    async with asyncio.TaskGroup() as group:
        beside = (
            watch.run(),
            watchdog.run(),
            _announce_stop(surroundings, watch, stop),
        )
        tasks = [group.create_task(each) for each in beside]
        await live(surroundings, stop)
        for task in tasks:
            task.cancel()


async def _announce_stop(
    surroundings: Surroundings, watch: Watch, stop: asyncio.Event
) -> None:
    await stop.wait()
    log.info("stopping", grace=surroundings.settings.grace)
    await surroundings.on_health(False)
    # Streams end now: a server that stops waits for them.
    watch.close()


class _Health:
    """Says in health what the heartbeats say; a stopping process does not serve."""

    def __init__(self, server: Server, stop: asyncio.Event) -> None:
        self._server = server
        self._stop = stop
        self._serving: bool | None = None

    async def note(self, alive: bool) -> None:
        serving = alive and not self._stop.is_set()
        if serving is self._serving:
            return
        self._serving = serving
        await self._server.set_serving(serving=serving)
