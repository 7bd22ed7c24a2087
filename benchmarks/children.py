"""Servers as processes of their own, each logging into a file."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tandem.health import wait_until_serving

START_LIMIT = 30.0
STOP_LIMIT = 30.0
LOOK_AGAIN = 0.01


class DidNotStart(RuntimeError):
    """A server ended, or was silent for too long."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    address: str
    pid: int


@contextmanager
def creator(
    url: str,
    folder: Path,
    *,
    name: str = "creator",
    processes: int = 1,
    listen: str = "127.0.0.1:0",
) -> Iterator[Server]:
    """A creator as users run it. Its log is `NAME.log` in the folder."""
    environ = {
        "TANDEM_DATABASE_URL": url,
        "TANDEM_LISTEN": listen,
        "TANDEM_PROCESSES": str(processes),
    }
    with serving("tandem_creator", folder, name=name, environ=environ) as server:
        asyncio.run(healthy(server.address))
        yield server


@contextmanager
def serving(
    module: str, folder: Path, *, name: str, environ: Mapping[str, str]
) -> Iterator[Server]:
    """`python -m module`, until the end of the block."""
    port_file = folder / f"{name}.port"
    port_file.unlink(missing_ok=True)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environ, "TANDEM_PORT_FILE": str(port_file)},
        )
    try:
        yield Server(f"127.0.0.1:{_port(process, port_file)}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()


def _port(process: subprocess.Popen[bytes], port_file: Path) -> str:
    give_up = time.monotonic() + START_LIMIT
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > give_up:
            raise DidNotStart(f"{port_file.stem}: see {port_file.with_suffix('.log')}")
        time.sleep(LOOK_AGAIN)
    return port_file.read_text().strip()


async def healthy(address: str) -> None:
    """Wait until it says that it serves."""
    async with asyncio.timeout(START_LIMIT):
        await wait_until_serving(address)
