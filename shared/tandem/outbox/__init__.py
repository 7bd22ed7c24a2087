"""The outbox: a create recorded in your own transaction, and relayed after its commit.

It needs the base install alone, and your own database's driver.
"""

from __future__ import annotations

from tandem.outbox.async_relay import AsyncRelay
from tandem.outbox.connections import AsyncConnection, Connection, Recording
from tandem.outbox.outbox import Outbox, Row
from tandem.outbox.paramstyles import Paramstyle
from tandem.outbox.relay import Relay
from tandem.outbox.rounds import Failed, Relayed
from tandem.outbox.statements import Dialect

__all__ = [
    "AsyncConnection",
    "AsyncRelay",
    "Connection",
    "Dialect",
    "Failed",
    "Outbox",
    "Paramstyle",
    "Recording",
    "Relay",
    "Relayed",
    "Row",
]
