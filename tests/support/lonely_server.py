"""A server of its own that a test may stop, restart or lose, and services on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from grpc_health.v1 import health_pb2

from tandem.health import wait_for_health
from tandem.pair import Logins, Pair
from tandem.postgres.bootstrap import DATABASE, prepare
from tandem.postgres.embedded import EmbeddedPostgres
from tandem.postgres.migrate import migrate
from tandem.postgres.roles import CREATOR, OWNER, PROCESSOR
from tests.support.cluster import PASSWORDS, Cluster, reachable_folder
from tests.support.service_logs import ServiceLogs


@dataclass(frozen=True, slots=True)
class LonelyServer:
    """Migrated, with a pair that has no service yet."""

    postgres: EmbeddedPostgres
    cluster: Cluster
    pair: Pair
    logs: ServiceLogs

    async def stop(self) -> None:
        await asyncio.to_thread(self.postgres.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self.postgres.start)


@asynccontextmanager
async def lonely_server(*, handlers: str) -> AsyncIterator[LonelyServer]:
    """Up for the length of the block, whatever the block does with it."""
    with reachable_folder() as folder:
        postgres = EmbeddedPostgres(folder, settings={"fsync": "off"})
        await asyncio.to_thread(postgres.start)
        try:
            async with _with_a_pair(postgres, handlers) as server:
                yield server
        finally:
            await asyncio.to_thread(postgres.stop)


@asynccontextmanager
async def _with_a_pair(
    postgres: EmbeddedPostgres, handlers: str
) -> AsyncIterator[LonelyServer]:
    cluster = Cluster(admin_url=postgres.admin_url(), log=postgres.log)
    await prepare(cluster.admin_url, PASSWORDS)
    await migrate(cluster.url(OWNER, DATABASE))
    logins = Logins(
        creator_url=cluster.url(CREATOR, DATABASE),
        processor_url=cluster.url(PROCESSOR, DATABASE),
    )
    logs = ServiceLogs()
    async with Pair(logins, handlers=handlers, on_line=logs.add) as pair:
        yield LonelyServer(postgres, cluster, pair, logs)


async def wait_until_not_serving(address: str) -> None:
    """Return once the health service at `address` says NOT_SERVING. Bound it yourself."""
    await wait_for_health(address, health_pb2.HealthCheckResponse.NOT_SERVING)
