"""One life of a processor: from joining under a new id to leaving, or to being declared dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID, uuid4

import asyncpg
import structlog
from structlog.contextvars import bound_contextvars

from tandem.calls import STORE_AWAY
from tandem.desk import TaskDesk
from tandem.handlers import Handlers
from tandem.happening import first_of
from tandem.outcomes import Claimed
from tandem_processor import members
from tandem_processor.book import TaskBook
from tandem_processor.cancelling import CancelBell, Cancelling
from tandem_processor.claimer import Claimer
from tandem_processor.claims import DeclaredDead
from tandem_processor.due import DueWork
from tandem_processor.heart import Heart, OnHealth
from tandem_processor.intake import Intake
from tandem_processor.patience import patiently
from tandem_processor.reconciler import Reconciler
from tandem_processor.reporter import OnMoved, Reporter
from tandem_processor.rounds import Rounds
from tandem_processor.runner import Runner, Workshop
from tandem_processor.session import Membership
from tandem_processor.settings import ProcessorSettings
from tandem_processor.slots import Share, Slots
from tandem_processor.steps import Hold
from tandem_processor.unserved import Lookout
from tandem_processor.worked import Worked

log = structlog.get_logger()

LEAVE_SECONDS: Final = 5.0
"""How long the database has to note that this processor has left."""


class Part(Protocol):
    """Something that goes on for the whole life."""

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What outlives the lives of one process."""

    settings: ProcessorSettings
    pool: asyncpg.Pool
    work_pool: asyncpg.Pool
    """For statements that find their tasks by keys."""

    heart_pool: asyncpg.Pool
    """For heartbeats alone: they never wait behind the words of handlers."""

    handlers: Handlers
    handler_loop: asyncio.AbstractEventLoop
    on_health: OnHealth
    on_moved: OnMoved
    cancel_bell: CancelBell
    worked: Worked = field(default_factory=Worked)


async def live(surroundings: Surroundings, stop: asyncio.Event) -> None:
    """Work until told to stop; whenever declared dead, join again under a new id."""
    while not stop.is_set():
        processor_id = uuid4()
        # Also what its parts log from calls of other loops is this processor's.
        with bound_contextvars(processor_id=str(processor_id)):
            await Life(surroundings, processor_id).run(stop)


class Life:
    """The parts that share one processor id."""

    def __init__(self, surroundings: Surroundings, processor_id: UUID) -> None:
        self.processor_id = processor_id
        self._surroundings = surroundings
        self._settings = surroundings.settings
        self._pool = surroundings.pool
        self._work_pool = surroundings.work_pool
        self._handlers = surroundings.handlers
        self._reporter = self._make_reporter()
        self._slots = Slots(self._handlers, concurrency=self._settings.concurrency)
        self.runner = self._make_runner()
        self._claimer = self._make_claimer()
        self._heart = self._make_heart()
        self._intakes = [self._make_intake(share) for share in self._slots.shares]
        self._rounds = self._make_rounds()
        self._parts: Sequence[Part] = (
            self._reporter,
            self._heart,
            *self._intakes,
            self._rounds,
            self._make_cancelling(),
            self._make_due_work(),
            self._make_reconciler(),
            Lookout(self._pool, queues=self._settings.queues),
        )

    def _make_reporter(self) -> Reporter:
        return Reporter(
            self._work_pool,
            self.processor_id,
            on_moved=self._surroundings.on_moved,
            worked=self._surroundings.worked,
        )

    def _make_claimer(self) -> Claimer:
        return Claimer(
            self._work_pool,
            self.processor_id,
            slots=self._slots,
            runner=self.runner,
            worked=self._surroundings.worked,
        )

    def _make_heart(self) -> Heart:
        return Heart(
            self._surroundings.heart_pool,
            self.processor_id,
            interval=self._settings.heartbeat,
            dead_after=self._settings.dead_after,
            on_health=self._surroundings.on_health,
        )

    def _make_runner(self) -> Runner:
        workshop = Workshop(
            handlers=self._handlers,
            handler_loop=self._surroundings.handler_loop,
            make_desk=self._make_desk,
            reporter=self._reporter,
            worked=self._surroundings.worked,
        )
        return Runner(workshop, self._slots)

    def _make_intake(self, share: Share) -> Intake:
        membership = Membership(
            processor_id=self.processor_id,
            queues=self._settings.queues,
            share=share,
            addresses=self._settings.creator_address,
        )
        return Intake(
            self._work_pool,
            membership,
            claimer=self._claimer,
            slots=self._slots,
            credentials=lambda: self._settings.credentials,
        )

    def _make_rounds(self) -> Rounds:
        return Rounds(
            self._work_pool,
            self.processor_id,
            claimer=self._claimer,
            runner=self.runner,
            reporter=self._reporter,
            interval=self._settings.heartbeat,
        )

    def _make_cancelling(self) -> Cancelling:
        return Cancelling(
            self._pool,
            self.processor_id,
            runner=self.runner,
            bell=self._surroundings.cancel_bell,
        )

    def _make_due_work(self) -> DueWork:
        return DueWork(
            self._work_pool,
            claimer=self._claimer,
            slots=self._slots,
            queues=self._settings.queues,
        )

    def _make_reconciler(self) -> Reconciler:
        return Reconciler(
            self._pool,
            self.processor_id,
            heart=self._heart,
            handlers=self._handlers,
            dead_after=self._settings.dead_after,
            interval=self._settings.heartbeat,
            worked=self._surroundings.worked,
        )

    def _make_desk(self, claimed: Claimed, on_lost: Callable[[], None]) -> TaskDesk:
        hold = Hold(
            task_id=claimed.task_id,
            claim=claimed.claim,
            processor_id=self.processor_id,
        )
        return TaskDesk(TaskBook(self._work_pool, hold), log=log, on_lost=on_lost)

    async def run(self, stop: asyncio.Event) -> None:
        """Join, work until told to stop, drain and leave; or end as declared dead."""
        if not await self._joined(stop):
            return
        log.info("joined", types=self._handlers.types, queues=self._settings.queues)
        try:
            await self._work(stop)
        except* DeclaredDead:
            log.warning("declared dead; joining again under a new id")
        finally:
            await self.runner.abandon()

    async def _joined(self, stop: asyncio.Event) -> bool:
        """Join, however long the database is away; False if told to stop before."""
        joining = asyncio.create_task(patiently(self._join))
        await first_of(joining, stop.wait())
        if joining.done():
            joining.result()
        return joining.done()

    async def _join(self) -> None:
        await members.join(
            self._pool,
            self.processor_id,
            queues=self._settings.queues,
            types=self._handlers.types,
        )

    async def _work(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in self._parts]
            await stop.wait()
            await self._drain()
            for task in tasks:
                task.cancel()

    async def _drain(self) -> None:
        log.info("draining", running=len(self.runner.running))
        for intake in self._intakes:
            intake.drain()
        # One grace for both: whoever stops the process counts on it.
        clock = asyncio.get_running_loop().time
        end = clock() + self._settings.grace
        await self._claimer.close(self._settings.grace)
        await self.runner.drain(max(end - clock(), 0))
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                left = await self._leave()
        except STORE_AWAY as error:
            log.warning("could not leave", error=type(error).__name__)
        else:
            log.info("left", clean=left)

    async def _leave(self) -> bool:
        """Give up the own row; before, what was claimed and nobody runs is given back."""
        if await members.leave(self._pool, self.processor_id):
            return True
        await self._rounds.run_once()
        return await members.leave(self._pool, self.processor_id)
