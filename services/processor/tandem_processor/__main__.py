"""Run a processor: `python -m tandem_processor`."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

import uvloop

from tandem import logs
from tandem.exporting import exported
from tandem.handlers import Handlers
from tandem.loading import BadHandlers, load_handlers
from tandem.log_output import LogOutput
from tandem.server import stop_signal
from tandem.starting import CannotRun, exit_code
from tandem_processor.running import run_processor
from tandem_processor.settings import ProcessorSettings

COLLECT_AFTER: Final = (20_000, 20, 20)
"""Objects more than were freed, and rounds of the younger generation."""


async def serve(
    settings: ProcessorSettings, handlers: Handlers, output: LogOutput
) -> None:
    """Work and serve until SIGTERM or SIGINT."""
    # Each attempt logs a line.
    with output.gathered():
        await run_processor(settings, handlers, stop_signal())


def run() -> int:
    """Work as the environment says.

    Raises:
        CannotRun: the handlers cannot be had.
    """
    settings = ProcessorSettings.from_environ(os.environ)
    output = logs.configure("processor", form=settings.log)
    # Before the handlers are loaded: theirs are the same traces.
    with exported("processor", settings):
        handlers = _load(settings)
        _collect_rarely()
        uvloop.run(serve(settings, handlers, output))
    return 0


def _load(settings: ProcessorSettings) -> Handlers:
    try:
        return load_handlers(settings.handlers)
    except BadHandlers as fault:
        raise CannotRun(f"TANDEM_HANDLERS: {fault}") from fault


def _collect_rarely() -> None:
    """Spare the garbage collector what will never be garbage, and most of its rounds.

    What attempts leave behind is in no circle. With Python's own thresholds the
    collector took half of the processor's time, and found nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def main() -> int:
    return exit_code("tandem-processor", run)


if __name__ == "__main__":
    sys.exit(main())
