"""A service as a child process: started, waited for until it serves, stopped."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from tandem.client.credentials import Credentials
from tandem.health import wait_until_serving
from tandem.server import LEASH

START_LIMIT: Final = 60.0
"""Seconds from the start of a process until it must serve."""

STOP_LIMIT: Final = 30.0
"""Seconds after SIGTERM until a process is killed: more than its default grace."""

NOT_HANDED_ON: Final = ("TANDEM_AUTH", "TANDEM_TLS", "TANDEM_CLIENT_")
"""How variables begin that a child has only if they are given to it: those around are
about other services than the ones that are started here. `off` is handed on: it is what
lets them listen elsewhere than on loopback."""

KEPT_LINES: Final = 20
LONGEST_LINE: Final = 4 * 1024 * 1024
LOOK_AGAIN: Final = 0.01
"""Seconds."""

OnLine = Callable[[str, str], None]
"""Takes a process's label and one line that it wrote."""


class Service(StrEnum):
    """The modules that serve, by what people call them."""

    CREATOR = "creator"
    PROCESSOR = "processor"

    @property
    def module(self) -> str:
        return f"tandem_{self}"


class DidNotServe(RuntimeError):
    """A service ended, or was silent for too long, before it served."""


class ServiceProcess:
    """One service in a process, and a session, of its own.

    Ctrl-C at a terminal does not reach it: whoever started it decides the order
    in which things stop. It does not outlive whoever started it, though: it stops
    when its standard input ends. Every line that it writes goes to `on_line`.
    """

    def __init__(
        self,
        service: Service,
        *,
        label: str,
        environ: Mapping[str, str],
        on_line: OnLine,
    ) -> None:
        self.label = label
        self.address = ""
        self._service = service
        self._environ = dict(environ)
        self._on_line = on_line
        self._last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._folder = tempfile.TemporaryDirectory(prefix="tandem-port-")
        self._port_file = Path(self._folder.name) / "port"
        self._started: Process | None = None

    @property
    def was_started(self) -> bool:
        return self._started is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def start(self, limit: float = START_LIMIT) -> None:
        """Start, and wait until health says SERVING.

        Raises:
            DidNotServe: it ended first, or took more than `limit` seconds.
        """
        await self._launch()
        serving = asyncio.create_task(self._serves())
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait(
                {serving, ended}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            if not serving.done():
                raise await self._did_not_serve(limit)
            serving.result()
        finally:
            serving.cancel()
            ended.cancel()

    async def stop(self, limit: float = STOP_LIMIT) -> int:
        """SIGTERM, and SIGKILL after `limit` seconds. Answers the exit code."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(limit):
                return await self.ended()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """SIGKILL: what a crash looks like to everybody else."""
        with suppress(ProcessLookupError):
            self._process.kill()
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end, and for the last line. Answers the exit code."""
        code = await self._process.wait()
        await self._reading
        self._folder.cleanup()
        return code

    def why(self) -> str:
        """What it said last, as far as it fits into one line."""
        spoken = [line for line in self._last_lines if line.strip()]
        return spoken[-1].strip() if spoken else "it wrote nothing"

    @property
    def _process(self) -> Process:
        assert self._started is not None
        return self._started

    async def _launch(self) -> None:
        self._started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._service.module,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=self._whole_environ(),
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        self._reading = asyncio.create_task(self._read())

    def _whole_environ(self) -> dict[str, str]:
        ours = {"TANDEM_PORT_FILE": str(self._port_file), LEASH: "1"}
        around = {
            name: value
            for name, value in os.environ.items()
            if value == "off" or not name.startswith(NOT_HANDED_ON)
        }
        return {**around, **self._environ, **ours}

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while (line := await _next_line(self._process.stdout)) is not None:
            self._last_lines.append(line)
            self._on_line(self.label, line)

    async def _serves(self) -> None:
        while not self._port_file.exists():  # noqa: ASYNC110 - another process's file has no event
            await asyncio.sleep(LOOK_AGAIN)
        host = self._environ.get("TANDEM_LISTEN", "127.0.0.1:0").rpartition(":")[0]
        self.address = f"{host}:{self._port_file.read_text().strip()}"
        credentials = Credentials.from_environ(self._environ)
        await wait_until_serving(self.address, credentials)

    async def _did_not_serve(self, limit: float) -> DidNotServe:
        if self.is_running:
            await self.kill()
            return DidNotServe(
                f"{self.label} did not serve within {limit:.0f} s: {self.why()}"
            )
        code = await self.ended()
        return DidNotServe(f"{self.label} ended with exit code {code}: {self.why()}")


async def _next_line(written: asyncio.StreamReader) -> str | None:
    """What a process wrote; None at the end. It must be read, or the process stands still."""
    try:
        raw = await written.readline()
    except ValueError:
        return f"(the beginning of a line of over {LONGEST_LINE:,} bytes)"
    return raw.decode(errors="replace").rstrip("\n") if raw else None
