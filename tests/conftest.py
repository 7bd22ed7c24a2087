"""Fixtures every test may use. The database is always a real one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator

# Read by grpc as it is imported. Its fork handlers break commands that are run
# under another account while a server or channel is open in this process.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import asyncpg
import pytest
import uvloop

from tandem.access import ANONYMOUS, current_caller
from tandem.postgres.pool import create_pool
from tests.support.cluster import (
    Cluster,
    Database,
    cloned_database,
    migrated_template,
    running_cluster,
)
from tests.support.postgres_log import PostgresLog

POOL_SIZE = 10


def pytest_asyncio_loop_factories() -> dict[
    str, Callable[[], asyncio.AbstractEventLoop]
]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="session")
async def template(cluster: Cluster) -> AsyncIterator[str]:
    async with migrated_template(cluster) as name:
        yield name


@pytest.fixture
async def database(cluster: Cluster, template: str) -> AsyncIterator[Database]:
    """A migrated database for this test alone."""
    async with cloned_database(cluster, template) as clone:
        yield clone


@pytest.fixture
async def owner_pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await _pool(database.owner_url) as pool:
        yield pool


@pytest.fixture
async def creator_pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """Logged in as the creator: `SET ROLE` from a stronger login could be undone."""
    async with await _pool(database.creator_url) as pool:
        yield pool


@pytest.fixture
async def processor_pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await _pool(database.processor_url) as pool:
        yield pool


@pytest.fixture
async def janitor_pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await _pool(database.janitor_url) as pool:
        yield pool


@pytest.fixture
def postgres_log(cluster: Cluster) -> PostgresLog:
    """What the server logs from here on."""
    return PostgresLog(cluster.log)


@pytest.fixture
def anybody() -> Iterator[None]:
    """What is called without a service is called by whoever may do everything."""
    before = current_caller.set(ANONYMOUS)
    yield
    current_caller.reset(before)


async def _pool(url: str) -> asyncpg.Pool:
    return await create_pool(url, size=POOL_SIZE, application_name="tandem-tests")
