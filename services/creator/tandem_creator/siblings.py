"""One of several processes that serve on one address, and how it hears of its parent's end."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

MODULE: Final = "tandem_creator"

LOOK_AGAIN: Final = 0.01
"""Seconds."""


def stop_with_input(stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends: whoever started this process is gone."""
    loop, source = asyncio.get_running_loop(), sys.stdin.fileno()

    def heard() -> None:
        if not os.read(source, 1024):
            loop.remove_reader(source)
            stop.set()

    loop.add_reader(source, heard)


class Sibling:
    """A creator process on a shared address. Its lines go where its parent's go."""

    def __init__(
        self, listen: str, *, port_file: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        """Not started yet.

        Args:
            listen: the address that is shared.
            port_file: where it says that it listens.
            environ: what this process alone is told.
        """
        self._listen = listen
        self._port_file = port_file
        self._environ = environ or {}
        self._started: Process | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self) -> None:
        """Start it; it serves once `serves` has returned."""
        self._port_file.unlink(missing_ok=True)
        self._started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            MODULE,
            # Held open for as long as this process lives.
            stdin=PIPE,
            env={
                **os.environ,
                **self._environ,
                "TANDEM_LISTEN": self._listen,
                "TANDEM_PROCESSES": "1",
                "TANDEM_SHARE_PORT": "true",
                "TANDEM_PORT_FILE": str(self._port_file),
            },
        )

    async def serves(self) -> None:
        """Return once it listens. Bound it yourself: it may never do."""
        while not self._port_file.exists():  # noqa: ASYNC110 - another process's file has no event
            await asyncio.sleep(LOOK_AGAIN)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, noticed or not."""
        if self._process.returncode is not None:
            return False
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, look) is None
        except ChildProcessError:
            return False

    async def ended(self) -> int:
        """The exit code, once there is one."""
        return await self._process.wait()

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    @property
    def _process(self) -> Process:
        assert self._started is not None
        return self._started
