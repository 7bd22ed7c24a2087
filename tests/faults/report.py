"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tests.faults.run import Outcome

SHOWN: Final = 40
"""Violations that are printed; the checker prints all of them."""


def table(outcome: Outcome) -> str:
    return "\n".join(_rows(outcome))


def _rows(outcome: Outcome) -> Iterator[str]:
    yield _row("faults", "times")
    for name, times in sorted(outcome.faults.items()):
        yield _row(f"  {name}", times)
    counts = outcome.counts
    yield _row("tasks", counts.created)
    for name in ("succeeded", "failed", "cancelled"):
        yield _row(f"  {name}", getattr(counts, name))
    yield _row("  not final", counts.created - counts.finished)
    yield _row("claims", counts.claims)
    yield _row("recovery", "median and longest, s")
    for name, seconds in outcome.recoveries.items():
        yield _row(f"  {name}", _spread(seconds))
    yield _row("violations", len(outcome.violations))
    for violation in outcome.violations[:SHOWN]:
        yield f"  {violation}"


def _row(name: str, value: object) -> str:
    return f"{name:<36} {value}"


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "never"
    in_order = sorted(seconds)
    return f"{in_order[len(in_order) // 2]:.1f}  {in_order[-1]:.1f}"
