"""Whether this process exports traces, and the end of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tandem import spans
from tandem.settings import Settings
from tandem.starting import CannotRun


@contextmanager
def exported(service: str, settings: Settings) -> Iterator[None]:
    """Export the spans of a block, if `settings.traces` says so.

    Servers that are made within it trace their calls. At its end what waits is
    sent, for a few seconds at most. Without the setting nothing is imported.

    Raises:
        CannotRun: OpenTelemetry is not installed, or refuses its own variables.
    """
    if not settings.traces:
        yield
        return
    try:
        from tandem import telemetry  # noqa: PLC0415 - an extra, and slow to import

        exporter = telemetry.start(service)
    except ModuleNotFoundError as fault:
        raise CannotRun(
            "TANDEM_TRACES is true, and OpenTelemetry is not installed;"
            " install tandem-tasks[server,traces]"
        ) from fault
    except Exception as fault:
        raise CannotRun(f"TANDEM_TRACES is true, and cannot be: {fault}") from fault
    spans.send_to(exporter)
    try:
        yield
    finally:
        spans.send_to(None)
        exporter.close()
