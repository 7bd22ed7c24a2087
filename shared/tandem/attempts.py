"""One attempt: a handler that runs apart from the loop that watches over it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Final, Protocol

from tandem.contexts import Logger
from tandem.crossing import Crossing
from tandem.desk import BridgedDesk, TaskDesk
from tandem.handlers import BlockingContext, Context, Handler
from tandem.judging import timeout_of
from tandem.outcomes import Claimed, Ending, Raised, Returned, StopCause
from tandem.spans import NO_SPAN, Span
from tandem.threads import in_thread

STOP_SECONDS: Final = 5.0
"""How long a handler that was asked to stop is waited for before its task is reported."""

LOOP_SECONDS: Final = 2.0
"""How long the loop of handlers is waited for when the process stops."""

RUNNING: Final[ContextVar[Claimed]] = ContextVar("RUNNING")
"""For whom a task of the handlers' loop runs; handed on to the tasks it makes."""


class _OwnedTask(asyncio.Task[Any]):
    """A task of the handlers' loop, which knows for whom it runs."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        steps: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> None:
        super().__init__(steps, loop=loop, **options)
        self.owner = RUNNING.get(None)


class HandlerLoop:
    """The loop of all async handlers, in a thread of its own.

    A handler that blocks it delays other handlers, and neither heartbeats nor
    calls.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(_OwnedTask)
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="handlers", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Cancel what is left and close the loop, unless a handler blocks it."""
        self._is_stopping = True
        _call(self.loop, self.loop.stop)
        await asyncio.wrap_future(in_thread(self._thread.join, LOOP_SECONDS))

    def ask(self, answer: Callable[[], None]) -> None:
        """Have `answer` called on the caller's loop, by way of this one."""
        here = asyncio.get_running_loop()
        _call(self.loop, _call, here, answer)

    def current(self) -> Claimed | None:
        """Whose handler has the loop at this moment; from any thread."""
        task = asyncio.current_task(self.loop)
        return task.owner if isinstance(task, _OwnedTask) else None

    def _run(self) -> None:
        while not self._is_stopping:
            # A task's or a callback's SystemExit leaves the loop, which is everybody's;
            # whoever awaits the task is told of it. A handler may call `stop` as well.
            with suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=LOOP_SECONDS / 2))
        self.loop.close()


class Watcher(Protocol):
    """Who is told how far an attempt is, on the main loop."""

    def handler_ended(self, attempt: Attempt) -> None:
        """The handler really has."""

    def attempt_ended(self, attempt: Attempt, ending: Ending) -> None:
        """Told once: what the handler came to, or None if it goes on although stopped."""


class Attempt:
    """A claimed task, its handler, and how far the two are. Lives on the main loop."""

    def __init__(
        self,
        claimed: Claimed,
        handler: Handler,
        *,
        watcher: Watcher,
        desk: TaskDesk,
        here: Crossing,
        there: Crossing,
        log: Logger,
        bind: Callable[[], None],
        span: Span = NO_SPAN,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Nothing runs before `launch`; `bind` is called where the handler runs.

        `here` leads to the loop of the caller, `there` to that of async handlers.
        The span is entered where the handler runs, and its owner ends it. A handler
        that is stopped has `stop_seconds` to end.
        """
        self.claimed = claimed
        self.span = span
        self.handler = handler
        self.desk = desk
        self.cause: StopCause | None = None
        self.seconds = 0.0
        """How long its handler took, once that has ended or was given up."""

        self.is_running = True
        """Whether the handler has not ended."""

        self._watcher = watcher
        self._here = here
        self._there = there
        self._log = log
        self._bind = bind
        self._stop_seconds = stop_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._start = time.monotonic()
        self._is_told = False
        self._cancel: Callable[[], None] = _nothing
        self._task: asyncio.Task[Ending] | None = None

    def launch(self) -> None:
        """Start the handler, unless it is stopped already, or when its time is over."""
        if self.cause is not None:
            self._note(Raised(asyncio.CancelledError()))
            return
        limit = timeout_of(self.claimed, self.handler)
        if limit is not None:
            self._wait(limit.total_seconds(), self.stop, StopCause.TIMEOUT)
        if self.handler.is_async:
            self._launch_async()
        else:
            self._launch_blocking()

    def stop(self, cause: StopCause) -> None:
        """Ask the handler to end. The first cause is the one that counts."""
        if self.cause is not None or not self.is_running:
            return
        self.cause = cause
        # A drained handler may still keep the step that it is in.
        if cause is StopCause.DRAIN:
            self.desk.drain()
        else:
            self.desk.close()
        self._wait(self._stop_seconds, self._give_up)
        self._cancel()

    def _wait(self, seconds: float, then: Callable[..., None], *args: Any) -> None:
        self._wait_no_longer()
        self._timer = self._here.loop.call_later(seconds, then, *args)

    def _wait_no_longer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _note(self, ending: Ending) -> None:
        self.is_running = False
        self.seconds = time.monotonic() - self._start
        self._cancel = _nothing
        self._wait_no_longer()
        self._watcher.handler_ended(self)
        self._tell(ending)

    def _give_up(self) -> None:
        self.seconds = time.monotonic() - self._start
        self._tell(None)

    def _tell(self, ending: Ending) -> None:
        if not self._is_told:
            self._is_told = True
            self._watcher.attempt_ended(self, ending)

    def _launch_async(self) -> None:
        desk = BridgedDesk(self.desk, self._here.loop)
        context = Context(_claimed=self.claimed, log=self._log, desk=desk)
        self._cancel = partial(self._there.call, self._cancel_async, context)
        # Its lines are of this processor, and its task is known by this context.
        self._there.call(copy_context().run, self._start_async, context)

    def _start_async(self, context: Context) -> None:
        RUNNING.set(self.claimed)
        self._task = self._there.loop.create_task(self._run_async(context))
        self._task.add_done_callback(self._note_async)

    def _cancel_async(self, context: Context) -> None:
        context.cancelled.set()
        if self._task is not None:
            self._task.cancel()

    async def _run_async(self, context: Context) -> Ending:
        self._bind()
        self.span.enter()
        try:
            return Returned(await self.handler.function(context))
        except BaseException as error:  # noqa: BLE001 - SystemExit would end the loop of all
            return Raised(error)

    def _note_async(self, task: asyncio.Task[Ending]) -> None:
        # Cancelled before its first step, by whomever, a task has no result.
        ending = Raised(asyncio.CancelledError()) if task.cancelled() else task.result()
        self._here.call(self._note, ending)

    def _launch_blocking(self) -> None:
        cancelled = threading.Event()
        context = BlockingContext(
            _claimed=self.claimed,
            log=self._log,
            desk=self.desk,
            cancelled=cancelled,
            loop=self._here.loop,
        )
        self._cancel = cancelled.set
        in_thread(self._run_blocking, context)

    def _run_blocking(self, context: BlockingContext) -> None:
        self._bind()
        self.span.enter()
        try:
            ending: Ending = Returned(self.handler.function(context))
        except BaseException as error:  # noqa: BLE001 - all of it is the handler's
            ending = Raised(error)
        self._here.call(self._note, ending)


def _nothing() -> None:
    """An attempt that has ended cannot be cancelled, and need not be held."""


def _call(
    loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: Any
) -> None:
    """Call on the other loop, which may be closed by the time a handler ends."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *args)
