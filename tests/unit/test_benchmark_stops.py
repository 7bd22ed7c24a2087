"""A benchmark that is stopped ends its load, and does not wait for it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

RUN = """
import asyncio
from benchmarks.stopping import run_load, stop_on_sigterm

async def run():
    load = ["sh", "-c", "echo $$ >&2; exec sleep 120"]
    await asyncio.to_thread(run_load, load, limit=120)

stop_on_sigterm()
asyncio.run(run())
"""


async def test_sigterm_ends_a_run_whose_thread_waits_for_a_load() -> None:
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", RUN, stderr=PIPE)
    assert run.stderr is not None
    load = 0
    try:
        async with asyncio.timeout(30):
            load = int(await run.stderr.readline())
            run.send_signal(signal.SIGTERM)
            # The load holds the pipe, too: its end is the end of both.
            await run.communicate()
    finally:
        if run.returncode is None:
            run.kill()
            if load:
                os.kill(load, signal.SIGKILL)

    assert load
    assert run.returncode == 128 + signal.SIGTERM


def test_every_run_that_starts_a_server_ends_it_when_it_is_stopped() -> None:
    programs = {file.name: file.read_text() for file in BENCHMARKS.glob("*.py")}
    runs = {
        name: text
        for name, text in programs.items()
        if "__name__" in text and "databases(" in text
    }

    assert {"create.py", "process.py", "failures.py", "soak.py", "access.py"} == {*runs}
    assert [
        name for name, text in runs.items() if "stop_on_sigterm()" not in text
    ] == []
