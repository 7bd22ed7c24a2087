"""One attempt that is under way, and what may happen to it from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from tandem.attempts import Attempt
from tandem.contexts import AttemptStopped, Logger
from tandem.crossing import Crossing
from tandem.desk import TaskDesk
from tandem.errors import LeaseLost
from tandem.handlers import Handler
from tandem.outcomes import Claimed, Ending, Raised, StopCause
from tandem.testing.lines import Lines
from tandem.testing.memory import MemoryBook, Status
from tandem.testing.points import Point, Stop

CAUSES: Final = MappingProxyType(
    {
        # To the handler a crash is a lease that it cannot even find lost.
        Stop.CRASH: StopCause.LEASE_LOST,
        Stop.LEASE_LOST: StopCause.LEASE_LOST,
        Stop.CANCEL: StopCause.CANCEL_REQUESTED,
        Stop.DRAIN: StopCause.DRAIN,
        Stop.TIMEOUT: StopCause.TIMEOUT,
    }
)

BEFORE_WRITING: Final = frozenset({"unkept", "unnoted"})
"""Moments at which the word may still be refused."""


class NotReached(AssertionError):
    """The attempt ended, and had not come to the point at which it was to be stopped."""


class StillRunning(AssertionError):
    """The handler has not ended within the test's patience."""


class Trial:
    """An attempt on the loop on which it was made."""

    def __init__(
        self,
        claimed: Claimed,
        handler: Handler,
        *,
        status: Status,
        log: Logger,
        handler_loop: asyncio.AbstractEventLoop,
        stop: Stop | None,
        at: Point | None,
        stop_seconds: float,
    ) -> None:
        self.stops: set[Stop] = set()
        self._loop = asyncio.get_running_loop()
        self._stop_at = stop
        self._at = at
        self._reached = at is None
        book = MemoryBook(status, attempt=claimed.attempt, at=self._pass)
        self._desk = TaskDesk(
            book,
            log=Lines(),  # its lines are the processor's, not the handler's
            pace=0,  # each word is a point at which a test may stop it
            on_lost=lambda: self._attempt.stop(StopCause.LEASE_LOST),
        )
        self._ending: asyncio.Future[Ending] = self._loop.create_future()
        self._attempt = Attempt(
            claimed,
            handler,
            watcher=self,
            stop_seconds=stop_seconds,
            desk=self._desk,
            here=Crossing(self._loop),
            there=Crossing(handler_loop),
            log=log,
            bind=lambda: None,
        )

    @property
    def cause(self) -> StopCause | None:
        return self._attempt.cause

    @property
    def kept_bytes(self) -> int:
        return self._desk.kept_bytes

    async def ending(self, *, within: float) -> Ending:
        """Run the handler to its end.

        Raises:
            StillRunning: it takes longer than `within` seconds.
            NotReached: it ended before it came to its point.
        """
        self._attempt.launch()
        try:
            async with asyncio.timeout(within):
                ending = await self._ending
        except TimeoutError:
            self._attempt.stop(StopCause.LEASE_LOST)
            raise StillRunning(f"the handler runs for over {within:g} s") from None
        finally:
            self._desk.close()
        if not self._reached:
            raised = ending.error if isinstance(ending, Raised) else None
            raise NotReached(f"the attempt ended before {self._at}") from raised
        return ending

    def handler_ended(self, attempt: Attempt) -> None:
        """Nobody waits for its slot."""

    def attempt_ended(self, attempt: Attempt, ending: Ending) -> None:
        """What `ending` waits for."""
        if not self._ending.done():
            self._ending.set_result(ending)

    def stop(self, stop: Stop) -> None:
        """From any thread; the attempt is stopped once this returns.

        Raises:
            AttemptStopped: after a crash, whoever called it is not there any more.
        """
        self._on_loop(lambda: self._stop(stop))
        if stop is Stop.CRASH:
            raise AttemptStopped

    def _stop(self, stop: Stop) -> None:
        self.stops.add(stop)
        self._attempt.stop(CAUSES[stop])
        if stop is not Stop.DRAIN:
            self._desk.close()

    def _pass(self, point: Point) -> None:
        if self._reached or point != self._at or self._stop_at is None:
            return
        self._reached = True
        self._stop(self._stop_at)
        refused = point.moment in BEFORE_WRITING and self._stop_at is not Stop.DRAIN
        if refused or self._stop_at is Stop.CRASH:
            raise LeaseLost("the test has stopped the attempt here")

    def _on_loop(self, what: Callable[[], None]) -> None:
        if _running_loop() is self._loop:
            what()
        else:
            done = asyncio.run_coroutine_threadsafe(_called(what), self._loop)
            done.result()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _called(what: Callable[[], None]) -> None:
    what()
