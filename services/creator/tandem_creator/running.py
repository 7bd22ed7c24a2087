"""A creator from its settings to served calls, and back again in order."""

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

from tandem import limits
from tandem.authentication.kinds import opened_door, require_choice
from tandem.scraping import scraped
from tandem.server import Server
from tandem.starting import make_server, open_pool, proven_first
from tandem.tls import server_credentials
from tandem.v1 import creator_pb2
from tandem_creator.batcher import Batcher
from tandem_creator.bell import Bell, Listener
from tandem_creator.connections import Kept
from tandem_creator.daemons import Daemons
from tandem_creator.epoch import Epoch
from tandem_creator.flush import Flusher
from tandem_creator.grants import EXPECTED
from tandem_creator.groups import Groups
from tandem_creator.horizon import Horizon
from tandem_creator.ledger import RESEND_SECONDS
from tandem_creator.metrics import Measured
from tandem_creator.service import CreatorServicer
from tandem_creator.settings import CreatorSettings
from tandem_creator.statistics import Statistics
from tandem_creator.store.lanes import Lanes
from tandem_creator.stream import Stream
from tandem_creator.whole import WholeBatches

APPLICATION: Final = "tandem_creator"

LOCK_TIMEOUT: Final = 1.0
"""Seconds. A batch that waits for somebody's open transaction keeps the next waiting."""

SERVICE: Final = creator_pb2.DESCRIPTOR.services_by_name["CreatorService"]


@dataclass(frozen=True, slots=True)
class RunningCreator:
    """What is open while a creator serves."""

    pool: asyncpg.Pool
    port: int
    failed: asyncio.Event
    """Set when a part that must go on has ended."""

    statistics: Statistics
    batcher: Batcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds that the contract fixes. Tests shorten them."""

    frame: float = limits.FRAME_SECONDS
    """A quiet stream shows that it lives at least this often."""

    resend: float = RESEND_SECONDS
    """A member that says nothing about its ids for so long has lost them."""


DEFAULT_TIMING: Final = Timing()


@asynccontextmanager
async def running_creator(
    settings: CreatorSettings, *, timing: Timing = DEFAULT_TIMING
) -> AsyncIterator[RunningCreator]:
    """A creator that serves for the length of a block.

    At its end health turns NOT_SERVING, streams end with STOPPING, and calls in
    flight get `settings.grace` seconds.

    Raises:
        InvalidSettings: it would serve everybody, and nobody has said so.
        WrongPrivileges: the login is not exactly as the creator's should be.
        PortTaken: somebody else has the address.
    """
    require_choice(settings)
    credentials = server_credentials(settings)
    epoch = Epoch()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(_open_pool(settings, epoch))
        kept = Kept(pool)
        stack.push_async_callback(kept.close)
        door = await stack.enter_async_context(opened_door(settings, pool))
        parts = _assemble(settings, pool, kept, epoch=epoch, timing=timing)
        server = make_server(
            settings,
            _servicer(settings, kept, parts),
            SERVICE,
            credentials=credentials,
            door=door,
            share_port=settings.share_port,
        )
        measured = _measured(pool, kept, parts, server)
        await stack.enter_async_context(scraped(settings, measured.read))
        daemons = await stack.enter_async_context(Daemons())
        for daemon in (parts.batcher, parts.bell, parts.groups, parts.statistics):
            daemons.start(daemon.run())
        # Through a pooler the ear would stay with a session that others use.
        pooled = settings.pooler
        daemons.start(epoch.watch(pool) if pooled else parts.listener.run())
        port = await server.start()
        daemons.start(parts.horizon.run(server.set_serving))
        _end_with(stack, parts, server, grace=settings.grace)
        await server.set_serving(serving=True)
        yield RunningCreator(
            pool, port, daemons.failed, parts.statistics, parts.batcher
        )


def _open_pool(
    settings: CreatorSettings, epoch: Epoch
) -> AbstractAsyncContextManager[asyncpg.Pool]:
    return open_pool(
        settings,
        size=settings.pool_size,
        application_name=APPLICATION,
        on_connect=proven_first(EXPECTED, epoch.enter),
        by_keys=True,
        lock_timeout=LOCK_TIMEOUT,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    bell: Bell
    listener: Listener
    horizon: Horizon
    statistics: Statistics
    batcher: Batcher
    whole_batches: WholeBatches
    stream: Stream
    groups: Groups


def _assemble(
    settings: CreatorSettings,
    pool: asyncpg.Pool,
    kept: Kept,
    *,
    epoch: Epoch,
    timing: Timing,
) -> _Parts:
    lanes, horizon, statistics = Lanes(), Horizon(kept), Statistics()
    epoch.on_change(lanes.forget)
    epoch.on_change(horizon.forget)
    bell = Bell(pool, here=horizon.ring)
    flusher = Flusher(kept, lanes=lanes, ring=bell.ring)
    return _Parts(
        bell=bell,
        listener=Listener(
            settings.database_url, heard=bell.heard, application_name=APPLICATION
        ),
        horizon=horizon,
        statistics=statistics,
        batcher=Batcher(flusher, statistics=statistics),
        whole_batches=WholeBatches(
            pool, lanes=lanes, ring=bell.ring, statistics=statistics
        ),
        stream=Stream(kept, horizon=horizon, epoch=epoch, frame=timing.frame),
        groups=Groups(pool, horizon=horizon, frame=timing.frame, resend=timing.resend),
    )


def _servicer(settings: CreatorSettings, kept: Kept, parts: _Parts) -> CreatorServicer:
    return CreatorServicer(
        kept,
        batcher=parts.batcher,
        whole_batches=parts.whole_batches,
        statistics=parts.statistics,
        stream=parts.stream,
        groups=parts.groups,
        require_request_id=settings.require_request_id,
    )


def _measured(
    pool: asyncpg.Pool, kept: Kept, parts: _Parts, server: Server
) -> Measured:
    return Measured(
        server=server,
        pool=pool,
        kept=kept,
        batcher=parts.batcher,
        groups=parts.groups,
        statistics=parts.statistics,
    )


def _end_with(
    stack: AsyncExitStack, parts: _Parts, server: Server, *, grace: float
) -> None:
    """What is done at the end, from the last of these lines up."""
    stack.callback(parts.statistics.report)
    stack.push_async_callback(parts.groups.release)
    stack.push_async_callback(server.stop, grace)
    stack.push_async_callback(server.set_serving, serving=False)
    stack.callback(parts.groups.close)
    stack.callback(parts.horizon.close)
