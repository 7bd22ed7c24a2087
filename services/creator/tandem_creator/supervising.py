"""Several creators on one address: started, kept alive, stopped together."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from tandem.happening import first_of
from tandem.server import stop_signal
from tandem.starting import announce
from tandem_creator.ports import reserved
from tandem_creator.settings import CreatorSettings
from tandem_creator.siblings import Sibling

log = structlog.get_logger()

START_LIMIT: Final = 60.0
"""Seconds from the start of a process until it must serve."""

STOP_SLACK: Final = 10.0
"""Seconds beyond the grace until a process that does not stop is killed."""

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds until a process that ended is started again; they double with each time."""


async def supervise(settings: CreatorSettings) -> int:
    """Serve with several processes until SIGTERM or SIGINT; answers the exit code.

    One that cannot even start ends them all, with its exit code. One that ends later
    is started again while the others serve.

    Raises:
        PortTaken: somebody else has the address.
    """
    stop = stop_signal()
    with (
        reserved(settings.listen) as listen,
        tempfile.TemporaryDirectory(prefix="tandem-creators-") as folder,
    ):
        siblings = [
            Sibling(
                listen,
                port_file=Path(folder, str(number)),
                environ=_own_metrics(settings, number),
            )
            for number in range(settings.processes)
        ]
        return await _Supervisor(settings, siblings, stop).run(listen)


def _own_metrics(settings: CreatorSettings, number: int) -> dict[str, str]:
    """Where this one of several tells its metrics."""
    port_file = settings.metrics_port_file
    return {
        "TANDEM_METRICS_LISTEN": settings.metrics_listen_of(number) or "",
        "TANDEM_METRICS_PORT_FILE": f"{port_file}.{number}" if port_file else "",
    }


class _Supervisor:
    def __init__(
        self,
        settings: CreatorSettings,
        siblings: Sequence[Sibling],
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._siblings = siblings
        self._stop = stop
        self._started: list[Sibling] = []

    async def run(self, listen: str) -> int:
        try:
            if (failed := await self._start_all()) is not None:
                return failed
            if not self._stop.is_set():
                announce(self._settings, int(listen.rpartition(":")[2]))
                await self._keep_all()
        finally:
            codes = await self._stop_all()
        return int(any(codes))

    async def _start_all(self) -> int | None:
        """The exit code of the first that did not come to serve, if one did not."""
        for sibling in self._siblings:
            await sibling.start()
            self._started.append(sibling)
            log.info("creator process started", process_id=sibling.pid)
            if (failed := await self._first_word(sibling)) is not None:
                return failed
            if self._stop.is_set():
                break
        return None

    async def _first_word(self, sibling: Sibling) -> int | None:
        """Wait until it serves, or ends with the code answered, or all are to stop."""
        ended = asyncio.ensure_future(sibling.ended())
        try:
            async with asyncio.timeout(START_LIMIT):
                await first_of(
                    sibling.serves(), asyncio.shield(ended), self._stop.wait()
                )
        except TimeoutError:
            log.exception("creator process does not serve", process_id=sibling.pid)
            return 1
        if ended.done() and not self._stop.is_set():
            return ended.result() or 1
        ended.cancel()
        return None

    async def _keep_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep(each)) for each in self._siblings]
            await self._stop.wait()
            for keeper in keepers:
                keeper.cancel()

    async def _keep(self, sibling: Sibling) -> None:
        """Start it again whenever it ends, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            code = await sibling.ended()
            log.warning("creator process ended", process_id=sibling.pid, code=code)
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            await sibling.start()
            log.info("creator process started", process_id=sibling.pid)

    async def _stop_all(self) -> list[int]:
        # One that had died before, and was to be started again, has told its end.
        alive = [sibling for sibling in self._started if sibling.is_running]
        for sibling in alive:
            sibling.signal(signal.SIGTERM)
        ends = [asyncio.ensure_future(sibling.ended()) for sibling in alive]
        if ends:
            await asyncio.wait(ends, timeout=self._settings.grace + STOP_SLACK)
        for sibling, end in zip(alive, ends, strict=True):
            if not end.done():
                sibling.signal(signal.SIGKILL)
        return list(await asyncio.gather(*ends))
