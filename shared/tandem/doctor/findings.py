"""What a check finds, and how it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import asyncpg


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    text: str
    remedy: str


Look: TypeAlias = Callable[[asyncpg.Connection], Awaitable[Sequence[Finding]]]
"""Looks at one thing, over a session that may only read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to look at, with the logins that can see it, the best one first."""

    name: str
    logins: Sequence[str]
    look: Look


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    FOUND = "found"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the report."""

    check: str
    verdict: Verdict
    text: str = ""
    remedy: str = ""
