"""What the document on operations lists, section by section."""

from __future__ import annotations

import re
from typing import Final

from tests.support.log_events import Event
from tests.support.running_pair import ROOT

DOCUMENT: Final = ROOT / "docs/operations.md"


def listed_events() -> dict[str, Event]:
    """What the table of log events says, by name.

    Raises:
        AssertionError: a name stands there twice.
    """
    rows = rows_of("Logs")
    events = {
        name: Event(level, service, frozenset(re.findall(r"\w+", fields)))
        for name, level, service, fields, *_ in rows
    }
    assert len(events) == len(rows), "an event is listed twice"
    return events


def fields_of_all_events() -> set[str]:
    """What stands above that table, about every line or about many."""
    above, *_ = _section("Logs").split("\n| ")
    return set(re.findall(r"`([a-z_]+)`", above))


def rows_of(section: str) -> list[list[str]]:
    """The rows of the first table in this section, without backticks at their ends."""
    rows = [line for line in _section(section).splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in rows]


def _section(name: str) -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.split(f"\n## {name}\n")[1].split("\n## ")[0]
