"""One pair for all reports: each test has projects of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.cluster import Cluster, cloned_database
from tests.support.running_pair import HANDLERS, RunningPair, running_pair
from tests.support.scrapes import ANY_PORT


@pytest.fixture(scope="session")
async def services(cluster: Cluster, template: str) -> AsyncIterator[RunningPair]:
    """Two creators and two processors, which run the content pipeline."""
    async with (
        cloned_database(cluster, template) as database,
        running_pair(database, handlers=HANDLERS, environ=ANY_PORT) as running,
    ):
        yield running


@pytest.fixture
def project() -> str:
    """A tenant of this test alone."""
    return f"p-{uuid4().hex[:12]}"
