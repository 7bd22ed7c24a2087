"""Runs claimed tasks, as many at once as allowed, and sees each to its report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars

from tandem.attempts import STOP_SECONDS, Attempt
from tandem.contexts import AttemptStopped
from tandem.crossing import Crossing
from tandem.desk import TaskDesk
from tandem.errors import LeaseLost, ResultConflict, StoreRefused
from tandem.handlers import Handlers
from tandem.judging import judge, unstorable
from tandem.outcomes import (
    Claimed,
    Ending,
    Outcome,
    Raised,
    StopCause,
)
from tandem.spans import Span
from tandem.states import TaskState
from tandem_processor.attempt_spans import begin_attempt, end_attempt
from tandem_processor.slots import Slots
from tandem_processor.worked import Worked

log = structlog.get_logger()

DEFECT: Final = "DEFECT"
"""How a trace calls the end of an attempt of which a defect kept the report."""

REPORT_SECONDS: Final = 10.0
"""How long a stopping process waits for its last reports to be kept."""


Held: TypeAlias = tuple[UUID, int]
"""A task, and the claim of it."""


class Report(Protocol):
    async def __call__(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What attempts are made with."""

    handlers: Handlers
    handler_loop: asyncio.AbstractEventLoop
    make_desk: Callable[[Claimed, Callable[[], None]], TaskDesk]
    report: Report
    stop_seconds: float = STOP_SECONDS
    worked: Worked = field(default_factory=Worked)


