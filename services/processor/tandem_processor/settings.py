"""What an operator may decide about a processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tandem.settings import (
    Address,
    Addresses,
    Count,
    InvalidSettings,
    Names,
    Seconds,
    Settings,
    Text,
)

LEAST_BEATS: Final = 2
"""Heartbeats that fit into the limit: one that is late must not kill its processor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessorSettings(Settings):
    """Each field is read from `TANDEM_<FIELD>`."""

    listen: Address = "127.0.0.1:7102"
    """The address to serve on. Port 0 takes a free one."""

    creator_address: Addresses = ("127.0.0.1:7101",)
    """Creators, of which one at a time is followed."""

    queues: Names = ("default",)
    """The queues that are worked."""

    handlers: Text
    """`module:name` of the Handlers."""

    concurrency: Count = 32
    """The most tasks that run at once."""

    heartbeat: Seconds = 3.0
    """Seconds between heartbeats."""

    dead_after: Seconds = 15.0
    """Seconds without a heartbeat after which a processor's tasks are returned."""

    def __post_init__(self) -> None:
        if self.heartbeat <= 0:
            raise InvalidSettings("TANDEM_HEARTBEAT must be more than 0")
        if self.dead_after < LEAST_BEATS * self.heartbeat:
            raise InvalidSettings(
                "TANDEM_DEAD_AFTER must be at least twice TANDEM_HEARTBEAT"
            )
