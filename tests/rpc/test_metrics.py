"""Metrics over HTTP, of services in this process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from tandem.handlers import Context, Handlers
from tandem.server import PortTaken
from tandem_creator.running import running_creator
from tandem_creator.settings import CreatorSettings
from tests.factories import create_task
from tests.support.cluster import Database
from tests.support.processor import LIMIT, working
from tests.support.processors import fall_silent, join, run_task
from tests.support.scrapes import Scrape, address_in, scrape
from tests.support.until import until

SOON = timedelta(milliseconds=1)


@pytest.fixture
def port_file(tmp_path: Path) -> Path:
    return tmp_path / "metrics"


def settings(port_file: Path) -> dict[str, str]:
    return {"metrics_listen": "127.0.0.1:0", "metrics_port_file": str(port_file)}


async def scraped(port_file: Path) -> Scrape:
    return await scrape(address_in(port_file))


def handlers_that_wait(started: asyncio.Event) -> Handlers:
    """For good; `started` is set once it has begun."""
    handlers, loop = Handlers(), asyncio.get_running_loop()

    @handlers.register("echo")
    async def echo(ctx: Context) -> None:
        loop.call_soon_threadsafe(started.set)
        await asyncio.Event().wait()

    return handlers


async def test_a_lost_lease_is_counted(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    port_file: Path,
) -> None:
    started = asyncio.Event()
    handlers = handlers_that_wait(started)
    await create_task(creator_pool, start_delay=SOON)

    async with working(database.processor_url, handlers, **settings(port_file)):
        async with asyncio.timeout(LIMIT):
            await started.wait()
        before = await scraped(port_file)
        await processor_pool.execute("UPDATE tandem.processors SET state = 'DEAD'")

        async def is_lost() -> bool:
            return (await scraped(port_file)).total("tandem_leases_lost_total") == 1

        await until(is_lost)
        after = await scraped(port_file)

    assert before.total("tandem_attempts_running") == 1
    assert before.total("tandem_leases_lost_total") == 0
    assert after.total("tandem_claims_total") == 1


async def test_a_dead_processor_and_its_tasks_are_counted(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    port_file: Path,
) -> None:
    dead = await join(processor_pool)
    await run_task(creator_pool, processor_pool, dead)
    await fall_silent(processor_pool, dead)
    handlers = handlers_that_wait(asyncio.Event())

    async with working(database.processor_url, handlers, **settings(port_file)):

        async def is_buried() -> bool:
            told = await scraped(port_file)
            return told.total("tandem_processors_buried_total") == 1

        await until(is_buried)
        told = await scraped(port_file)

    assert told.total("tandem_tasks_returned_total", state="PENDING") == 1


async def test_the_creator_tells_on_a_port_that_it_took_itself(
    database: Database, port_file: Path
) -> None:
    given = CreatorSettings(
        database_url=database.creator_url,
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
        metrics_port_file=str(port_file),
    )
    async with running_creator(given):
        told = await scraped(port_file)
        address = address_in(port_file)

    assert told.total("tandem_serving") == 1
    with pytest.raises(OSError, match="refused"):
        await scrape(address)


async def test_a_port_that_is_taken_is_refused_before_anything_is_served(
    database: Database,
) -> None:
    taken = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    async with taken:
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        given = CreatorSettings(
            database_url=database.creator_url,
            listen="127.0.0.1:0",
            metrics_listen=address,
        )
        with pytest.raises(PortTaken, match=address):
            async with running_creator(given):
                pass
