"""The table and its statements, as they read under the default name."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Dialect: TypeAlias = Literal["postgres", "sqlite"]

DEFAULT_TABLE: Final = "tandem_outbox"

TABLE_RULE: Final = re.compile(
    r"([A-Za-z_][A-Za-z0-9_]{0,55}\.)?[A-Za-z_][A-Za-z0-9_]{0,55}"
)
"""With room for what the index adds to it in Postgres' 63 bytes."""

_NAMES: Final = re.compile(rf"\b{DEFAULT_TABLE}(_due)?\b")

# A place is no gapless order, and need not be: rows that commit late are found late.
POSTGRES_SCHEMA: Final = """
CREATE TABLE tandem_outbox (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id uuid NOT NULL UNIQUE,
    request text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    error text
);
CREATE INDEX tandem_outbox_due ON tandem_outbox (attempts, place)
    WHERE error IS NULL;
"""

SQLITE_SCHEMA: Final = """
CREATE TABLE tandem_outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL,
    create_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT
);
CREATE INDEX tandem_outbox_due ON tandem_outbox (attempts, place)
    WHERE error IS NULL;
"""

RECORD: Final = """
INSERT INTO tandem_outbox (request_id, request)
VALUES ($1, $2)
"""

# Those that failed stand behind, so that no row waits for another's fault.
READ: Final = """
SELECT request_id, request, attempts
FROM tandem_outbox
WHERE error IS NULL
ORDER BY attempts, place
LIMIT $1
"""

# It spares two relays the same work; that they do no harm is the request id's doing.
READ_UNLOCKED: Final = f"{READ}FOR UPDATE SKIP LOCKED\n"

STRIKE_OFF: Final = """
DELETE FROM tandem_outbox
WHERE request_id = $1
"""

COUNT_ATTEMPT: Final = """
UPDATE tandem_outbox
SET attempts = attempts + 1
WHERE request_id = $1
    AND error IS NULL
"""

SET_ASIDE: Final = """
UPDATE tandem_outbox
SET attempts = attempts + 1, error = $1
WHERE request_id = $2
    AND error IS NULL
"""

SCHEMAS: Final = MappingProxyType(
    {"postgres": POSTGRES_SCHEMA, "sqlite": SQLITE_SCHEMA}
)
READS: Final = MappingProxyType({"postgres": READ_UNLOCKED, "sqlite": READ})


def named(sql: str, table: str) -> str:
    """The statement for a table of this name. An index stands in its table's schema."""
    plain = table.rpartition(".")[2]
    return _NAMES.sub(lambda found: f"{plain}_due" if found[1] else table, sql)


def checked_table(table: str) -> str:
    """The name, which goes into statements as it is.

    Raises:
        ValueError: it is not a plain name, with or without a schema's.
    """
    if not TABLE_RULE.fullmatch(table):
        raise ValueError(f"{table!r} cannot be a table: use letters, digits and _")
    return table
