"""Each statement of the processor is one that its login may run, on the schema as it is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import asyncpg
import pytest

import tandem_processor

VERBS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")


def statements() -> Iterator[tuple[str, str]]:
    for module in pkgutil.iter_modules(tandem_processor.__path__):
        if module.name == "__main__":
            continue
        found = vars(importlib.import_module(f"tandem_processor.{module.name}"))
        for name, value in found.items():
            if isinstance(value, str) and value.lstrip().startswith(VERBS):
                yield f"{module.name}.{name}", value


STATEMENTS = dict(statements())


def test_the_statements_are_found() -> None:
    assert {"claims.CLAIM", "reports.REPORT", "crashes.RETURN_TASKS"} <= set(STATEMENTS)


@pytest.mark.parametrize("name", sorted(STATEMENTS))
async def test_the_processors_login_may_run(
    processor_pool: asyncpg.Pool, name: str
) -> None:
    """EXPLAIN of a generic plan also checks the privileges, as PREPARE does not."""
    async with processor_pool.acquire() as connection:
        statement = await connection.prepare(STATEMENTS[name])
        nulls = ", ".join("NULL" for _ in statement.get_parameters())
        await connection.execute(f"PREPARE tried AS {STATEMENTS[name]}")
        await connection.execute(
            f"EXPLAIN EXECUTE tried({nulls})" if nulls else "EXPLAIN EXECUTE tried"
        )
