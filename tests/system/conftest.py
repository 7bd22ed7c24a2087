"""Real processes: a pair of each service on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.cluster import Database
from tests.support.running_pair import RunningPair, running_pair

HANDLERS = "tests.support.system_handlers:handlers"

# A dead processor is to be found dead while the test waits.
HASTE = {"TANDEM_HEARTBEAT": "0.3", "TANDEM_DEAD_AFTER": "1.5", "TANDEM_GRACE": "5"}


@pytest.fixture
async def pair(database: Database) -> AsyncIterator[RunningPair]:
    """Two creators and two processors, as processes."""
    async with running_pair(database, handlers=HANDLERS, environ=HASTE) as running:
        yield running
