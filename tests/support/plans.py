"""How Postgres ran a statement: by which indexes, and over how much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import uuid4

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Single: TypeAlias = asyncpg.Connection | PoolConnectionProxy

WIDE: Final = frozenset({"tasks", "task_status", "task_stages", "task_outputs"})
"""Tables that grow with the number of tasks."""

EXPLAIN: Final = "EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) EXECUTE"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a statement did."""

    indexes: frozenset[str]
    """Those of the wide tables that it looked into by a condition."""

    scanned: frozenset[str]
    """Wide tables, and indexes of theirs, that it would read from end to end."""

    blocks: int
    """Of 8 KiB, read in all."""


async def explain(
    connection: Single,
    sql: str,
    *args: Any,
    mode: str,
) -> Plan:
    """Run the statement as `mode` has it planned, and undo it.

    Args:
        connection: of the login that runs it, with the settings of its pool.
        sql: with parameters.
        args: the parameters.
        mode: `force_generic_plan`: once for all arguments; `force_custom_plan`: for these.
    """
    undone = connection.transaction()
    await undone.start()
    try:
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        name = f"tried_{uuid4().hex}"
        statement = await connection.prepare(sql, name=name)
        types = [parameter.name for parameter in statement.get_parameters()]
        given = [
            await _literal(connection, type_, value)
            for type_, value in zip(types, args, strict=True)
        ]
        arguments = f"({', '.join(given)})" if given else ""
        text = await connection.fetchval(f"{EXPLAIN} {name}{arguments}")
    finally:
        await undone.rollback()
    return _read(json.loads(text)[0]["Plan"])


async def _literal(connection: Single, type_: str, value: Any) -> str:
    quoted = await connection.fetchval(
        f"SELECT quote_nullable($1::{type_}::text)", value
    )
    return f"{quoted}::{type_}"


def _read(top: dict[str, Any]) -> Plan:
    found = list(_nodes(top, None))
    used = {
        node["Index Name"]
        for node, table in found
        if "Index Name" in node and "Index Cond" in node and table in WIDE
    }
    scanned = {
        node.get("Index Name", table)
        for node, table in found
        if "Scan" in node["Node Type"]
        and table in WIDE
        and node["Node Type"] != "Bitmap Heap Scan"
        and "Index Cond" not in node
    }
    blocks = sum(top.get(f"Shared {kind} Blocks", 0) for kind in ("Hit", "Read"))
    return Plan(frozenset(used), frozenset(map(str, scanned)), blocks)


def _nodes(
    plan: dict[str, Any], above: str | None
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Each node, with the table that it or the node above it reads."""
    # A bitmap's index does not name its table; the heap scan above it does.
    table = plan.get("Relation Name", above if "Bitmap" in plan["Node Type"] else None)
    yield plan, table
    for child in plan.get("Plans", ()):
        yield from _nodes(child, table)
