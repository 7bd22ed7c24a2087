"""Creators and processors on one database: started together, stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Self

from tandem.processes import OnLine, Service, ServiceProcess

ANY_PORT: Final = "127.0.0.1:0"

# One address is for one process. What this one inherited would be for all of them.
ALONE: Final = MappingProxyType(
    {"TANDEM_METRICS_LISTEN": "", "TANDEM_METRICS_PORT_FILE": ""}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """The database, as each service logs in to it. URLs hold passwords."""

    creator_url: str = field(repr=False)
    processor_url: str = field(repr=False)
    janitor_url: str = field(repr=False, default="")
    """Empty where nobody prunes."""

    owner_url: str = field(repr=False, default="")
    """Empty where nobody makes keys."""


class Pair:
    """Any number of creators and processors, as child processes.

    `async with` stops what was started: first processors, which lets them report
    what they finish, then creators.
    """

    def __init__(self, logins: Logins, *, handlers: str, on_line: OnLine) -> None:
        """Nothing is started yet.

        Args:
            logins: of the two services.
            handlers: what processors run, as `module:name`.
            on_line: takes every line of every process, with its label.
        """
        self.creators: list[ServiceProcess] = []
        self.processors: list[ServiceProcess] = []
        self._logins = logins
        self._handlers = handlers
        self._on_line = on_line

    @property
    def creator_address(self) -> str:
        """All creators, as clients and processors take them: comma separated."""
        return ",".join(process.address for process in self.creators)

    @property
    def processor_address(self) -> str:
        return ",".join(process.address for process in self.processors)

    async def start_creators(
        self, listens: Sequence[str], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start one creator per address, and wait until all serve.

        Raises:
            DidNotServe: one of them did not.
        """
        common = {**(environ or {}), "TANDEM_DATABASE_URL": self._logins.creator_url}
        await self._start(Service.CREATOR, listens, common, self.creators)

    async def start_processors(
        self, listens: Sequence[str], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start one processor per address, and wait until all serve.

        Raises:
            DidNotServe: one of them did not.
        """
        common = {
            "TANDEM_CREATOR_ADDRESS": self.creator_address,
            **(environ or {}),
            "TANDEM_DATABASE_URL": self._logins.processor_url,
            "TANDEM_HANDLERS": self._handlers,
        }
        await self._start(Service.PROCESSOR, listens, common, self.processors)

    async def first_end(self) -> ServiceProcess:
        """The first process to end, whatever the reason."""
        ends = {asyncio.create_task(p.ended()): p for p in self._all()}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return ends[done.pop()]
        finally:
            for end in ends:
                end.cancel()

    async def stop(self) -> None:
        """Stop processors, then creators. Stopping what has ended does nothing."""
        for processes in (self.processors, self.creators):
            await asyncio.gather(*(p.stop() for p in processes))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _start(
        self,
        service: Service,
        listens: Sequence[str],
        common: Mapping[str, str],
        into: list[ServiceProcess],
    ) -> None:
        started = [
            ServiceProcess(
                service,
                label=f"{service}-{len(into) + number}",
                environ={**ALONE, **common, "TANDEM_LISTEN": listen},
                on_line=self._on_line,
            )
            for number, listen in enumerate(listens, 1)
        ]
        try:
            await _all_served(started)
        finally:
            into.extend(process for process in started if process.was_started)

    def _all(self) -> list[ServiceProcess]:
        return [*self.creators, *self.processors]


async def _all_served(processes: Sequence[ServiceProcess]) -> None:
    served = await asyncio.gather(
        *(process.start() for process in processes), return_exceptions=True
    )
    for fault in served:
        if isinstance(fault, BaseException):
            raise fault
