"""The whole demo: both services, callers in trouble, a crash, and the proof."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg

from tandem.database import ready_database
from tandem.demo import proof, site
from tandem.demo.blog_post import STAGES
from tandem.demo.callers import Callers, Commission
from tandem.demo.crash import Crash, crash_one
from tandem.demo.plan import Plan, Report, Show
from tandem.demo.tally import Tally
from tandem.demo.watching import Reader, Sight
from tandem.demo.words import counted
from tandem.pair import ANY_PORT, Pair
from tandem.postgres.pool import create_pool

PROJECT: Final = "demo"
HANDLERS: Final = "tandem.demo.blog_post:handlers"

CREATORS: Final = 2
PROCESSORS: Final = 2

# A dead processor is to be noticed while somebody watches.
HASTE: Final = {
    "TANDEM_CONCURRENCY": "4",
    "TANDEM_HEARTBEAT": "0.5",
    "TANDEM_DEAD_AFTER": "2",
    "TANDEM_GRACE": "5",
}

SLOWEST_PACE: Final = 0.3
WORK_SECONDS: Final = 8.0
"""Seconds before each stage, over all articles: pages alone take milliseconds."""

# The demo's database goes when it ends.
POSTGRES_SETTINGS: Final = {"fsync": "off", "full_page_writes": "off"}


async def publish(plan: Plan, show: Show) -> Report:
    """Publish the articles, and prove what became of each.

    Raises:
        DidNotServe: a service did not come up.
    """
    start = time.monotonic()
    site.prepare(plan.output)
    with (
        tempfile.TemporaryDirectory(prefix="tandem-demo-") as folder,
        plan.log.open("w", encoding="utf-8") as log,
    ):

        def write(label: str, line: str) -> None:
            log.write(f"{label} {line}\n")

        show.say("starting PostgreSQL, two creators and two processors")
        database = ready_database(Path(folder), settings=POSTGRES_SETTINGS)
        async with (
            database as logins,
            Pair(logins, handlers=HANDLERS, on_line=write) as pair,
            await create_pool(
                logins.processor_url, size=2, application_name="tandem-demo"
            ) as pool,
        ):
            await _start(pair)
            run = Run(plan=plan, show=show, pair=pair, pool=pool)
            return await run.publish(start)


async def _start(pair: Pair) -> None:
    environ = {**HASTE, "TANDEM_LOG": "json", "TANDEM_QUEUES": "default"}
    # Each processor reads at its own address, whatever this shell is set to.
    environ["TANDEM_PROCESSOR_ADDRESS"] = ""
    await pair.start_creators([ANY_PORT] * CREATORS, environ=environ)
    await pair.start_processors([ANY_PORT] * PROCESSORS, environ=environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that stands while the articles are published."""

    plan: Plan
    show: Show
    pair: Pair
    pool: asyncpg.Pool

    async def publish(self, start: float) -> Report:
        """Do it all. `start` is when the demo began, by the monotonic clock."""
        callers = Callers(
            [p.address for p in self.pair.creators], _commission(self.plan)
        )
        reader = Reader(self.pair.processor_address, PROJECT)
        try:
            crash = await self._work(callers, reader)
            results = await reader.results()
        finally:
            await reader.close()
        site.finish(self.plan.output, self.plan.folder.absolute().name, results)
        return Report(
            tally=callers.tally,
            work=await proof.count_work(self.pool, PROJECT),
            crash=crash,
            seconds=time.monotonic() - start,
            violations=[
                *_uncrashed(crash),
                *await self._violations(callers.tally),
            ],
        )

    async def _work(self, callers: Callers, reader: Reader) -> Crash | None:
        """Create and watch, and kill a processor meanwhile, until all is final."""
        crashing = asyncio.create_task(self._crash())
        try:
            # What is late is told by the proof, article by article.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.plan.limit):
                    count = len(self.plan.articles)
                    articles = counted(count, "article")
                    self.show.say(f"callers in trouble create {articles}")
                    await callers.create(self.plan.articles)
                    await reader.until_final(count, seen=self._seen)
            return crashing.result() if crashing.done() else None
        finally:
            crashing.cancel()

    def _seen(self, sight: Sight) -> None:
        count = len(self.plan.articles)
        self.show.sight(sight, articles=count, stages=count * len(STAGES))

    async def _crash(self) -> Crash:
        crash = await crash_one(self.pool, self.pair.processors)
        tasks = counted(len(crash.task_ids), "half-done article")
        self.show.say(f"{crash.label} was killed with {tasks}")
        return crash

    async def _violations(self, tally: Tally) -> list[str]:
        return await proof.violations(
            self.pool,
            PROJECT,
            articles=self.plan.articles,
            tally=tally,
            output=self.plan.output,
        )


def _uncrashed(crash: Crash | None) -> list[str]:
    """A demo that nothing happened to proves nothing of what it is for."""
    if crash is not None:
        return []
    return ["no processor was killed: none was seen to hold half-done articles"]


def _commission(plan: Plan) -> Commission:
    return Commission(
        run=str(uuid4()),
        project=PROJECT,
        folder=plan.folder.resolve(),
        output=plan.output.resolve(),
        pace=round(min(SLOWEST_PACE, WORK_SECONDS / len(plan.articles)), 4),
    )
