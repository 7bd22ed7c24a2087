"""A processor from its settings to work and served calls, and back again in order."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import asyncpg
import structlog

from tandem.allowances import Allowances
from tandem.attempts import HandlerLoop
from tandem.authentication.kinds import opened_door, require_choice
from tandem.handlers import Handlers
from tandem.scraping import scraped
from tandem.server import Server
from tandem.starting import announce, open_pool, require_privileges
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
    async with (
        _open_pool(settings, size=max(settings.pool_size // 2, 1)) as pool,
        # Claims and reports find few rows by their keys. Planned for what was
        # counted while nothing ran, a report would read the whole table.
        _open_pool(
            settings, size=(settings.pool_size + 1) // 2, by_keys=not settings.pooler
        ) as work_pool,
        _open_pool(settings, size=1) as heart_pool,
        AsyncExitStack() as stack,
    ):
        await require_privileges(pool, EXPECTED)
        watch, cancel_bell = Watch(pool), CancelBell()
        servicer = ProcessorServicer(pool, watch, cancel_bell)
        door = await stack.enter_async_context(opened_door(settings, pool))
        server = Server(
            servicer,
            SERVICE,
            listen=settings.listen,
            credentials=credentials,
            door=door,
            allowances=Allowances(
                rate=settings.caller_rate, streams=settings.caller_streams
            ),
            message_bytes=settings.caller_message_bytes,
        )
        measured = Measured(
            server=server,
            pools=(pool, work_pool),
            worked=Worked(),
            concurrency=settings.concurrency,
            figures=Figures(pool, servicer.stats),
        )
        await stack.enter_async_context(scraped(settings, measured.read))
        port = await server.start()
        handler_loop = HandlerLoop()
        surroundings = Surroundings(
            settings=settings,
            pool=pool,
            work_pool=work_pool,
            heart_pool=heart_pool,
            handlers=handlers,
            handler_loop=handler_loop.loop,
            on_health=_Health(server, stop).note,
            on_moved=watch.ring,
            cancel_bell=cancel_bell,
            worked=measured.worked,
        )
        await server.set_serving(serving=True)
        announce(settings, port)
        try:
            await _work(
                surroundings, stop, watch=watch, watchdog=LoopWatchdog(handler_loop)
            )
        finally:
            watch.close()
            await server.stop(CLOSE_LIMIT)
            await handler_loop.stop()


def _open_pool(
    settings: ProcessorSettings, *, size: int, by_keys: bool = False
) -> AbstractAsyncContextManager[asyncpg.Pool]:
    return open_pool(settings, size=size, application_name=APPLICATION, by_keys=by_keys)


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
