"""`python -m tests.faults [--long] [--seed N]`: a run under faults, and its verdict."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

# Read by grpc as it is imported. Its fork handlers break commands that are run
# under another account while a channel is open in this process.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import uvloop

from tests.faults.report import table
from tests.faults.run import Outcome, Scenario, run

SHORT: Final = 2_000
LONG: Final = 100_000
"""Tasks."""

RATE: Final = 30.0
"""Tasks created in a second: what two slow cores work, with all that breaks."""

GAP: Final = 3.0
"""Seconds between two faults, on average."""


def main() -> int:
    options = _options()
    tasks = options.tasks or (LONG if options.long else SHORT)
    scenario = Scenario(tasks=tasks, seconds=tasks / RATE, gap=GAP)
    folder = Path(tempfile.mkdtemp(prefix="tandem-faults-"))
    # The server's account must reach its own folder in it.
    folder.chmod(0o755)
    _say(f"seed {options.seed}, {scenario.tasks} tasks, {folder}")
    try:
        outcome = uvloop.run(_run(scenario, options.seed, folder))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say(f"interrupted; what there is stays in {folder}")
        return 130
    _say(table(outcome))
    if outcome.violations:
        _say(f"kept in {folder}; repeat the faults with ARGS='--seed {options.seed}'")
        return 1
    shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test-faults ARGS=...")
    parser.add_argument("--long", action="store_true", help="100,000 tasks, not 2,000")
    parser.add_argument("--tasks", type=int, help="another number of them")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10_000), help="of an earlier run"
    )
    return parser.parse_args()


async def _run(scenario: Scenario, seed: int, folder: Path) -> Outcome:
    # SIGTERM ends everything as Ctrl-C does: by the pids that were started.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(scenario, seed=seed, folder=folder, say=_say)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
