"""Numbers with their nouns."""

from __future__ import annotations


def noun(count: int, one: str, many: str = "") -> str:
    """The word that fits the number; `many` is by default with an s."""
    return one if count == 1 else many or f"{one}s"


def counted(count: int, one: str, many: str = "") -> str:
    """As `noun`, with the number before it."""
    return f"{count:,} {noun(count, one, many)}"
