"""Everything that is to be disturbed: a Postgres, creators, processors, and the paths."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as Folder
from random import Random
from typing import Final

from tandem.postgres.bootstrap import DATABASE, prepare
from tandem.postgres.embedded import EmbeddedPostgres
from tandem.postgres.migrate import migrate
from tandem.postgres.roles import CREATOR, OWNER, PROCESSOR
from tandem.postgres.urls import login_url
from tandem.processes import OnLine, Service, ServiceProcess
from tests.faults.handlers import FOLDER
from tests.faults.paths import DatabasePath, Path, running_paths
from tests.faults.slots import Slot
from tests.support.cluster import PASSWORDS, Cluster
from tests.support.running_pair import handlers_path

HANDLERS: Final = "tests.faults.handlers:handlers"

DEAD_AFTER: Final = 3.0
"""Seconds without a heartbeat until a processor is taken for dead."""

HASTE: Final = {
    "TANDEM_LOG": "json",
    "TANDEM_HEARTBEAT": "0.5",
    "TANDEM_DEAD_AFTER": str(DEAD_AFTER),
    "TANDEM_GRACE": "3",
    "TANDEM_CONCURRENCY": "32",
    "TANDEM_POOL_SIZE": "6",
}

QUEUES: Final = ("default", "side")

# fsync guards against a crash of the machine, which no run here makes.
SETTINGS: Final = {"fsync": "off", "max_wal_size": "4GB", "max_connections": "150"}

MOST_WRONG: Final = 600.0
"""Seconds by which a processor's clock may be off, either way."""


@dataclass(slots=True, kw_only=True)
class Site:
    """What runs. Slots keep themselves filled for as long as it is open."""

    postgres: EmbeddedPostgres
    admin_url: str
    creators: Sequence[Slot] = ()
    processors: Sequence[Slot] = ()
    callers_paths: Sequence[Path] = ()
    """From callers to each creator."""

    intake_paths: Sequence[Path] = ()
    """From processors to each creator."""

    database_paths: Sequence[Path] = ()
    """From each creator and processor to Postgres."""

    database_recoveries: list[float] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        return Cluster(admin_url=self.admin_url, log=self.postgres.log)

    @property
    def owner_url(self) -> str:
        """Past all paths: for those who look on."""
        return self.cluster.url(OWNER, DATABASE)

    @property
    def paths(self) -> Sequence[Path]:
        return (*self.callers_paths, *self.intake_paths, *self.database_paths)

    @property
    def bundles(self) -> Sequence[Sequence[Path]]:
        """Paths that fail together: each alone, and each kind of them."""
        kinds = (self.callers_paths, self.intake_paths, self.database_paths)
        return (*([path] for path in self.paths), *kinds)

    @property
    def creator_addresses(self) -> Sequence[str]:
        return [path.address for path in self.callers_paths]

    async def kill_postgres(self) -> None:
        """SIGKILL to its first process, and a start as soon as the others are gone."""
        os.kill(self.postgres.pid(), signal.SIGKILL)
        start = time.monotonic()
        await asyncio.to_thread(self.postgres.start)
        self.database_recoveries.append(time.monotonic() - start)

    def clear(self) -> None:
        for path in self.paths:
            path.clear()


@asynccontextmanager
async def running_site(
    folder: Folder,
    *,
    journals: Folder,
    seed: int,
    on_line: OnLine,
    creators: int,
    processors: int,
) -> AsyncIterator[Site]:
    """All of it, once everything serves. The folder is the server's."""
    postgres = EmbeddedPostgres(folder, settings=SETTINGS)
    await asyncio.to_thread(postgres.acquire)
    try:
        site = Site(postgres=postgres, admin_url=postgres.admin_url())
        await prepare(site.admin_url, PASSWORDS)
        await migrate(site.owner_url)
        make = _Maker(site, journals, seed, on_line)
        async with _filled(site, make, creators=creators, processors=processors):
            yield site
    finally:
        await asyncio.to_thread(postgres.release)


