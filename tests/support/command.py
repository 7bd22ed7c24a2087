"""The command `tandem` as a process, the way a person or a script runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.running_pair import handlers_path

LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def complaint(self) -> str:
        """The one line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


async def tandem(
    *arguments: str | Path, environ: Mapping[str, str] | None = None, given: str = ""
) -> Finished:
    """Run the command to its end."""
    process = await _start(*arguments, environ=environ)
    async with asyncio.timeout(LIMIT):
        out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


class Standing:
    """A command that goes on until it is told to stop."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, **values: Any) -> dict[str, Any]:
        """The next JSON line on standard output in which these values stand."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT):
            async for raw in self.process.stdout:
                self.lines.append(raw.decode())
                fields = _fields(raw)
                if values.items() <= fields.items():
                    return fields
        raise AssertionError(f"it ended without {values}:\n{''.join(self.lines)}")

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT to everybody in the foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    async def finished(self) -> Finished:
        async with asyncio.timeout(LIMIT):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        text = "".join(self.lines) + out.decode()
        return Finished(self.process.returncode, text, err.decode())


@asynccontextmanager
async def standing(
    *arguments: str | Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Standing]:
    """Run the command until the block ends."""
    process = await _start(*arguments, environ=environ)
    try:
        yield Standing(process)
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.communicate(), LIMIT)


async def _start(*arguments: str | Path, environ: Mapping[str, str] | None) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tandem",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": handlers_path(), **(environ or {})},
        start_new_session=True,
        limit=4 * 1024 * 1024,
    )


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
