"""What a processor tells Prometheus, read from what it counts anyway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import asyncpg
from prometheus_client import Metric

from tandem.metrics import counter, gauge, histogram, of_pools, of_server, one
from tandem.server import Server
from tandem_processor.figures import Figures
from tandem_processor.worked import Worked


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The parts that have something to tell."""

    server: Server
    pools: Sequence[asyncpg.Pool]
    worked: Worked
    concurrency: int
    figures: Figures

    async def read(self) -> Iterable[Metric]:
        """Everything as it is now; what is counted in the database, as of seconds ago."""
        counted = await self.figures.read()
        return [
            *of_server(self.server.counts, is_serving=self.server.is_serving),
            *of_pools(*self.pools),
            *_of_claims(self.worked),
            *_of_attempts(self.worked, concurrency=self.concurrency),
            *_of_burials(self.worked),
            *counted,
        ]


def _of_claims(worked: Worked) -> Iterator[Metric]:
    yield counter("tandem_claims_total", "Tasks claimed", one(worked.claimed))
    yield counter(
        "tandem_claims_refused_total",
        "Ids that were to be claimed and were not: others have the task, mostly",
        one(worked.refused),
    )
    yield counter(
        "tandem_leases_lost_total",
        "Attempts whose claim was another's before their end was kept",
        one(worked.leases_lost),
    )
    yield histogram(
        "tandem_report_batch_outcomes",
        "Outcomes of attempts that were reported together",
        {(): worked.reports},
    )


def _of_attempts(worked: Worked, *, concurrency: int) -> Iterator[Metric]:
    yield counter(
        "tandem_attempts_total",
        "Attempts that have ended",
        {(kind, outcome): n for (kind, outcome), n in worked.attempts.items()},
        ["type", "outcome"],
    )
    yield histogram(
        "tandem_attempt_duration_seconds",
        "From the start of a handler to its end",
        {(type_,): spread for type_, spread in worked.seconds.items()},
        ["type"],
    )
    yield gauge("tandem_attempts_running", "Handlers that run", one(worked.running))
    yield gauge(
        "tandem_attempts_running_max", "The most that may run at once", one(concurrency)
    )


def _of_burials(worked: Worked) -> Iterator[Metric]:
    yield counter(
        "tandem_processors_buried_total",
        "Processors that this one declared dead",
        one(worked.buried),
    )
    yield counter(
        "tandem_tasks_returned_total",
        "Their tasks, by the state that each was left in",
        {(state,): count for state, count in worked.returned.items()},
        ["state"],
    )
