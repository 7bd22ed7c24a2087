"""The pool of a service says what it meets, even where nobody waits for it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from tandem.starting import open_pool
from tandem_creator.settings import CreatorSettings
from tests.support.cluster import Database


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    loop = asyncio.get_running_loop()
    settings = CreatorSettings(database_url=database.creator_url)
    async with open_pool(settings, size=1, application_name="tandem-tests") as opened:
        yield opened
    loop.set_exception_handler(None)


async def fail_unheard(error: Exception) -> None:
    """As the pool does when it cleans a connection whose user was cancelled."""

    async def clean() -> None:
        raise error

    await asyncio.wait({asyncio.create_task(clean())})
    gc.collect()


@pytest.mark.parametrize(
    "error", [asyncpg.ConnectionDoesNotExistError("lost"), TimeoutError()]
)
async def test_a_connection_lost_behind_a_cancelled_caller_is_an_outage(
    pool: asyncpg.Pool, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    with capture_logs() as lines:
        await fail_unheard(error)

    told = {"event": "database unavailable", "error": type(error).__name__}
    assert lines == [told | {"log_level": "warning"}]
    assert caplog.records == []


async def test_anything_else_that_nobody_hears_is_an_error(
    pool: asyncpg.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    await fail_unheard(LookupError("a defect"))

    assert [record.levelname for record in caplog.records] == ["ERROR"]
