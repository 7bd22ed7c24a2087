"""An attempt and its handler, without a processor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from tandem.attempts import Attempt, HandlerLoop
from tandem.crossing import Crossing
from tandem.desk import TaskDesk
from tandem.handlers import BlockingContext, Context, Handlers
from tandem.outcomes import Ending, Raised, Returned, StopCause
from tandem.testing.claiming import unclaimed
from tandem.testing.memory import MemoryBook, Status

LIMIT = 30.0

log = structlog.get_logger()


class Watching:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.told: list[str] = []
        self._events = {name: asyncio.Event() for name in ("handler", "attempt")}

    async def is_told(self, name: str) -> None:
        async with asyncio.timeout(LIMIT):
            await self._events[name].wait()

    def handler_ended(self, attempt: Attempt) -> None:
        self.told.append("handler")
        self._events["handler"].set()

    def attempt_ended(self, attempt: Attempt, ending: Ending) -> None:
        self.told.append("attempt")
        self.endings.append(ending)
        self._events["attempt"].set()


def an_attempt(
    watching: Watching,
    handlers: Handlers,
    handler_loop: HandlerLoop,
    stop_seconds: float = LIMIT,
) -> Attempt:
    desk = TaskDesk(
        MemoryBook(Status(), attempt=1, at=lambda _: None),
        log=log,
        on_lost=lambda: None,
    )
    return Attempt(
        unclaimed("echo", {}),
        handlers["echo"],
        watcher=watching,
        desk=desk,
        here=Crossing(asyncio.get_running_loop()),
        there=Crossing(handler_loop.loop),
        log=log,
        bind=lambda: None,
        stop_seconds=stop_seconds,
    )


async def test_an_attempt_ends_once_with_what_its_handler_returned() -> None:
    watching, handlers = Watching(), Handlers()

    @handlers.register("echo")
    async def echo(ctx: Context) -> dict[str, str]:
        return {"state": "done"}

    async with handler_loop() as there:
        attempt = an_attempt(watching, handlers, there)
        attempt.launch()
        await watching.is_told("attempt")

    assert watching.endings == [Returned({"state": "done"})]
    assert watching.told == ["handler", "attempt"]
    assert not attempt.is_running


async def test_an_attempt_that_is_stopped_before_its_launch_runs_nothing() -> None:
    watching, handlers = Watching(), Handlers()
    ran: list[bool] = []

    @handlers.register("echo")
    async def echo(ctx: Context) -> None:
        ran.append(True)

    async with handler_loop() as there:
        attempt = an_attempt(watching, handlers, there)
        attempt.stop(StopCause.DRAIN)
        attempt.launch()
        await watching.is_told("attempt")

    (ending,) = watching.endings
    assert isinstance(ending, Raised)
    assert watching.told == ["handler", "attempt"]
    assert not ran


async def test_an_attempt_whose_task_others_cancel_before_its_first_step_ends() -> None:
    watching, handlers = Watching(), Handlers()

    @handlers.register("echo")
    async def echo(ctx: Context) -> None:
        raise AssertionError("it was cancelled before")

    async with handler_loop() as there:
        attempt = an_attempt(watching, handlers, there)
        gate = threading.Event()
        there.loop.call_soon_threadsafe(gate.wait, LIMIT)
        attempt.launch()
        there.loop.call_soon_threadsafe(_cancel_all)
        gate.set()
        await watching.is_told("attempt")

    (ending,) = watching.endings
    assert isinstance(ending, Raised)


def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()


async def test_a_handler_that_goes_on_is_told_of_once_and_its_end_later() -> None:
    watching, handlers = Watching(), Handlers()
    release = threading.Event()

    @handlers.register("echo")
    def echo(ctx: BlockingContext) -> None:
        release.wait(LIMIT)

    async with handler_loop() as there:
        attempt = an_attempt(watching, handlers, there, stop_seconds=0.01)
        attempt.launch()
        attempt.stop(StopCause.CANCEL_REQUESTED)
        await watching.is_told("attempt")
        assert attempt.is_running
        assert attempt.seconds > 0
        release.set()
        await watching.is_told("handler")

    assert watching.endings == [None]
    assert watching.told == ["attempt", "handler"]


@asynccontextmanager
async def handler_loop() -> AsyncIterator[HandlerLoop]:
    loop = HandlerLoop()
    try:
        yield loop
    finally:
        await loop.stop()
