"""Runs claimed tasks, as many at once as allowed, and sees each to its report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from uuid import UUID

import structlog

from tandem.attempts import STOP_SECONDS, Attempt
from tandem.contexts import AttemptStopped
from tandem.crossing import Crossing
from tandem.desk import TaskDesk
from tandem.errors import LeaseLost, ResultConflict, StoreRefused, TandemError
from tandem.handlers import Handlers
from tandem.happening import happens
from tandem.judging import judge, unstorable
from tandem.outcomes import (
    Claimed,
    Ending,
    Outcome,
    Raised,
    StopCause,
)
from tandem.states import TaskState
from tandem_processor.attempt_lines import bind_ids, handler_log, line
from tandem_processor.attempt_spans import begin_attempt, end_attempt
from tandem_processor.reporter import Reporter
from tandem_processor.slots import Slots
from tandem_processor.worked import Worked

log = structlog.get_logger()

DEFECT: Final = "DEFECT"
"""How a trace calls the end of an attempt of which a defect kept the report."""

REPORT_SECONDS: Final = 10.0
"""How long a stopping process waits for its last reports to be kept."""


Held: TypeAlias = tuple[UUID, int]
"""A task, and the claim of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What attempts are made with."""

    handlers: Handlers
    handler_loop: asyncio.AbstractEventLoop
    make_desk: Callable[[Claimed, Callable[[], None]], TaskDesk]
    reporter: Reporter
    stop_seconds: float = STOP_SECONDS
    worked: Worked = field(default_factory=Worked)


class Runner:
    """The attempts of one processor."""

    def __init__(self, workshop: Workshop, slots: Slots) -> None:
        self._workshop = workshop
        self._slots = slots
        self._here = Crossing(asyncio.get_running_loop())
        self._there = Crossing(workshop.handler_loop)
        self._log = log.bind()
        self._handler_log = lru_cache(handler_log)
        # By task and claim: a task may be claimed again here before it is known
        # that the report of its last claim was kept.
        self._attempts: dict[Held, Attempt] = {}
        self._reports: dict[Held, asyncio.Task[str]] = {}
        self._lost: dict[Held, Attempt] = {}
        self._unlaunched: set[Held] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def held(self) -> frozenset[Held]:
        """Each claim that is not yet reported."""
        return frozenset(self._attempts)

    @property
    def running(self) -> frozenset[Held]:
        """Each claim whose handler has not ended."""
        return frozenset(
            key for key, attempt in self._attempts.items() if attempt.is_running
        )

    @property
    def lost(self) -> Mapping[Held, Attempt]:
        """Attempts of which a defect kept the report."""
        return MappingProxyType(dict(self._lost))

    def forget(self, lost: Iterable[Held]) -> None:
        """These are reported now, or are others'."""
        for key in lost:
            attempt = self._lost.pop(key, None)
            if attempt is not None and key in self._unlaunched:
                self._unlaunched.remove(key)
                self.handler_ended(attempt)

    def start(self, tasks: Sequence[Claimed]) -> None:
        """Run the handler of each; at its end the outcome is reported."""
        if not tasks:
            return
        attempts = [self._make_attempt(claimed) for claimed in tasks]
        for attempt in attempts:
            self._attempts[_key(attempt.claimed)] = attempt
            self._slots.take(attempt.claimed)
        self._workshop.worked.running += len(attempts)
        self._is_idle.clear()
        # Their turn is the loop's next one: the next claim is sent before.
        self._here.loop.call_soon(self._launch_all, attempts)

    def _launch_all(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._launch(attempt)

    def _launch(self, attempt: Attempt) -> None:
        try:
            attempt.launch()
        except Exception as error:  # noqa: BLE001 - whatever it is, a round has to know
            # Its slot stays taken until a round has told of it, so that what keeps
            # handlers from starting does not use up task after task.
            self._unlaunched.add(_key(attempt.claimed))
            self._lose(attempt, error)

    def _make_attempt(self, claimed: Claimed) -> Attempt:
        # Nothing here may hold the attempt that it is held by: what no circle
        # keeps is gone at its end, without the collector.
        lose = partial(
            self.stop, claimed.task_id, StopCause.LEASE_LOST, claim=claimed.claim
        )
        return Attempt(
            claimed,
            self._workshop.handlers[claimed.type],
            watcher=self,
            desk=self._workshop.make_desk(claimed, lose),
            here=self._here,
            there=self._there,
            log=self._handler_log(claimed.type, claimed.attempt),
            bind=partial(bind_ids, claimed),
            span=begin_attempt(claimed),
            stop_seconds=self._workshop.stop_seconds,
        )

    def stop(self, task_id: UUID, cause: StopCause, *, claim: int) -> None:
        """Stop that claim of the task, if its handler runs here."""
        attempt = self._attempts.get((task_id, claim))
        if attempt is not None:
            attempt.stop(cause)

    async def drain(self, grace: float) -> None:
        """Let handlers end within the grace; then stop them and give their tasks back."""
        await happens(self._is_idle, grace)
        for attempt in list(self._attempts.values()):
            attempt.stop(StopCause.DRAIN)
        await happens(self._is_idle, self._workshop.stop_seconds + REPORT_SECONDS)

    async def abandon(self) -> None:
        """Stop every handler. Nothing more is reported: the claims are others' now."""
        self.forget(self.lost)
        attempts, reports = list(self._attempts.values()), list(self._reports.values())
        self._workshop.worked.leases_lost += len(attempts)
        for attempt in attempts:
            attempt.stop(StopCause.LEASE_LOST)
            self._let_go(attempt, LeaseLost.reason)
        for report in reports:
            report.cancel()
        if reports:
            await asyncio.wait(reports)

    def handler_ended(self, attempt: Attempt) -> None:
        """Its slot is free again, whatever becomes of the report."""
        attempt.span.mark("handler ended")
        self._workshop.worked.running -= 1
        self._slots.free_one(attempt.claimed, seconds=attempt.seconds)

    def attempt_ended(self, attempt: Attempt, ending: Ending) -> None:
        """Have what it came to reported."""
        if self._holds(attempt):
            try:
                self._begin_report(attempt, ending)
            except Exception as error:  # noqa: BLE001 - whatever it is, a round has to know
                self._lose(attempt, error)

    def _holds(self, attempt: Attempt) -> bool:
        """Whether it is this one's to report: it was neither abandoned nor lost."""
        return self._attempts.get(_key(attempt.claimed)) is attempt

    def _begin_report(self, attempt: Attempt, ending: Ending) -> None:
        outcome = _judge(attempt, ending)
        if outcome is not None and outcome.state is TaskState.SUCCEEDED:
            # Nearly every attempt ends so, and does without a task of its own.
            then = partial(self._note_success, attempt, outcome)
            self._workshop.reporter.post(outcome, then)
        else:
            self._see_off(attempt, self._report(attempt, ending, outcome))

    def _note_success(
        self, attempt: Attempt, outcome: Outcome, refusal: TandemError | None
    ) -> None:
        if not self._holds(attempt):
            return
        if refusal is None:
            attempt.span.note({"tandem.state": outcome.state.value})
            self._conclude(attempt, outcome.state)
        else:
            self._see_off(attempt, self._kept(attempt, outcome, refusal))

    def _see_off(self, attempt: Attempt, steps: Coroutine[Any, Any, str]) -> None:
        report = asyncio.create_task(steps)
        self._reports[_key(attempt.claimed)] = report
        report.add_done_callback(partial(self._note_end, attempt))

    def _note_end(self, attempt: Attempt, report: asyncio.Task[str]) -> None:
        # Asked for its error also where nobody needs it, or asyncio tells of it.
        error = None if report.cancelled() else report.exception()
        if report.cancelled() or not self._holds(attempt):
            return
        if error is None:
            self._conclude(attempt, report.result())
        else:
            self._lose(attempt, error)

    async def _report(
        self, attempt: Attempt, ending: Ending, outcome: Outcome | None
    ) -> str:
        """Have the outcome kept. Answers the word that the log has for it."""
        claimed = attempt.claimed
        if ending is None:
            line(claimed).warning(
                "handler goes on after it was stopped", type=claimed.type
            )
        if outcome is None:
            return LeaseLost.reason
        # A success needs none of this: it is progress 1.
        with suppress(AttemptStopped):
            await attempt.desk.settle()
        if isinstance(ending, Raised) and outcome.reason:
            line(claimed).warning(
                "handler failed", type=claimed.type, exc_info=ending.error
            )
        return await self._kept(attempt, outcome)

    async def _kept(
        self, attempt: Attempt, outcome: Outcome, refusal: TandemError | None = None
    ) -> str:
        """Wait until the outcome is kept, or another one in its place. Answers the word.

        The refusal is what a report of it has already met.
        """
        try:
            try:
                if refusal is not None:
                    raise refusal
                await self._workshop.reporter.report(outcome)
            except StoreRefused as error:
                outcome = _refused(attempt, error)
                await self._workshop.reporter.report(outcome)
        except (LeaseLost, ResultConflict) as error:
            line(attempt.claimed).warning("report refused", reason=error.reason)
            return error.reason
        attempt.span.note({"tandem.state": outcome.state.value})
        if outcome.state is TaskState.PENDING:
            self._slots.look_again()
        return outcome.reason or _word(outcome)

    def _conclude(self, attempt: Attempt, word: str) -> None:
        """The attempt is over, and the log has this word for its end."""
        self._let_go(attempt, word)
        claimed = attempt.claimed
        self._workshop.worked.end(claimed.type, word, attempt.seconds)
        self._log.info(
            "attempt",
            task_id=str(claimed.task_id),
            request_id=str(claimed.request_id),
            type=claimed.type,
            attempt=claimed.attempt,
            claim=claimed.claim,
            outcome=word,
            ms=round(attempt.seconds * 1000, 3),
        )

    def _lose(self, attempt: Attempt, error: BaseException) -> None:
        """A defect keeps the report. The next round tells of it: nobody runs the task."""
        self._lost[_key(attempt.claimed)] = attempt
        attempt.stop(StopCause.LEASE_LOST)
        self._let_go(attempt, DEFECT)
        line(attempt.claimed).error("attempt lost by a defect", exc_info=error)

    def _let_go(self, attempt: Attempt, word: str) -> None:
        key = _key(attempt.claimed)
        attempt.desk.close()
        self._reports.pop(key, None)
        del self._attempts[key]
        self._slots.clear(attempt.claimed)
        end_attempt(attempt.span, word)
        if not self._attempts:
            self._is_idle.set()


def _judge(attempt: Attempt, ending: Ending) -> Outcome | None:
    return judge(
        attempt.claimed,
        attempt.handler,
        ending=ending,
        cause=attempt.cause,
        kept_bytes=attempt.desk.kept_bytes,
    )


def _refused(attempt: Attempt, error: StoreRefused) -> Outcome:
    """What is reported in place of a result that the database refused."""
    line(attempt.claimed).warning("result refused by the database", fault=str(error))
    why = "the database refused the result"
    return unstorable(attempt.claimed, attempt.handler, why)


def _key(claimed: Claimed) -> Held:
    return claimed.task_id, claimed.claim


def _word(outcome: Outcome) -> str:
    return outcome.state if outcome.spends_attempt else "GIVEN_BACK"
