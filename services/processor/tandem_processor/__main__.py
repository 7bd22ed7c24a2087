"""Run a processor: `python -m tandem_processor`."""

from __future__ import annotations

import os
import sys

import uvloop

from tandem import logs
from tandem.handlers import Handlers
from tandem.loading import BadHandlers, load_handlers
from tandem.server import stop_signal
from tandem.starting import CannotRun, exit_code
from tandem_processor.running import run_processor
from tandem_processor.settings import ProcessorSettings


async def serve(settings: ProcessorSettings, handlers: Handlers) -> None:
    """Work and serve until SIGTERM or SIGINT."""
    await run_processor(settings, handlers, stop_signal())


def run() -> int:
    """Work as the environment says.

    Raises:
        CannotRun: the handlers cannot be had.
    """
    settings = ProcessorSettings.from_environ(os.environ)
    logs.configure("processor", form=settings.log)
    try:
        handlers = load_handlers(settings.handlers)
    except BadHandlers as fault:
        raise CannotRun(f"TANDEM_HANDLERS: {fault}") from fault
    uvloop.run(serve(settings, handlers))
    return 0


def main() -> int:
    return exit_code("tandem-processor", run)


if __name__ == "__main__":
    sys.exit(main())
