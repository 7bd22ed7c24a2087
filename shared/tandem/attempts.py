"""One attempt: a handler that runs apart from the loop that watches over it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary

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


class HandlerLoop:
    """The loop of all async handlers, in a thread of its own.

    A handler that blocks it delays other handlers, and neither heartbeats nor
    calls.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(self._make_task)
        self._owners: WeakKeyDictionary[asyncio.Task[Any], Claimed] = (
            WeakKeyDictionary()
        )
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
        return None if task is None else self._owners.get(task)

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        steps: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(steps, loop=loop, **options)
        if (claimed := RUNNING.get(None)) is not None:
            self._owners[task] = claimed
        return task

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


class Attempt:
    """A claimed task, its handler, and how far the two are. Lives on the main loop."""

    def __init__(
        self,
        claimed: Claimed,
        handler: Handler,
        *,
        desk: TaskDesk,
        here: Crossing,
        there: Crossing,
        log: Logger,
        bind: Callable[[], None],
        span: Span = NO_SPAN,
    ) -> None:
        """Nothing runs before `launch`; `bind` is called where the handler runs.

        `here` leads to the loop of the caller, `there` to that of async handlers.
        The span is entered where the handler runs, and its owner ends it.
        """
        self.claimed = claimed
        self.span = span
        self.handler = handler
        self.desk = desk
        self.cause: StopCause | None = None
        self._here = here
        self._there = there
        self._log = log
        self._bind = bind
        self._ended: asyncio.Future[Ending] = here.loop.create_future()
        self._stopped_or_ended: asyncio.Future[None] = here.loop.create_future()
        self._cancel: Callable[[], None] = _nothing

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Done once the handler really is; never cancelled, never raises."""
        return self._ended

    async def ending(self, stop_seconds: float) -> Ending:
        """What the handler came to, stopped when its time is over.

        None where it does not end within `stop_seconds` although it was asked to.
        """
        span = timeout_of(self.claimed, self.handler)
        timer = span and self._here.loop.call_later(
            span.total_seconds(), self.stop, StopCause.TIMEOUT
        )
        try:
            await self._stopped_or_ended
        finally:
            if timer:
                timer.cancel()
        if not self.ended.done():
            await asyncio.wait({self.ended}, timeout=stop_seconds)
        return self.ended.result() if self.ended.done() else None

    def launch(self) -> None:
        """Start the handler."""
        if self.handler.is_async:
            self._launch_async()
        else:
            self._launch_blocking()

    def stop(self, cause: StopCause) -> None:
        """Ask the handler to end. The first cause is the one that counts."""
        if self.cause is not None or self._ended.done():
            return
        self.cause = cause
        # A drained handler may still keep the step that it is in.
        if cause is StopCause.DRAIN:
            self.desk.drain()
        else:
            self.desk.close()
        self._let_on()
        self._cancel()

    def _let_on(self) -> None:
        if not self._stopped_or_ended.done():
            self._stopped_or_ended.set_result(None)

    def _launch_async(self) -> None:
        cancelled = asyncio.Event()
        context = Context(
            **self._facts(),
            desk=BridgedDesk(self.desk, self._here.loop),
            cancelled=cancelled,
        )
        tasks: list[asyncio.Task[Any]] = []

        def start() -> None:
            RUNNING.set(self.claimed)
            task = self._there.loop.create_task(self._run_async(context))
            task.add_done_callback(self._note_async)
            tasks.append(task)

        def cancel() -> None:
            cancelled.set()
            tasks[0].cancel()

        self._cancel = lambda: self._there.call(cancel)
        self._there.call(start)

    async def _run_async(self, context: Context) -> Ending:
        self._bind()
        self.span.enter()
        try:
            return Returned(await self.handler.function(context))
        except BaseException as error:  # noqa: BLE001 - SystemExit would end the loop of all
            return Raised(error)

    def _note_async(self, task: asyncio.Task[Any]) -> None:
        # Cancelled before its first step, a task has no result.
        ending = Raised(asyncio.CancelledError()) if task.cancelled() else task.result()
        self._here.call(self._note, ending)

    def _launch_blocking(self) -> None:
        cancelled = threading.Event()
        context = BlockingContext(
            **self._facts(), desk=self.desk, cancelled=cancelled, loop=self._here.loop
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

    def _note(self, ending: Ending) -> None:
        if not self._ended.done():
            self._ended.set_result(ending)
            self._let_on()
        self._cancel = _nothing

    def _facts(self) -> dict[str, Any]:
        claimed = self.claimed
        return {
            "task_id": str(claimed.task_id),
            "request_id": str(claimed.request_id),
            "project": claimed.project,
            "type": claimed.type,
            "payload": json.loads(claimed.payload) if claimed.payload else {},
            "attempt": claimed.attempt,
            "claim": claimed.claim,
            "labels": json.loads(claimed.labels) if claimed.labels else {},
            "title": claimed.title or "",
            "external_id": claimed.external_id or "",
            "trace_context": claimed.trace_context or "",
            "log": self._log,
        }


def _nothing() -> None:
    """An attempt that has ended cannot be cancelled, and need not be held."""


def _call(
    loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: Any
) -> None:
    """Call on the other loop, which may be closed by the time a handler ends."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *args)
