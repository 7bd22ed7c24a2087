"""Real processes: a pair of each service on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.cluster import Database
from tests.support.running_pair import HASTE, RunningPair, running_pair

HANDLERS = "tests.support.system_handlers:handlers"


@pytest.fixture
async def pair(database: Database) -> AsyncIterator[RunningPair]:
    """Two creators and two processors, as processes."""
    async with running_pair(database, handlers=HANDLERS, environ=HASTE) as running:
        yield running
