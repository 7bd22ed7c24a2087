"""Places for processes: whoever dies in one is followed by another."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import grpc

from tandem.processes import DidNotServe, ServiceProcess

PAUSE: Final = 0.2
"""Seconds before a process is followed by another, as a supervisor would have it."""


class Slot:
    """One process after another, until it is closed."""

    def __init__(
        self,
        label: str,
        make: Callable[[], ServiceProcess],
        *,
        on_serving: Callable[[ServiceProcess], None],
    ) -> None:
        self.label = label
        self.starts = 0
        self.recoveries: list[float] = []
        """Seconds from each end to the next process that serves."""

        self.defects: list[str] = []
        """Ends of processes that nobody has brought about."""

        self.busy = asyncio.Lock()
        """Held by a fault: one at a time for each process."""

        self.serving = asyncio.Event()
        self._make = make
        self._on_serving = on_serving
        self._process: ServiceProcess | None = None
        self._ended_at: float | None = None

    @property
    def address(self) -> str:
        assert self._process is not None
        return self._process.address

    async def run(self) -> None:
        """Keep a process here until cancelled, and then stop the last one."""
        try:
            while True:
                await self._live()
                await asyncio.sleep(PAUSE)
        finally:
            if self._process is not None and self._process.was_started:
                self.send(signal.SIGCONT)
                await self._process.stop()

    async def _live(self) -> None:
        self._process = process = self._make()
        self.starts += 1
        try:
            await process.start()
        except (DidNotServe, grpc.aio.AioRpcError):
            await process.kill()
        else:
            self._note_serving(process)
            self._note_end(await process.ended())
            self.serving.clear()
        self._ended_at = self._ended_at or time.monotonic()

    def _note_serving(self, process: ServiceProcess) -> None:
        if self._ended_at is not None:
            self.recoveries.append(time.monotonic() - self._ended_at)
        self._ended_at = None
        self._on_serving(process)
        self.serving.set()

    def _note_end(self, code: int) -> None:
        # Handlers that kill their process do what a fault does.
        if code not in {0, -signal.SIGKILL}:
            self.defects.append(f"{self.label} ended by itself, with exit code {code}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process of now; to one that has ended nothing."""
        process = self._process
        if process is not None and process.was_started and process.is_running:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)

    async def end(self, number: signal.Signals) -> None:
        """Have the process end by this signal, and wait until another one serves."""
        await self.serving.wait()
        self.serving.clear()
        self.send(number)
        await self.serving.wait()

    async def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        self.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.send(signal.SIGCONT)
