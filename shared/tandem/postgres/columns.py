"""Columns of values, as arrays that `unnest` puts side by side."""

from __future__ import annotations

from typing import Any


def sparse(column: list[Any]) -> list[Any]:
    """The column, or nothing where it is all nulls: `unnest` fills a short one with them."""
    return [] if column.count(None) == len(column) else column
