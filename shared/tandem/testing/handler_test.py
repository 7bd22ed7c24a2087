"""A task whose handler is tried, attempt by attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Unpack

from tandem.attempts import STOP_SECONDS, HandlerLoop
from tandem.handlers import Handlers
from tandem.judging import Chance, judge, timeout_of
from tandem.outcomes import Ending, Outcome
from tandem.states import TaskState
from tandem.testing.claiming import SpecOptions, unclaimed
from tandem.testing.ended import Ended
from tandem.testing.fates import crashed, despite_cancel
from tandem.testing.lines import Line, Lines
from tandem.testing.memory import Stage, Status
from tandem.testing.points import Point, Stop
from tandem.testing.trial import Trial
from tandem.threads import in_thread

START: Final = datetime(2030, 1, 1, tzinfo=UTC)
"""Where the test's own clock begins."""

WITHIN: Final = 30.0
"""Seconds that one attempt may really take, before the test fails."""

LOSSES: Final = frozenset({Stop.CRASH, Stop.LEASE_LOST})


def longest(_least: float, most: float) -> float:
    """Chance at its least favourable: every backoff is as long as it may be."""
    return most


class HandlerTest:
    """One task in memory. Each `run` is an attempt, with what earlier ones have kept.

    It judges with the processor's own code: what a handler may not return, keep,
    note or say is refused here as there.
    """

    def __init__(
        self,
        handlers: Handlers,
        type: str,  # noqa: A002 - the contract's word
        payload: Mapping[str, Any] | None = None,
        *,
        chance: Chance = longest,
        within: float = WITHIN,
        stop_seconds: float = STOP_SECONDS,
        **options: Unpack[SpecOptions],
    ) -> None:
        """A task that is PENDING.

        Args:
            handlers: where the type is registered.
            type: the task's.
            payload: what the handler gets, as JSON at most 64 KiB.
            chance: picks each backoff from 0 to the longest; unset, the longest.
            within: seconds that one attempt may really take.
            stop_seconds: how long a handler that was stopped is waited for.
            **options: what else the spec says, as in `tandem.client.Spec`.

        Raises:
            ValueError: no handler is registered for the type.
            InvalidRequest: the creator would refuse the payload.
        """
        if type not in handlers.types:
            raise ValueError(f"no handler for {type!r}; there are {handlers.types}")
        self.state = TaskState.PENDING
        self.now = START
        self.due_time: datetime | None = None
        self._handler = handlers[type]
        self._task = unclaimed(type, payload, **options)
        self._chance = chance
        self._within = within
        self._stop_seconds = stop_seconds
        self._status = Status()
        self._lines = Lines()
        self._crashes = 0
        self._cancel_requested = False
        self._trial: Trial | None = None
        self._began = START

    @property
    def task_id(self) -> str:
        """The handler's `ctx.task_id`, and so its `ctx.idempotency_key`."""
        return str(self._task.task_id)

    @property
    def attempts(self) -> int:
        """How many were spent."""
        return self._task.attempt

    @property
    def stages(self) -> Mapping[str, Stage]:
        """By name, in the order in which they were begun first."""
        return MappingProxyType(self._status.stages)

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those of all attempts."""
        return MappingProxyType(self._status.annotations)

    @property
    def progress(self) -> float | None:
        """What this attempt has said last; 1 once the task has succeeded."""
        return self._status.progress

    @property
    def lines(self) -> Sequence[Line]:
        """What the handler has logged, over all attempts."""
        return tuple(self._lines.kept)

    def run(self, stop: Stop | None = None, *, at: Point | None = None) -> Ended:
        """Run the next attempt to its end; the clock goes to when it is due.

        Works with and without a running loop: the handler gets a loop, or a
        thread, of its own, as under a processor.

        Args:
            stop: what is to happen to the attempt,
            at: and where in it. `stop()` does the same from a place in your code.

        Raises:
            NotReached: the attempt ended before it came to that point.
            StillRunning: it took too long; see `within`.
            ValueError: the task is final, or the stop needs a point or a timeout.
        """
        return in_thread(lambda: asyncio.run(self._run_apart(stop, at))).result()

    async def run_async(
        self, stop: Stop | None = None, *, at: Point | None = None
    ) -> Ended:
        """As `run`, with an async handler on the caller's loop, among its fixtures."""
        return await self._run(asyncio.get_running_loop(), stop, at)

    def stop(self, stop: Stop) -> None:
        """Let this happen now: for a function that the handler under test calls.

        A crash does not return. After the others the handler goes on until it
        notices, as under a processor.

        Raises:
            ValueError: no attempt is under way, or it has no timeout to be over.
        """
        if self._trial is None:
            raise ValueError("no attempt is under way")
        self._check_timeout(stop)
        self._trial.stop(stop)

    def retry(self) -> None:
        """Put a task that is FAILED or CANCELLED back to PENDING, as RetryTask does.

        Attempts go on counting, so one whose attempts are spent has one more.

        Raises:
            ValueError: it is in another state.
        """
        if self.state not in {TaskState.FAILED, TaskState.CANCELLED}:
            raise ValueError(f"the task is {self.state}: only a failed one is retried")
        self.state, self.due_time = TaskState.PENDING, self.now
        self._crashes, self._cancel_requested = 0, False

    def advance(self, span: timedelta) -> None:
        """Let this much time pass. An attempt whose timeout it meets is stopped."""
        self.now += span
        limit = timeout_of(self._task, self._handler)
        if self._trial and limit is not None and self.now - self._began >= limit:
            self._trial.stop(Stop.TIMEOUT)

    async def _run_apart(self, stop: Stop | None, at: Point | None) -> Ended:
        handlers = HandlerLoop()
        try:
            return await self._run(handlers.loop, stop, at)
        finally:
            await handlers.stop()

    async def _run(
        self,
        handler_loop: asyncio.AbstractEventLoop,
        stop: Stop | None,
        at: Point | None,
    ) -> Ended:
        self._check(stop, at)
        self._claim()
        trial = self._trial = Trial(
            self._task,
            self._handler,
            status=self._status,
            log=self._lines,
            handler_loop=handler_loop,
            stop=stop,
            at=at,
            stop_seconds=self._stop_seconds,
        )
        try:
            ending = await trial.ending(within=self._within)
        finally:
            self._trial = None
        return self._report(self._judge(trial, ending), ending)

    def _check(self, stop: Stop | None, at: Point | None) -> None:
        if self._trial is not None:
            raise ValueError("an attempt is under way")
        if self.state is not TaskState.PENDING:
            raise ValueError(f"the task is {self.state}: it has no further attempt")
        if (stop is None) != (at is None):
            raise ValueError("a stop needs a point to happen at, and a point a stop")
        if stop is not None:
            self._check_timeout(stop)

    def _check_timeout(self, stop: Stop) -> None:
        if stop is Stop.TIMEOUT and timeout_of(self._task, self._handler) is None:
            raise ValueError("neither the handler nor the spec has a timeout")

    def _claim(self) -> None:
        task = self._task
        self._task = task._replace(attempt=task.attempt + 1, claim=task.claim + 1)
        self.state = TaskState.RUNNING
        self.now = max(self.now, self.due_time or self.now)
        self.due_time = None
        self._began = self.now
        self._status.progress = None

    def _judge(self, trial: Trial, ending: Ending) -> Outcome:
        if Stop.CANCEL in trial.stops:
            self._cancel_requested = True
        outcome = judge(
            self._task,
            self._handler,
            ending=ending,
            cause=trial.cause,
            kept_bytes=trial.kept_bytes,
            chance=self._chance,
        )
        if outcome is None or trial.stops & LOSSES:
            self._crashes += 1
            outcome = crashed(self._task, self._handler, crashes=self._crashes)
        elif outcome.spends_attempt:
            self._crashes = 0
        return despite_cancel(outcome) if self._cancel_requested else outcome

    def _report(self, outcome: Outcome, ending: Ending) -> Ended:
        attempt = self._task.attempt
        if not outcome.spends_attempt:
            self._task = self._task._replace(attempt=attempt - 1)
        if outcome.state is TaskState.SUCCEEDED:
            self._status.progress = 1.0
        ended = Ended.of(outcome, ending, attempt=attempt, now=self.now)
        self.state, self.due_time = ended.state, ended.due_time
        return ended
