"""One life of a processor: from joining under a new id to leaving, or to being declared dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import structlog
from structlog.contextvars import bound_contextvars

from tandem.calls import STORE_AWAY
from tandem.handlers import Handlers
from tandem_processor import members
from tandem_processor.claimer import Claimer
from tandem_processor.claims import DeclaredDead
from tandem_processor.desk import TaskDesk
from tandem_processor.due import DueWork
from tandem_processor.heart import Heart, OnHealth, Rounds
from tandem_processor.intake import Intake
from tandem_processor.outcomes import Claimed
from tandem_processor.patience import patiently
from tandem_processor.reconciler import Reconciler
from tandem_processor.reporter import OnMoved, Reporter
from tandem_processor.runner import Runner, Workshop
from tandem_processor.session import Membership
from tandem_processor.settings import ProcessorSettings
from tandem_processor.steps import Hold

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What outlives the lives of one process."""

    settings: ProcessorSettings
    pool: asyncpg.Pool
    handlers: Handlers
    handler_loop: asyncio.AbstractEventLoop
    on_health: OnHealth
    on_moved: OnMoved


async def live(surroundings: Surroundings, stop: asyncio.Event) -> None:
    """Work until told to stop; whenever declared dead, join again under a new id."""
    while not stop.is_set():
        life = Life(surroundings, uuid4())
        with bound_contextvars(processor_id=str(life.processor_id)):
            await life.run(stop)


class Life:
    """The parts that share one processor id."""

    def __init__(self, surroundings: Surroundings, processor_id: UUID) -> None:
        self.processor_id = processor_id
        self._pool = surroundings.pool
        self._settings = settings = surroundings.settings
        self._handlers = handlers = surroundings.handlers
        pool = surroundings.pool
        self._reporter = Reporter(pool, processor_id, on_moved=surroundings.on_moved)
        self.runner = runner = Runner(
            Workshop(
                handlers=handlers,
                handler_loop=surroundings.handler_loop,
                make_desk=self._make_desk,
                report=self._reporter.report,
            ),
            concurrency=settings.concurrency,
        )
        self._claimer = claimer = Claimer(
            pool, processor_id, handlers=handlers, runner=runner
        )
        self._heart = Heart(
            pool,
            processor_id,
            interval=settings.heartbeat,
            on_health=surroundings.on_health,
        )
        self._rounds = Rounds(
            pool,
            processor_id,
            claimer=claimer,
            runner=runner,
            reporter=self._reporter,
            interval=settings.heartbeat,
        )
        self._due = DueWork(
            pool,
            claimer=claimer,
            runner=runner,
            queues=settings.queues,
            types=handlers.types,
        )
        self._intake = Intake(
            pool,
            Membership(
                processor_id=processor_id,
                queues=settings.queues,
                types=handlers.types,
                addresses=settings.creator_address,
            ),
            claimer=claimer,
            runner=runner,
        )
        self._reconciler = Reconciler(
            pool,
            processor_id,
            heart=self._heart,
            handlers=handlers,
            dead_after=settings.dead_after,
            interval=settings.heartbeat,
        )

    def _make_desk(self, claimed: Claimed, on_lost: Callable[[], None]) -> TaskDesk:
        hold = Hold(
            task_id=claimed.task_id,
            claim=claimed.claim,
            processor_id=self.processor_id,
        )
        return TaskDesk(self._pool, hold, on_lost=on_lost)

    async def run(self, stop: asyncio.Event) -> None:
        """Join, work until told to stop, drain and leave; or end as declared dead."""
        await patiently(self._join)
        log.info("joined", types=self._handlers.types, queues=self._settings.queues)
        try:
            await self._work(stop)
        except* DeclaredDead:
            log.warning("declared dead; joining again under a new id")
        finally:
            await self.runner.abandon()

    async def _join(self) -> None:
        await members.join(
            self._pool,
            self.processor_id,
            queues=self._settings.queues,
            types=self._handlers.types,
        )

    async def _work(self, stop: asyncio.Event) -> None:
        parts = (
            self._reporter,
            self._heart,
            self._rounds,
            self._due,
            self._reconciler,
            self._intake,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in parts]
            await stop.wait()
            await self._drain()
            for task in tasks:
                task.cancel()

    async def _drain(self) -> None:
        log.info("draining", running=len(self.runner.running))
        self._intake.drain()
        self._claimer.closed = True
        await self.runner.drain(self._settings.grace)
        try:
            left = await members.leave(self._pool, self.processor_id)
        except STORE_AWAY as error:
            log.warning("could not leave", error=type(error).__name__)
        else:
            log.info("left", clean=left)