class Runner:
    """The attempts of one processor."""

    def __init__(self, workshop: Workshop, slots: Slots) -> None:
        self._workshop = workshop
        self._slots = slots
        self._here = Crossing(asyncio.get_running_loop())
        self._there = Crossing(workshop.handler_loop)
        self._handler_log = lru_cache(_handler_log)
        # By task and claim: a task may be claimed again here before it is known
        # that the report of its last claim was kept.
        self._attempts: dict[Held, Attempt] = {}
        self._watches: dict[Held, asyncio.Task[None]] = {}
        self._lost: dict[Held, Attempt] = {}

    @property
    def held(self) -> frozenset[Held]:
        """Each claim that is not yet reported."""
        return frozenset(self._attempts)

    @property
    def running(self) -> frozenset[Held]:
        """Each claim whose handler has not ended."""
        return frozenset(
            key for key, attempt in self._attempts.items() if not attempt.ended.done()
        )

    @property
    def lost(self) -> Mapping[Held, Attempt]:
        """Attempts of which a defect kept the report."""
        return MappingProxyType(dict(self._lost))

    def forget(self, lost: Iterable[Held]) -> None:
        """These are reported now, or are others'."""
        for key in lost:
            self._lost.pop(key, None)

    def start(self, claimed: Claimed) -> None:
        """Run the handler; at its end the outcome is reported."""
        key = _key(claimed)
        attempt = self._attempts[key] = self._make_attempt(claimed)
        self._slots.take(claimed)
        self._workshop.worked.running += 1
        span = attempt.span
        attempt.ended.add_done_callback(lambda _: self._free(claimed, span))
        attempt.launch()
        watch = asyncio.create_task(self._watch_and_trace(attempt))
        self._watches[key] = watch
        watch.add_done_callback(partial(self._let_go, claimed))

    def _make_attempt(self, claimed: Claimed) -> Attempt:
        # Nothing here may hold the attempt that it is held by: what no circle
        # keeps is gone at its end, without the collector.
        lose = partial(
            self.stop, claimed.task_id, StopCause.LEASE_LOST, claim=claimed.claim
        )
        return Attempt(
            claimed,
            self._workshop.handlers[claimed.type],
            desk=self._workshop.make_desk(claimed, lose),
            here=self._here,
            there=self._there,
            log=self._handler_log(claimed.type, claimed.attempt),
            bind=partial(bind_ids, claimed),
            span=begin_attempt(claimed),
        )

    def _let_go(self, claimed: Claimed, watch: asyncio.Task[None]) -> None:
        self._watches.pop(_key(claimed), None)
        if not watch.cancelled() and (error := watch.exception()):
            # The next round reports it as failed: it finds that nobody runs it.
            _line(claimed).error("attempt lost by a defect", exc_info=error)

    def _free(self, claimed: Claimed, span: Span) -> None:
        span.mark("handler ended")
        self._workshop.worked.running -= 1
        self._slots.free_one(claimed)

    def stop(self, task_id: UUID, cause: StopCause, *, claim: int) -> None:
        """Stop that claim of the task, if its handler runs here."""
        attempt = self._attempts.get((task_id, claim))
        if attempt is not None:
            attempt.stop(cause)

    async def drain(self, grace: float) -> None:
        """Let handlers end within the grace; then stop them and give their tasks back."""
        await self._wait(grace)
        for attempt in list(self._attempts.values()):
            attempt.stop(StopCause.DRAIN)
        await self._wait(self._workshop.stop_seconds + REPORT_SECONDS)

    async def abandon(self) -> None:
        """Stop every handler. Nothing more is reported: the claims are others' now."""
        for attempt in list(self._attempts.values()):
            attempt.stop(StopCause.LEASE_LOST)
        watches = list(self._watches.values())
        self._workshop.worked.leases_lost += len(watches)
        for watch in watches:
            watch.cancel()
        for watch in watches:
            with suppress(asyncio.CancelledError):
                await watch

    async def _wait(self, seconds: float) -> None:
        if self._watches:
            await asyncio.wait(list(self._watches.values()), timeout=seconds)

    async def _watch_and_trace(self, attempt: Attempt) -> None:
        # A watch that is cancelled has lost its claim to others.
        outcome = LeaseLost.reason
        try:
            outcome = await self._watch(attempt)
        except Exception:
            outcome = DEFECT
            raise
        finally:
            end_attempt(attempt.span, outcome)

    async def _watch(self, attempt: Attempt) -> str:
        """See the attempt to its report. Answers the word that the log has for its end."""
        claimed = attempt.claimed
        key = _key(claimed)
        start = time.monotonic()
        try:
            ending = await self._ending(attempt)
            seconds = time.monotonic() - start
            outcome = await self._report(attempt, ending)
        except Exception:
            # Noted before the attempt is let go of: no round may fall in between.
            self._lost[key] = attempt
            attempt.stop(StopCause.LEASE_LOST)
            raise
        finally:
            attempt.desk.close()
            del self._attempts[key]
            self._slots.clear(claimed)
        self._workshop.worked.end(claimed.type, outcome, seconds)
        _line(claimed).info(
            "attempt",
            type=claimed.type,
            attempt=claimed.attempt,
            claim=claimed.claim,
            outcome=outcome,
            ms=round(seconds * 1000, 3),
        )
        return outcome

    async def _ending(self, attempt: Attempt) -> Ending:
        """What the handler came to; None where it does not end although it was asked to."""
        ending = await attempt.ending(self._workshop.stop_seconds)
        if ending is None:
            claimed = attempt.claimed
            _line(claimed).warning(
                "handler goes on after it was stopped", type=claimed.type
            )
        return ending

    async def _report(self, attempt: Attempt, ending: Ending) -> str:
        """Have the outcome kept. Answers the word that the log has for it."""
        claimed, handler = attempt.claimed, attempt.handler
        outcome = judge(
            claimed,
            handler,
            ending=ending,
            cause=attempt.cause,
            kept_bytes=attempt.desk.kept_bytes,
        )
        if outcome is None:
            return LeaseLost.reason
        if outcome.state is not TaskState.SUCCEEDED:
            # A success is progress 1.
            with suppress(AttemptStopped):
                await attempt.desk.settle()
        if isinstance(ending, Raised) and outcome.reason:
            _line(claimed).warning(
                "handler failed", type=claimed.type, exc_info=ending.error
            )
        try:
            await self._keep(attempt, outcome)
        except (LeaseLost, ResultConflict) as error:
            _line(claimed).warning("report refused", reason=error.reason)
            return error.reason
        attempt.span.note({"tandem.state": outcome.state.value})
        if outcome.state is TaskState.PENDING:
            self._slots.look_again()
        return outcome.reason or _word(outcome)

    async def _keep(self, attempt: Attempt, outcome: Outcome) -> None:
        try:
            await self._workshop.report(outcome)
        except StoreRefused as error:
            _line(attempt.claimed).warning(
                "result refused by the database", fault=str(error)
            )
            failed = unstorable(
                attempt.claimed, attempt.handler, "the database refused the result"
            )
            await self._workshop.report(failed)


def _key(claimed: Claimed) -> Held:
    return claimed.task_id, claimed.claim


def bind_ids(claimed: Claimed) -> None:
    """Every line that is logged from here on names the task."""
    bind_contextvars(**_ids(claimed))


def _line(claimed: Claimed) -> structlog.stdlib.BoundLogger:
    bound: structlog.stdlib.BoundLogger = log.bind(**_ids(claimed))
    return bound


def _ids(claimed: Claimed) -> dict[str, str]:
    return {"task_id": str(claimed.task_id), "request_id": str(claimed.request_id)}


def _handler_log(type_: str, attempt: int) -> structlog.stdlib.BoundLogger:
    bound: structlog.stdlib.BoundLogger = log.bind(type=type_, attempt=attempt)
    return bound


def _word(outcome: Outcome) -> str:
    return outcome.state if outcome.spends_attempt else "GIVEN_BACK"
