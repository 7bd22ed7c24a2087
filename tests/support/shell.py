"""Commands as a shell runs them, with this Python's programs on the path."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.command import LIMIT, Finished, Standing
from tests.support.running_pair import ROOT

OF_MAKE: Final = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")
"""What `make test` hands down, and a terminal does not have."""


async def shell(
    commands: str,
    *,
    folder: Path = ROOT,
    environ: Mapping[str, str] | None = None,
    limit: float = LIMIT,
) -> Finished:
    """Run them to their end, or to the first failure. `limit` in seconds."""
    process = await _begun(commands, folder=folder, environ=environ)
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def standing_shell(
    commands: str, *, folder: Path = ROOT, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Standing]:
    """Run what goes on until it is told to stop, until the block ends."""
    process = await _begun(commands, folder=folder, environ=environ)
    try:
        yield Standing(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            await asyncio.wait_for(process.communicate(), LIMIT)


async def _begun(
    commands: str, *, folder: Path, environ: Mapping[str, str] | None
) -> Process:
    inherited = {
        name: value for name, value in os.environ.items() if name not in OF_MAKE
    }
    return await asyncio.create_subprocess_exec(
        *("sh", "-e", "-c", commands),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env={**inherited, "PATH": _path(), **(environ or {})},
        start_new_session=True,
        limit=4 * 1024 * 1024,
    )


def _path() -> str:
    """What `make` puts on it: buf stands beside this Python."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
