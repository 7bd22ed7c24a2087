"""One pair for all attacks: what the first of them leaves behind, the last one meets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.attacked import Attack, attacked
from tests.support.cluster import Cluster, cloned_database
from tests.support.running_pair import RunningPair, running_pair

HANDLERS = "tests.support.system_handlers:handlers"


@pytest.fixture(scope="package")
async def running(cluster: Cluster, template: str) -> AsyncIterator[RunningPair]:
    """A creator and a processor, as processes."""
    async with (
        cloned_database(cluster, template) as database,
        running_pair(database, handlers=HANDLERS, creators=1, processors=1) as running,
    ):
        yield running


@pytest.fixture
async def attack(
    running: RunningPair, request: pytest.FixtureRequest
) -> AsyncIterator[Attack]:
    """Both services, while others go on calling them."""
    async with attacked(running, request.node.name) as attack:
        yield attack
