"""Run a creator: `python -m tandem_creator`."""

from __future__ import annotations

import asyncio
import os
import sys

import structlog
import uvloop

from tandem import logs
from tandem.exporting import exported
from tandem.happening import first_of
from tandem.log_output import LogOutput
from tandem.server import stop_signal
from tandem.starting import announce, exit_code
from tandem_creator.running import running_creator
from tandem_creator.settings import CreatorSettings
from tandem_creator.siblings import stop_with_input
from tandem_creator.supervising import supervise

log = structlog.get_logger()


async def serve(settings: CreatorSettings, output: LogOutput) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit code."""
    stop = stop_signal()
    if settings.share_port:
        stop_with_input(stop)
    # Each call logs a line.
    with output.gathered():
        return await _serve(settings, stop)


async def _serve(settings: CreatorSettings, stop: asyncio.Event) -> int:
    async with running_creator(settings) as creator:
        announce(settings, creator.port)
        await first_of(stop.wait(), creator.failed.wait())
        failed = creator.failed.is_set()
        log.info("stopping", grace=settings.grace)
    return 1 if failed else 0


def run() -> int:
    """Serve as the environment says."""
    settings = CreatorSettings.from_environ(os.environ)
    output = logs.configure("creator", form=settings.log)
    if settings.processes > 1:
        return uvloop.run(supervise(settings))
    with exported("creator", settings):
        return uvloop.run(serve(settings, output))


def main() -> int:
    return exit_code("tandem-creator", run)


if __name__ == "__main__":
    sys.exit(main())
