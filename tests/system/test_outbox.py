"""A caller that keeps an outbox, as a process, dies by SIGKILL wherever it hurts."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tandem.client import Outcome
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.proxy import Proxy, running_proxy
from tests.support.running_pair import ROOT, handlers_path
from tests.support.shops import Shop, postgres_shop, sqlite_shop
from tests.support.until import until

EXAMPLE = ROOT / "examples/outbox.py"
PAGE = ROOT / "docs/outbox.md"
LIMIT = 60.0
COUNT = "SELECT count(*) FROM tandem.tasks"


@pytest.fixture
async def path(database: Database) -> AsyncIterator[Proxy]:
    """The way to a creator in this process."""
    async with running_proxy() as path, served(database.creator_url, proxy=path):
        yield path


async def test_the_example_saves_an_order_and_creates_its_task(
    path: Proxy, owner_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    saved, relayed = await output_of(EXAMPLE, tmp_path / "shop.db", "7", path=path)

    assert (saved, relayed.split()[0]) == ("saved 7", "CREATED")
    assert await output_of(EXAMPLE, tmp_path / "shop.db", path=path) == []
    assert await owner_pool.fetchval(COUNT) == 1


async def test_p1_a_caller_killed_between_its_commit_and_the_relay_has_one_task(
    path: Proxy, owner_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    shop = tmp_path / "shop.db"
    path.cut()
    async with started(EXAMPLE, shop, "7", path=path) as process:
        assert await line_of(process) == "saved 7"
        process.kill()
    assert (orders_in(shop), await owner_pool.fetchval(COUNT)) == (["7"], 0)
    path.heal()

    (relayed,) = await output_of(EXAMPLE, shop, path=path)

    assert relayed.startswith("CREATED ")
    assert await output_of(EXAMPLE, shop, path=path) == []
    assert await owner_pool.fetchval(COUNT) == 1


async def test_the_code_in_the_page_on_the_outbox_runs(
    path: Proxy, owner_pool: asyncpg.Pool, database: Database, tmp_path: Path
) -> None:
    text = PAGE.read_text().replace("shop.db", str(tmp_path / "shop.db"))
    text = text.replace("127.0.0.1:7101", path.address)
    text = text.replace("postgresql://shop@localhost/shop", database.owner_url)
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    questions = re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    module = await asyncio.to_thread(run_blocks, "\n".join(blocks), questions)
    async with database.admin() as admin:
        await admin.execute("GRANT CREATE ON SCHEMA public TO tandem_owner")
    await until(lambda: owner_pool.fetchval(f"{COUNT} HAVING count(*) = 2"))
    module["relay"].stop()
    await asyncio.to_thread(module["thread"].join, LIMIT)
    module["client"].close()
    await module["save_and_relay"]()

    assert (len(blocks), len(questions)) == (4, 2)
    assert await owner_pool.fetchval(COUNT) == 3


def run_blocks(code: str, questions: list[str]) -> dict[str, Any]:
    module: dict[str, Any] = {}
    exec(code, module)
    with closing(module["shop"]) as shop:
        for sql in questions:
            shop.execute(sql)
    return module


@pytest.mark.parametrize("kind", ["sqlite3", "psycopg"])
async def test_p1_a_relay_killed_between_the_answer_and_its_commit_makes_no_second_task(
    path: Proxy, owner_pool: asyncpg.Pool, database: Database, tmp_path: Path, kind: str
) -> None:
    async with shop_of(kind, database, tmp_path) as (shop, where, table):
        await shop.save(1)
        relay = ("-m", "tests.support.dying_relay", kind, where, table, path.address)
        async with started(*relay, path=path) as process:
            outcome, task_id = (await line_of(process)).split()
            assert await process.wait() == -9
        assert (outcome, len(await shop.rows())) == ("CREATED", 1)

        async def relayed() -> list[tuple[Outcome, str]]:
            # Postgres lets go of the row once it has seen that its client is gone.
            created = (await shop.relay(path.address)).created
            return [(each.outcome, each.task.task_id) for each in created]

        assert await until(relayed) == [(Outcome.REPLAYED, task_id)]
        assert (await shop.rows(), await owner_pool.fetchval(COUNT)) == ([], 1)


@asynccontextmanager
async def shop_of(
    kind: str, database: Database, folder: Path
) -> AsyncIterator[tuple[Shop, str, str]]:
    """A shop, and where a process finds its database and table."""
    if kind == "sqlite3":
        yield sqlite_shop(folder), str(folder / "shop.db"), "tandem_outbox"
        return
    async with postgres_shop(database, kind) as shop:
        yield shop, database.owner_url, "shop.tandem_outbox"


@asynccontextmanager
async def started(*arguments: str | Path, path: Proxy) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=PIPE,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": handlers_path(),
            "TANDEM_CREATOR_ADDRESS": path.address,
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        return (await process.stdout.readline()).decode().strip()


async def output_of(*arguments: str | Path, path: Proxy) -> list[str]:
    async with started(*arguments, path=path) as process, asyncio.timeout(LIMIT):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().splitlines()


def orders_in(shop: Path) -> list[str]:
    with closing(sqlite3.connect(shop)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM orders")]
