"""Each statement of the janitor is one that its login may run, on the schema as it is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import asyncpg

from tandem import pruning

VERBS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")


def statements() -> Iterator[tuple[str, str]]:
    for module in pkgutil.iter_modules(pruning.__path__):
        found = vars(importlib.import_module(f"{pruning.__name__}.{module.name}"))
        for name, value in found.items():
            if isinstance(value, str) and value.lstrip().startswith(VERBS):
                yield f"{module.name}.{name}", value


async def test_the_janitors_login_may_run_each_of_them(
    janitor_pool: asyncpg.Pool,
) -> None:
    """EXPLAIN of a generic plan also checks the privileges, as PREPARE does not."""
    tried = dict(statements())
    for name, sql in tried.items():
        async with janitor_pool.acquire() as connection:
            statement = await connection.prepare(sql, name=name)
            nulls = ", ".join("NULL" for _ in statement.get_parameters())
            given = f"({nulls})" if nulls else ""
            await connection.execute(f'EXPLAIN EXECUTE "{name}"{given}')

    assert {"strips.STRIP", "expiry.DELETE_TASKS", "walk.WALK"} <= set(tried)