@asynccontextmanager
async def _filled(
    site: Site, make: _Maker, *, creators: int, processors: int
) -> AsyncIterator[None]:
    """Paths first, then creators, then processors; closed the other way round."""
    to_creators = [f"creator-{number}" for number in range(1, creators + 1)]
    everybody = [*to_creators, *(f"processor-{n}" for n in range(1, processors + 1))]
    async with (
        running_paths(Path, [f"callers to {label}" for label in to_creators]) as calls,
        running_paths(
            Path, [f"intakes to {label}" for label in to_creators]
        ) as intakes,
        running_paths(
            DatabasePath, [f"{label} to Postgres" for label in everybody]
        ) as databases,
    ):
        site.callers_paths, site.intake_paths = calls, intakes
        site.database_paths = databases
        for path in databases:
            path.target = site.admin_url
        site.creators = [make.creator(number) for number in range(creators)]
        site.processors = [make.processor(number) for number in range(processors)]
        async with _kept(site.creators), _kept(site.processors):
            yield


@asynccontextmanager
async def _kept(slots: Sequence[Slot]) -> AsyncIterator[None]:
    keeping = [asyncio.create_task(slot.run()) for slot in slots]
    try:
        await _all_serve(slots, keeping)
        yield
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)


async def _all_serve(
    slots: Sequence[Slot], keeping: Sequence[asyncio.Task[None]]
) -> None:
    for slot, task in zip(slots, keeping, strict=True):
        serving = asyncio.create_task(slot.serving.wait())
        # A slot never ends by itself, but by a defect of this program.
        await asyncio.wait({serving, task}, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        if task.done():
            task.result()


class _Maker:
    """Makes the slots, and each process of them."""

    def __init__(
        self, site: Site, journals: Folder, seed: int, on_line: OnLine
    ) -> None:
        self._site = site
        self._journals = journals
        self._clocks = Random(f"clocks {seed}")
        self._on_line = on_line

    def creator(self, number: int) -> Slot:
        label = f"creator-{number + 1}"
        url = self._url(CREATOR, self._site.database_paths[number])

        def make() -> ServiceProcess:
            return self._process(Service.CREATOR, label, {"TANDEM_DATABASE_URL": url})

        def point(process: ServiceProcess) -> None:
            for paths in (self._site.callers_paths, self._site.intake_paths):
                paths[number].target = process.address

        return Slot(label, make, on_serving=point)

    def processor(self, number: int) -> Slot:
        label = f"processor-{number + 1}"
        path = self._site.database_paths[len(self._site.creators) + number]
        common = {
            "TANDEM_DATABASE_URL": self._url(PROCESSOR, path),
            "TANDEM_HANDLERS": HANDLERS,
            "TANDEM_QUEUES": ",".join(QUEUES),
            "TANDEM_CREATOR_ADDRESS": ",".join(
                path.address for path in self._site.intake_paths
            ),
            FOLDER: str(self._journals),
        }
        clock = str(Folder(__file__).parent / "clock")

        def make() -> ServiceProcess:
            wrong = self._clocks.uniform(-MOST_WRONG, MOST_WRONG)
            time_of_day = {
                "PYTHONPATH": os.pathsep.join([clock, handlers_path()]),
                "TANDEM_FAULTS_CLOCK": f"{wrong:.1f}",
            }
            return self._process(Service.PROCESSOR, label, common | time_of_day)

        return Slot(label, make, on_serving=lambda _: None)

    def _url(self, role: str, path: Path) -> str:
        return login_url(
            f"postgresql://{path.address}",
            role,
            password=PASSWORDS.of(role),
            database=DATABASE,
        )

    def _process(
        self, service: Service, label: str, environ: Mapping[str, str]
    ) -> ServiceProcess:
        listen = {"TANDEM_LISTEN": "127.0.0.1:0"}
        return ServiceProcess(
            service,
            label=label,
            environ={**HASTE, **listen, **environ},
            on_line=self._on_line,
        )
