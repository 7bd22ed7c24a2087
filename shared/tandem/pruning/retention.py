"""How long what is final is kept, and saying so where creators can read it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg

STRIP_AFTER: Final = "7d"
DELETE_AFTER: Final = "30d"

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)

LONGEST: Final = timedelta(days=36_500)

KEEP_RETENTION: Final = """
UPDATE tandem.retention AS r
SET strip_after = $1,
    delete_after = $2
WHERE (r.strip_after, r.delete_after) IS DISTINCT FROM ($1, $2)
"""


@dataclass(frozen=True, slots=True)
class Retention:
    """Both are measured from a task's finish.

    Raises:
        ValueError: ids would be gone before the rest is.
    """

    strip_after: timedelta
    delete_after: timedelta

    def __post_init__(self) -> None:
        if self.delete_after < self.strip_after:
            raise ValueError(
                "tasks are stripped before they are deleted: delete-after must not be"
                " shorter than strip-after"
            )


def span(text: str) -> timedelta:
    """A length of time such as `7d`, `12h`, `30m`, `90s`; a bare number is seconds.

    Raises:
        ValueError: it is none, or longer than a hundred years.
    """
    found = SPAN.fullmatch(text.strip())
    seconds = float(found[1]) * UNITS[found[2]] if found else math.inf
    if seconds > LONGEST.total_seconds():
        raise ValueError(
            f"must be a length of time such as 7d, 12h or 90s, not {text!r}"
        )
    return timedelta(seconds=seconds)


async def keep_retention(pool: asyncpg.Pool, retention: Retention) -> None:
    """Say what the tasks are pruned by. Before anything is: creators promise by it."""
    await pool.execute(KEEP_RETENTION, retention.strip_after, retention.delete_after)
