"""What this process has created and refused, and how its batches went."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import structlog

from tandem import calls
from tandem.errors import StoreRefused, StoreUnavailable, TandemError
from tandem.measures import BATCH_BOUNDS, CALL_BOUNDS, Spread

log = structlog.get_logger()

REPORT_SECONDS: Final = 10.0
"""Between two lines in the log, while there is anything to report."""

DEFECT: Final = "DEFECT"


@dataclass(slots=True)
class Tally:
    """Values of one kind: how many, their sum, the largest."""

    count: int = 0
    total: float = 0.0
    largest: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.largest = max(self.largest, value)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


@dataclass(slots=True)
class Flow:
    """How micro-batches went: one value for each."""

    size: Tally = field(default_factory=Tally)
    """Creates in it."""

    wait: Tally = field(default_factory=Tally)
    """Seconds that its first create waited for it."""

    left: Tally = field(default_factory=Tally)
    """Creates that were left waiting when it was sent."""

    def add(self, *, size: int, wait: float, left: int) -> None:
        self.size.add(size)
        self.wait.add(wait)
        self.left.add(left)


@dataclass(slots=True)
class Statistics:
    """Counted since the process started. One line in the log tells of it now and then."""

    made: Counter[str] = field(default_factory=Counter)
    """Answered creates, by outcome: CREATED, REPLAYED, EXISTING."""

    refused: Counter[str] = field(default_factory=Counter)
    """Refused or failed calls, by reason."""

    constraint_violations: int = 0
    """Statements that a constraint refused. Racing ids never count here."""

    batches: Spread = field(default_factory=lambda: Spread(BATCH_BOUNDS))
    """Creates in each batch that a caller made and that was written."""

    sizes: Spread = field(default_factory=lambda: Spread(BATCH_BOUNDS))
    """Creates in each micro-batch."""

    waits: Spread = field(default_factory=lambda: Spread(CALL_BOUNDS))
    """Seconds that the first create of each micro-batch waited for it."""

    recent: Flow = field(default_factory=Flow)
    """Since the last line."""

    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def call(self) -> _Call:
        """Counts a call that fails in its block, by its reason."""
        return _Call(self)

    def failed(self, error: Exception) -> None:
        """A call ended with this."""
        self.refused[_reason(error)] += 1
        if isinstance(error, asyncpg.IntegrityConstraintViolationError):
            self.constraint_violations += 1
        self._changed.set()

    def answered(self, outcome: str, count: int = 1) -> None:
        if count:
            self.made[outcome] += count
            self._changed.set()

    def flushed(self, *, size: int, wait: float, left: int) -> None:
        """A micro-batch was sent."""
        self.sizes.add(size)
        self.waits.add(wait)
        self.recent.add(size=size, wait=wait, left=left)

    def wrote_batch(self, size: int) -> None:
        self.batches.add(size)

    async def run(self) -> None:
        """Report, at most once in REPORT_SECONDS, until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(REPORT_SECONDS)
            self.report()

    def report(self) -> None:
        """One line with everything, if there was anything since the last."""
        if not self._changed.is_set():
            return
        self._changed.clear()
        log.info("created so far", **self.figures())
        self.recent = Flow()

    def figures(self) -> dict[str, Any]:
        """Totals since the start; of micro-batches, those since the last line."""
        recent = self.recent
        return {
            "made": dict(self.made),
            "refused": dict(self.refused),
            "constraint_violations": self.constraint_violations,
            "batches": self.batches.count,
            "flushes": recent.size.count,
            "flush_size_mean": round(recent.size.mean, 1),
            "flush_size_max": int(recent.size.largest),
            "wait_ms_mean": round(recent.wait.mean * 1000, 3),
            "wait_ms_max": round(recent.wait.largest * 1000, 3),
            "waiting_max": int(recent.left.largest),
        }


# A class: the generator of a contextmanager takes six times as long, and every call
# passes here.
@dataclass(slots=True)
class _Call:
    statistics: Statistics

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            self.statistics.failed(error)


def _reason(error: Exception) -> str:
    if isinstance(error, TandemError):
        return error.reason
    if isinstance(error, calls.STORE_REFUSED):
        return StoreRefused.reason
    if isinstance(error, calls.STORE_AWAY):
        return StoreUnavailable.reason
    return DEFECT
